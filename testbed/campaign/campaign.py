"""`testbed campaign`: a plan's runs on many workers, one table, one comparison per world.

DIR holds plan.json, runs/WORLD/CELL/ (whole run folders), results.parquet and per world comparison.json, .csv, page and
figures. Only this process writes there. A run counts once: by its folder, which is whole or absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from testbed.campaign import compare, table
from testbed.campaign.campaign_file import Plan, Point
from testbed.campaign.crew import inspect, made
from testbed.campaign.folder import open_folder
from testbed.campaign.grid import Progress, summary_of
from testbed.campaign.identity import identity
from testbed.campaign.parcel import Bundle, Order, put
from testbed.errors import InputError
from testbed.record.folder import plain
from testbed.verdict.cells import Cell

Crew = AbstractContextManager[Any]  # of a client of `distributed`
PIECE = 16  # runs in one order at most: what a lost worker costs, and how often there is news


def open_campaign(plan: Plan, out: Path, resume: bool) -> list[tuple[str, Cell]]:
    """(world, cell) of what is to be made yet. Raises InputError for another plan, and where nobody asked to resume."""
    if (out / "plan.json").exists() and not resume:
        raise InputError(f"{out}: holds a campaign already; --resume carries it on, or name a new folder with --out")
    open_folder(out, plan.described)
    return [
        (world, cell) for world, _, _, cell in plan.cells() if not _is_there(folder_of(out, world, cell), world, cell)
    ]


def folder_of(out: Path, world: str, cell: Cell) -> Path:
    return out / "runs" / world / cell.name


def _is_there(folder: Path, world: str, cell: Cell) -> bool:
    """Whether the run lies there whole. That it is this plan's, the folder's plan.json says."""
    try:
        found = summary_of(folder)
        return found is not None and (found["world"], found["seed"]) == (world, cell.seed)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def run(
    plan: Plan, missing: list[tuple[str, Cell]], out: Path, crew: Callable[[bool], Crew], progress: Progress
) -> dict[tuple[str, Cell], str]:
    """Make what is missing. Returns why a run could not be made. crew: (whether runs are live) → whom to ask."""
    failed: dict[tuple[str, Cell], str] = {}
    if not missing:
        return failed
    live = any(world == "live" for world, _ in missing)
    with crew(live) as client:
        workers = inspect(client, live)
        keys, orders = _orders(plan, missing)
        ended = plan.total - len(missing)
        ahead = f"{workers} workers place and run, {len(orders[0].runs)} runs come back at a time"
        progress(ended, plan.total, f"there already; {ahead}" if ended else ahead)
        for group in made(client, orders):
            for one in group:
                world, cell = keys[one.key]
                if one.error is None:
                    put(one, folder_of(out, world, cell))
                else:
                    failed[world, cell] = one.error
                ended += 1
                progress(ended, plan.total, f"{world} {cell.name}: {one.error or 'done'}")
        progress(ended, plan.total, "ending the workers")
    return failed


def _orders(plan: Plan, missing: list[tuple[str, Cell]]) -> tuple[dict[str, tuple[str, Cell]], list[Order]]:
    """(what each run is called on its way, the orders).

    Runs of one seed and policy go together, because they share their core placement; live ones each alone.
    """
    bundle = Bundle.of(plan.file, [(*plan.base, *p.sets) for p in plan.points])
    ours = identity()
    names = {run: f"r{i}" for i, run in enumerate(missing)}
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for world, _, policy, cell in plan.cells():
        if (world, cell) in names:
            groups.setdefault((world, policy, cell.seed), []).append(cell)
    orders = []
    for (world, _, _), cells in groups.items():
        size = 1 if world == "live" else PIECE
        for i in range(0, len(cells), size):
            runs = [(names[world, c], Cell((*plan.base, *c.sets), c.seed)) for c in cells[i : i + size]]
            orders.append(Order(bundle, world, tuple(runs), ours))
    return {name: run for run, name in names.items()}, orders


def write_table(plan: Plan, out: Path, failed: Mapping[tuple[str, Cell], str]) -> None:
    """results.parquet, all runs of the plan; of a run that could not be made, why."""
    paths = list(dict.fromkeys(p for point in plan.points for p in point.values))
    rows = []
    for world, point, policy, cell in plan.cells():
        row: dict[str, Any] = {"scenario": plan.described["scenario"], "world": world, "policy": policy}
        row |= {f"set.{p}": point.values.get(p) for p in paths}
        row |= {"seed": cell.seed, "error": failed.get((world, cell))}
        found = summary_of(folder_of(out, world, cell))
        rows.append(row | (table.measures(found) if found is not None else {}))
    table.write(out / "results.parquet", rows)


def comparison(plan: Plan, out: Path, world: str, failed: Mapping[tuple[str, Cell], str]) -> dict[str, Any]:
    """What comparison.json of one world holds, in the form that `compare` has (report/comparison.py reads it)."""
    rows = [_row(plan, out, world, point, policy) for point in plan.points for policy in plan.policies]
    compare.differences(plan.policies[0], rows)
    paths = list(dict.fromkeys(p for point in plan.points for p in point.values))
    sweep = {"path": ", ".join(paths), "values": [p.label for p in plan.points]} if paths else None
    described = {
        "file": plan.campaign.name,
        "policies": list(plan.policies),
        "seeds": list(plan.seeds),
        "world": world,
        "sweep": sweep,
        "sha256": plan.described["sha256"],
    }
    lost = {cell.name: why for (w, cell), why in failed.items() if w == world}
    return dict(plain({"plan": described, "confidence": compare.CONFIDENCE, "rows": rows, "failed": lost}))


def _row(plan: Plan, out: Path, world: str, point: Point, policy: str) -> dict[str, Any]:
    cells = {s: plan.cell(point, policy, s) for s in plan.seeds}
    found = {s: summary_of(folder_of(out, world, c)) for s, c in cells.items()}
    row = compare.row_of(policy, point.label, found, [f"../runs/{world}/{c.name}" for c in cells.values()])
    return row | {"settings": dict(point.values)}
