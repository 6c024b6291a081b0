"""`testbed agree`: the same seeds in both worlds, and by how much they differ.

DIR holds plan.json, live/sN and twin/sN (each a whole run folder) and agreement.json. Called again with the same plan
it carries on: live runs that are there are kept, for they cost minutes; twin runs are made anew, for they cost seconds
and the twin may have changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testbed.campaign.differences import MEASURES, Difference, Pair, Run
from testbed.campaign.grid import Job, Progress, check, run_all
from testbed.campaign.verify import open_folder
from testbed.errors import CannotRun, InputError
from testbed.record.folder import MARKER, plain
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.verdict.cells import Cell, digest, seeds_from

SCHEMA_VERSION = 1
WORLDS = ("live", "twin")


def plan_of(file: Path, sets: Sequence[str], seeds: int) -> dict[str, Any]:
    """What is run; its digest is the experiment's name. Raises InputError for a bad scenario."""
    scenario = load(file, sets)
    first = scenario.run.seed
    plan: dict[str, Any] = {
        "version": SCHEMA_VERSION,
        "kind": "agreement",
        "scenario": scenario.name,
        "scenario_sha256": text_and_hash(file, sets)[1],
        "sets": list(sets),
        "seeds": list(seeds_from(first, seeds, "--seeds")),
    }
    return plan | {"sha256": digest(plan)}


def make_runs(
    file: Path, sets: Sequence[str], plan: Mapping[str, Any], out: Path, known: Sequence[Run], progress: Progress
) -> list[Path]:
    """The folders of all runs of the plan, live ones taken from `known` where it has them.

    Raises CannotRun if one can't be made.
    """
    cells = [Cell(tuple(sets), seed) for seed in plan["seeds"]]
    jobs = [Job(file, cell, world, out / world / f"s{cell.seed}") for cell in cells for world in WORLDS]
    check(jobs)
    open_folder(out, plan)
    there = {r.summary["seed"]: r.folder for r in known if r.summary["world"] == "live" and _is_of(r, file, sets)}
    for job in jobs:
        if job.world == "twin" and (job.folder / MARKER).is_file():
            shutil.rmtree(job.folder)
    wanted = [j for j in jobs if not (j.world == "live" and j.cell.seed in there)]
    if failed := [o for o in run_all(wanted, 1, progress) if o.error]:
        raise CannotRun("\n".join(f"{o.job.world} s{o.job.cell.seed}: {o.error}" for o in failed))
    return [j.folder for j in wanted] + [there[s] for s in plan["seeds"] if s in there]


def _is_of(run: Run, file: Path, sets: Sequence[str]) -> bool:
    seed = run.summary["seed"]
    return bool(run.summary["scenario"]["sha256"] == text_and_hash(file, [*sets, f"run.seed={seed}"])[1])


def runs_in(folders: Iterable[Path]) -> list[Run]:
    """Every finished run in or below these folders. Raises InputError where there is none."""
    found = []
    for folder in folders:
        markers = sorted(folder.rglob(MARKER))
        if not markers:
            raise InputError(f"{folder}: no finished run in it; name folders that `run` or `agree` wrote")
        found += [Run.read(m.parent) for m in markers]
    return found


def pairs_of(runs: Sequence[Run]) -> list[list[Pair]]:
    """Pairs of one scenario, policy and scale, by seed. Raises InputError for a run without its other half."""
    sides: dict[tuple[str, int], dict[str, Run]] = {}
    for run in runs:
        mine = sides.setdefault((run.summary["scenario"]["sha256"], run.summary["seed"]), {})
        world = run.summary["world"]
        if world in mine:
            raise InputError(f"{run.folder} and {mine[world].folder}: the same seed in the same world; name one")
        mine[world] = run
    out: dict[str, list[Pair]] = {}
    lonely = []
    for (_, seed), mine in sorted(sides.items(), key=lambda item: item[0][1]):
        some = next(iter(mine.values()))
        if set(mine) == set(WORLDS):
            out.setdefault(_but_for_the_seed(some), []).append(Pair(mine["live"], mine["twin"]))
        else:
            lonely.append(f"{some.folder}: {some.summary['scenario']['name']}, seed {seed}: only {', '.join(mine)}")
    if lonely or not out:
        raise InputError("runs without their other half:\n  " + "\n  ".join(lonely or ["there is no run at all"]))
    return list(out.values())


def _but_for_the_seed(run: Run) -> str:
    """The scenario's text with its overrides, which is the same for runs that differ in nothing but their seed."""
    lines = str(run.metadata["scenario_text"]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("# --set run.seed="))


def agreement(pairs: Sequence[Pair]) -> dict[str, Any]:
    """What agreement.json holds."""
    rows = [row for measure in MEASURES for row in measure(pairs)]
    first = pairs[0].live.summary
    doubts = {
        str(r.folder): r.summary["invalid_because"] for p in pairs for r in (p.live, p.twin) if not r.summary["valid"]
    }
    found = {
        "schema_version": SCHEMA_VERSION,
        "scenario": first["scenario"]["name"],
        "policy": first["policy"],
        "dilation": first["dilation"],
        "shrink": first["shrink"],
        "seeds": [p.live.summary["seed"] for p in pairs],
        "tasks_offered": sum(p.live.summary["tasks"]["offered"] for p in pairs),
        "runs": {w: [str(getattr(p, w).folder) for p in pairs] for w in WORLDS},
        "differences": [asdict(row) | {"met": row.met} for row in rows],
        "invalid_because": doubts,
        "verdict": _verdict(rows, not doubts),
    }
    return dict(plain(found))


def _verdict(rows: Sequence[Difference], valid: bool) -> str:
    """Unknown where a run was invalid or a bounded measure has no value; fail where a bound is missed."""
    bounded = [row.met for row in rows if row.bound is not None]
    if not valid or None in bounded:
        return "unknown"
    return "pass" if all(bounded) else "fail"


def write(path: Path, found: object) -> None:
    try:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{path}: can't be written ({error.strerror})") from None
