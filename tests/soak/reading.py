"""What the records of a soak say: tasks that nobody answered, moves, and what moving cost beside a run without."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from testbed.record.folder import read
from tests.soak.plan import LOAD

SETTLE_S = 5.0  # after a fault's end: a lost task is sent again, paths are led back, an instance starts
Window = tuple[float, float]


@dataclass(frozen=True)
class Soaked:
    """One run. tasks: number → (intended, latency or None, outcome)."""

    summary: dict[str, Any]
    events: list[dict[str, Any]]
    tasks: dict[int, tuple[float, float | None, str]]
    finished: list[tuple[str, float]]  # (service, when) of every visit that was served
    longest: float  # deadline, s

    @property
    def windows(self) -> list[Window]:
        """In which a fault other than of the load may cost answers: from the tasks then under way to SETTLE_S after."""
        return [
            (f["applied_at_s"] - self.longest, f["reverted_at_s"] + SETTLE_S)
            for f in self.summary["faults"]
            if f["kind"] not in LOAD and f["reverted_at_s"] is not None
        ]

    def moves(self) -> list[dict[str, Any]]:
        return [e for e in self.events if e["kind"] == "migrated"]

    def failed(self) -> list[dict[str, Any]]:
        return [e for e in self.events if e["kind"] == "action_failed"]


def soaked(folder: Path) -> Soaked:
    """InputError where the records are not whole."""
    summary, _, events = read(folder)
    with _base(folder) as base:
        rows = base.execute("select id, at_s, latency_s, outcome, deadline_s from tasks").fetchall()
        served = base.execute("select service, finished_s from stages where outcome = 'done'").fetchall()
    return Soaked(
        summary, events, {n: (at, latency, outcome) for n, at, latency, outcome, _ in rows},
        [(str(m), float(t)) for m, t in served], max(row[4] for row in rows),
    )  # fmt: skip


@contextmanager
def _base(folder: Path) -> Iterator[sqlite3.Connection]:
    base = sqlite3.connect(f"file:{folder / 'tasks.sqlite'}?mode=ro", uri=True)
    try:
        yield base
    finally:
        base.close()


def inside(at: float, windows: Sequence[Window]) -> bool:
    return any(a <= at <= b for a, b in windows)


def unanswered(run: Soaked) -> tuple[list[int], list[int]]:
    """Numbers of tasks without an answer, (outside, inside) the windows of faults."""
    lost = {n: at for n, (at, _, outcome) in run.tasks.items() if outcome == "unanswered"}
    within = {n for n, at in lost.items() if inside(at, run.windows)}
    return sorted(lost.keys() - within), sorted(within)


def lost_by_moving(run: Soaked) -> tuple[int, int]:
    """Tasks lost by moves that met no fault, and by those that did."""
    calm = met = 0
    for e in run.moves():
        hit = any(a <= e["actual_s"] and e["planned_s"] <= b for a, b in run.windows)
        calm, met = calm + (0 if hit else e["lost"]), met + (e["lost"] if hit else 0)
    return calm, met


def longest_silence(run: Soaked) -> dict[str, float]:
    """Per service, s: the longest time without a request served, between the windows of faults."""
    out = {}
    for service in sorted({m for m, _ in run.finished}):
        times = sorted(t for m, t in run.finished if m == service)
        pairs = pairwise(times)
        out[service] = max((b - a for a, b in pairs if not any(x <= b and a <= y for x, y in run.windows)), default=0.0)
    return out


@dataclass(frozen=True, slots=True)
class Extra:
    """Latency of the same tasks with moves less that without, s."""

    n: int
    p50: float
    p99: float


def extra(moving: Soaked, still: Soaked) -> dict[str, Extra]:
    """ "during" a move and "between" moves; tasks that both runs answered, outside the windows of both."""
    windows = [*moving.windows, *still.windows]
    moves = [(e["planned_s"], e["actual_s"]) for e in moving.moves()]
    found: dict[str, list[float]] = {"during": [], "between": []}
    for n in moving.tasks.keys() & still.tasks.keys():
        (at, with_moves, _), (_, without, _) = moving.tasks[n], still.tasks[n]
        if with_moves is not None and without is not None and not inside(at, windows):
            found["during" if inside(at, moves) else "between"].append(with_moves - without)
    return {
        name: Extra(len(x), *(float(np.quantile(x, q)) for q in (0.5, 0.99))) if x else Extra(0, 0.0, 0.0)
        for name, x in found.items()
    }
