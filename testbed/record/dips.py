"""How deep a disturbance dents the on-time rate, and how long until it is back: from tasks' times and outcomes.

W(s): share on time of the tasks intended in [s, s + WINDOW), pooled over the runs given. With a the time of
application, base is the share over the BEFORE seconds before a, and

    depth    = base − min W(s) over s in [a, r + AFTER],  r the time of reversion, at least 0
    recovery = the first s − a from which on W stays at or above base − SLACK, 0 where it never falls below
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from testbed.record.tables import Array

WINDOW, STEP, BEFORE, AFTER, SLACK = 2.0, 0.25, 10.0, 5.0, 0.05


@dataclass(frozen=True, slots=True)
class Disturbed:
    """One run around one fault. at: intended sends, ascending, s; on_time: of the same tasks. end: where to stop
    looking, the end of the load or the next fault."""

    at: Array
    on_time: Array
    applied: float
    reverted: float
    end: float


@dataclass(frozen=True, slots=True)
class Dip:
    """base, depth: shares. recovery: s, None where it was not back by the end. tasks: in the windows of the dip."""

    base: float
    depth: float
    recovery: float | None
    tasks: int


def dip(runs: Sequence[Disturbed]) -> Dip | None:
    """The dip of these runs together; None where no task was sent before the fault or none after it."""
    before = np.sum([_count(r, -BEFORE, np.array([0.0])) for r in runs], axis=0)[:, 0]
    span = min(r.end - r.applied for r in runs)
    starts = np.arange(0.0, span - WINDOW + 1e-9, STEP)
    if not before[0] or not len(starts):
        return None
    offered, good = np.sum([_count(r, starts, starts + WINDOW) for r in runs], axis=0)
    seen = offered > 0
    if not seen.any():
        return None
    starts, share = starts[seen], good[seen] / offered[seen]
    base = float(before[1] / before[0])
    inside = starts <= max(r.reverted - r.applied for r in runs) + AFTER
    depth = max(base - float(share[inside].min()), 0.0) if inside.any() else 0.0
    low = np.flatnonzero(share < base - SLACK)
    recovery: float | None = 0.0
    if len(low):
        recovery = float(starts[low[-1] + 1]) if low[-1] + 1 < len(starts) else None
    return Dip(base, depth, recovery, int(offered[seen][inside].max(initial=0)))


def _count(run: Disturbed, start: float | Array, end: Array) -> Array:
    """[2, n]: tasks, and those on time, intended in [applied + start, applied + end)."""
    a, b = (np.searchsorted(run.at, run.applied + np.broadcast_to(x, end.shape)) for x in (start, end))
    good = np.concatenate([[0], np.cumsum(run.on_time)])
    return np.array([b - a, good[b] - good[a]])
