"""`testbed verify`: the fixed runs of every claim, then its verdict. Nothing is decided before the last run.

DIR holds plan.json (what will be run, hashed before the first run), runs/FILE/CELL/ (each a whole run folder),
verdicts.json, verdicts.xml (JUnit) and index.html. Called again with the same plan it carries on where it stopped; with
another plan it refuses: a changed plan is a new experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.campaign.folder import open_folder
from testbed.campaign.grid import Job, Progress, check, run_all, summary_of
from testbed.errors import InputError
from testbed.record.folder import plain
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.scenario.model import Claim, Scenario
from testbed.verdict import decide
from testbed.verdict.cells import Cell, cells_of, digest
from testbed.verdict.claims import overall

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """One scenario file and its claims, `--runs` applied."""

    file: Path
    scenario: Scenario
    sha256: str
    claims: tuple[Claim, ...]

    @property
    def cells(self) -> list[Cell]:
        first = self.scenario.run.seed
        return list(dict.fromkeys(cell for claim in self.claims for cell in cells_of(claim, first)))


def subjects(files: Sequence[Path], sets: Sequence[str], runs: int | None) -> list[Subject]:
    """Validated, or InputError with every problem of the first bad file. Two files may not share a name."""
    out: list[Subject] = []
    for file in files:
        scenario = load(file, sets)
        if not scenario.claims:
            raise InputError(f"{file}: makes no claim, so there is nothing to verify; add a `claims:` section")
        if any(s.file.stem == file.stem for s in out):
            raise InputError(f"{file}: another file of this call is called {file.stem!r} too; their runs would mix")
        changed = {} if runs is None else {"runs": runs}
        claims = tuple(c.model_copy(update=changed if c.runs > 1 else {}) for c in scenario.claims)
        out.append(Subject(file, scenario, text_and_hash(file, sets)[1], claims))
    return out


def plan_of(what: Sequence[Subject], sets: Sequence[str], world: str) -> dict[str, Any]:
    """Everything that decides what is run and how it is judged; its digest is the experiment's name."""
    plan: dict[str, Any] = {
        "version": PLAN_VERSION,
        "world": world,
        "files": [
            {
                "name": s.file.stem,
                "scenario": s.scenario.name,
                "sha256": s.sha256,
                "question": s.scenario.question,
                "sets": list(sets),
                "first_seed": s.scenario.run.seed,
                "claims": [c.model_dump(mode="json") for c in s.claims],
                "cells": [c.name for c in s.cells],
            }
            for s in what
        ],
    }
    return plan | {"sha256": digest(plan)}


def folder_of(out: Path, subject: Subject, cell: Cell) -> Path:
    return out / "runs" / subject.file.stem / cell.name


def verify(
    what: Sequence[Subject], sets: Sequence[str], world: str, out: Path, workers: int, progress: Progress
) -> dict[str, Any]:
    """Run what is missing and judge. Returns what verdicts.json holds."""
    plan = plan_of(what, sets, world)
    jobs = [
        Job(s.file, Cell((*sets, *cell.sets), cell.seed), world, folder_of(out, s, cell))
        for s in what
        for cell in s.cells
    ]
    check(jobs)
    open_folder(out, plan)
    failed = {o.job.folder: o.error for o in run_all(jobs, workers, progress) if o.error}
    progress(len(jobs), len(jobs), "judging the claims")
    return judged(what, plan, out, failed)


def judged(what: Sequence[Subject], plan: Mapping[str, Any], out: Path, failed: Mapping[Path, str]) -> dict[str, Any]:
    """All claims of all files are one family; the correction counts them all."""
    evidence, owners = [], []
    for s in what:
        for claim in s.claims:

            def lookup(cell: Cell, s: Subject = s) -> Mapping[str, Any] | None:
                return summary_of(folder_of(out, s, cell))

            evidence.append(decide.gather(claim, s.scenario.run.seed, lookup))
            owners.append((s, claim))
    entries = [
        plain(entry | {"file": s.file.stem, "runs_in": _folders(out, s, claim)})
        for entry, (s, claim) in zip(decide.decide(evidence), owners, strict=True)
    ]
    return {
        "plan": plan["sha256"],
        "world": plan["world"],
        "family": sum(bool(e.samples) for e in evidence),
        "claims": entries,
        "verdict": overall(entries, True),
        "failed": {str(folder.relative_to(out)): error for folder, error in sorted(failed.items())},
    }


def _folders(out: Path, subject: Subject, claim: Claim) -> list[str]:
    cells = cells_of(claim, subject.scenario.run.seed)
    return [str(folder_of(out, subject, cell).relative_to(out)) for cell in cells]
