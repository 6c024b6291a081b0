"""`testbed compare`: the runs, a table in the terminal, a page, figures and a CSV file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from testbed.campaign import compare
from testbed.campaign.folder import write
from testbed.cli.progress import Progress, stderr, stdout, tell
from testbed.report.canvas import alone
from testbed.report.comparison import figures, page
from testbed.units import counted


def compare_policies(
    file: Path, sets: Sequence[str], policies: str, seeds: int, sweep: str | None, world: str, out: Path | None,
    workers: int | None, as_json: bool,
) -> int:  # fmt: skip
    """0 when every run was made and is valid, 3 otherwise."""
    plan = compare.plan_of(file, sets, policies, seeds, sweep, world)
    folder = out or Path("results") / f"compare-{file.stem}-{plan.as_json()['sha256'][:8]}"
    said = stderr() if as_json else stdout()
    total = len(plan.policies) * len(plan.values) * len(plan.seeds)
    stderr().print(f"{counted(total, 'run')} in the {world} world; records: {folder}")
    with Progress() as progress:
        found = compare.compare(plan, folder, workers or len(os.sched_getaffinity(0)), progress)
    write_comparison(folder, found)
    if as_json:
        tell(found)
    else:
        said.print(_table(found))
    said.print(f"page: {folder / 'index.html'}")
    whole = not found["failed"] and all(r["runs"] == len(plan.seeds) for r in found["rows"])
    return 0 if whole else 3


def write_comparison(folder: Path, found: Mapping[str, Any]) -> None:
    """comparison.json and .csv, the figures as files and the page, of what `compare` or `campaign` found."""
    pictures = figures(found)
    files = {"comparison.json": json.dumps(found, indent=1) + "\n", "comparison.csv": compare.table(found)}
    files |= {name: alone(text) + "\n" for name, text in pictures.items()} | {"index.html": page(found, pictures)}
    for name, text in files.items():
        write(folder / name, text)


def _table(found: Mapping[str, Any]) -> Table:
    sweep = found["plan"]["sweep"]
    columns = ["policy", *([sweep["path"]] if sweep else []), "on time", "worst", "cost", "against the first", "runs"]
    table = Table(*columns, box=None, pad_edge=False)
    for r in found["rows"]:
        a, c, d = r["on_time"], r["cost"], r["against_first"]
        table.add_row(
            r["policy"], *([r["value"]] if sweep else []), _interval(a, 100), _share(a["least"]), _interval(c, 1),
            "" if d is None else f"{100 * d['mean']:+.1f} points: {d['verdict']}", str(r["runs"]),
        )  # fmt: skip
    return table


def _interval(q: Mapping[str, float | None], scale: float) -> str:
    if q["mean"] is None:
        return "–"
    if q["lower"] is None or q["upper"] is None:
        return f"{scale * q['mean']:.1f}"
    return f"{scale * q['mean']:.1f} [{scale * q['lower']:.1f}, {scale * q['upper']:.1f}]"


def _share(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f}"
