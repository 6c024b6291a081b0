"""report.html: one self-contained page, made from the records alone; no script, no network, no clock."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from testbed.report.canvas import alone
from testbed.report.run_records import RunRecords, Section, note
from testbed.report.sections import frame, network_map, over_time, placement, resources, tasks
from testbed.report.style import FOOT, head

#: In the order of the page. The cheap ones need no row of a stage: all a run among many gets.
CHEAP: tuple[Callable[[RunRecords], Section], ...] = (over_time.section, frame.again)
WHOLE: tuple[Callable[[RunRecords], Section], ...] = (
    over_time.section, tasks.latency, tasks.stages, network_map.section, placement.section, over_time.cost,
    resources.utilisation, resources.fidelity, resources.controller, frame.again,
)  # fmt: skip


def page(folder: Path, whole: bool = True) -> str:
    """The page of a run's folder; summary.json, events.jsonl and metadata.json must be there.

    whole: not of a run among many, whose page is short and says how to get the rest.
    """
    r = RunRecords.read(folder, events=whole)
    found = [section(r) for section in (WHOLE if whole else CHEAP)]
    name = frame.esc(f"{r.summary['scenario']['name']}: {r.summary['verdict']}")
    more = "" if whole else note("One run among many: `testbed report DIR` makes its whole page.")
    body = "\n".join(f"<section><h2>{frame.esc(s.title)}</h2>\n{s.body}</section>" for s in found)
    return f"{head(name)}\n{frame.headline(r)}\n{more}{body}\n{FOOT}"


def write_figures(folder: Path) -> list[Path]:
    """Every figure of the page as FOLDER/figures/NAME.svg, its numbers beside it as NAME.csv; the files written."""
    r = RunRecords.read(folder)
    target = folder / "figures"
    target.mkdir(exist_ok=True)
    out = []
    for p in (p for section in WHOLE for p in section(r).pictures):
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(p.head)
        rows.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in p.rows)
        for suffix, content in (("svg", alone(p.svg) + "\n"), ("csv", text.getvalue())):
            file = target / f"{p.name}.{suffix}"
            file.write_text(content, encoding="utf-8")
            out.append(file)
    return out
