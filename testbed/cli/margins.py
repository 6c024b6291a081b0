"""`testbed margins`: one search per file and policy, one figure of them all."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from testbed.campaign.campaign_file import SCENARIOS
from testbed.campaign.crew import crew
from testbed.campaign.folder import write
from testbed.campaign.hunt import RECORD, Hunt, hunt
from testbed.cli.falsify import effort, sentences
from testbed.cli.folders import scenarios
from testbed.cli.progress import Budget, Progress, stderr, tell
from testbed.errors import InputError
from testbed.record.folder import no_file
from testbed.report.margins import figure, page, table
from testbed.run.prepare import load

OUTCOMES = {0: "holds", 1: "counterexample", 3: "unknown"}


def draw_margins(a: argparse.Namespace) -> int:
    """0 when each search ended with a margin or a counterexample, 3 otherwise. What DIR holds already is kept."""
    files = scenarios(a.files or [SCENARIOS / "claims"])
    hunts = _hunts(files, [p.strip() for p in a.policies.split(",") if p.strip()] if a.policies else [None], a)
    no_file(Path(a.out))
    console = stderr()
    console.print(f"searches: {len(hunts)}, at most {a.budget} twin runs each; records: {a.out}")
    rows = []
    with Budget() as progress, crew(None, a.workers or len(os.sched_getaffinity(0)), live=False) as client:
        for i, h in enumerate(hunts):
            folder = Path(a.out) / _place(h, a)
            console.print(f"({i + 1} of {len(hunts)}) {h.file.stem}: {h.claim.id}, {h.scenario.policy.name}")
            rows.append(_row(h, _place(h, a), _kept(h, folder) or _searched(client, h, folder, progress)))
            _write(Path(a.out), a, rows)  # now, so that a search that is cut short leaves what there is
    where = f"page: {Path(a.out) / 'index.html'}"
    if a.json:
        console.print(where)
    tell(_found(a, rows) if a.json else where)
    return 3 if any(r["outcome"] == "unknown" for r in rows) else 0


def _hunts(files: list[Path], policies: list[Any], a: argparse.Namespace) -> list[Hunt]:
    """A claim that compares with a policy is not asked of that very policy. Raises InputError."""
    hunts = []
    for file in files:
        claims: list[str | None] = [None]
        if a.all_claims:
            claims = [c.id for c in load(file, ()).claims]
        hunts += [Hunt.of(file, claim, policy, effort(a)) for claim in claims for policy in policies]
    hunts = [h for h in hunts if not h.claim.against or h.claim.against.policy != h.scenario.policy.name]
    names = [_place(h, a) for h in hunts]
    if len(set(names)) < len(names):
        raise InputError("two of the files have one name, or a policy stands there twice; their searches would mix")
    if not hunts:
        raise InputError("margins: there is no claim to search for; name scenarios that make one")
    return hunts


def _place(h: Hunt, a: argparse.Namespace) -> str:
    """Where in DIR its search lies."""
    return "/".join([h.file.stem, *([h.claim.id] if a.all_claims else []), h.scenario.policy.name])


def _kept(h: Hunt, folder: Path) -> dict[str, Any] | None:
    """Of an earlier call, which was the same search."""
    try:
        plan = json.loads((folder / "plan.json").read_text())
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if plan.get("sha256") == h.plan()["sha256"] else None


def _searched(client: Any, h: Hunt, folder: Path, progress: Progress) -> dict[str, Any]:
    progress.now("searching")
    caught = hunt(client, h, folder, progress)
    sentences(progress.console, caught)
    return caught.record


def _row(h: Hunt, place: str, record: dict[str, Any]) -> dict[str, Any]:
    judged = record["judged"] or {}
    return {
        "file": h.file.stem,
        "question": h.scenario.question,
        "folder": place,
        "outcome": OUTCOMES[record["exit_code"]],
        "estimate": judged.get("estimate"),
        **record,
    }


def _found(a: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What margins.json holds."""
    return {"schema_version": 1, "load_up_to": a.load_up_to, "seeds": a.seeds, "recheck": a.recheck, "rows": rows}


def _write(out: Path, a: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    found = _found(a, rows)
    write(out / "margins.json", json.dumps(found, indent=1) + "\n")
    write(out / "margins.svg", figure(found, alone=True) + "\n")
    write(out / "margins.md", table(found))
    write(out / "index.html", page(found))
