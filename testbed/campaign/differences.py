"""What to compare between the live world and the twin on the same seeds: one function per measure.

Each takes pairs of runs, one pair per seed, and gives rows: the value in each world (the mean over the seeds, or the
runs pooled where that is said), their difference, and the bound it is held to, if any.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from testbed.errors import InputError
from testbed.record.dips import Dip, Disturbed, dip
from testbed.record.folder import ask, read

#: (live, twin) → by how much they differ
Gap = Callable[[float, float], float | None]

ON_TIME_POINTS, MEDIAN_PERCENT, TAIL_PERCENT = 3.0, 10.0, 15.0


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run's folder, read."""

    folder: Path
    summary: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Run:
        summary, metadata, _ = read(folder)
        return cls(folder, summary, metadata)

    def around(self, fault: str) -> Disturbed | None:
        """The tasks around a fault; None where this run has no such fault."""
        faults = {f["name"]: f for f in self.summary["faults"]}
        if fault not in faults:
            return None
        applied = float(faults[fault]["applied_at_s"])
        later = [f["applied_at_s"] for f in faults.values() if f["applied_at_s"] > applied]
        try:
            rows = ask(self.folder, "select at_s, outcome = 'on_time' from tasks order by id")
        except sqlite3.Error as error:
            raise InputError(f"{self.folder}: tasks.sqlite can't be read ({error}); run the scenario again") from None
        at, on_time = np.array(rows, float).reshape(-1, 2).T
        end = min([*later, at[-1] if len(at) else applied])
        reverted = faults[fault]["reverted_at_s"]
        return Disturbed(at, on_time, applied, end if reverted is None else float(reverted), float(end))


@dataclass(frozen=True, slots=True)
class Pair:
    """One seed in both worlds."""

    live: Run
    twin: Run


@dataclass(frozen=True, slots=True)
class Difference:
    """One row. of: a task type or a fault, or "". difference: twin − live, in `unit`; bound: its largest allowed size.

    by_seed: the difference of each pair, empty where runs are pooled.
    """

    measure: str
    of: str
    live: float | None
    twin: float | None
    difference: float | None
    unit: str
    bound: float | None = None
    by_seed: tuple[float | None, ...] = ()

    @property
    def met(self) -> bool | None:
        """None: held to no bound, or not known."""
        if self.bound is None or self.difference is None:
            return None
        return abs(self.difference) <= self.bound


def on_time_rate(pairs: Sequence[Pair]) -> list[Difference]:
    """Share of the tasks on time; points."""
    values = [(p.live.summary["on_time_rate"], p.twin.summary["on_time_rate"]) for p in pairs]
    return [_of_means("on-time rate", "", values, _points, "points", ON_TIME_POINTS)]


def median_latency(pairs: Sequence[Pair]) -> list[Difference]:
    """Per task type, s; per cent of live's."""
    return _latency(pairs, "median latency", "p50", MEDIAN_PERCENT)


def tail_latency(pairs: Sequence[Pair]) -> list[Difference]:
    """The 95th percentile per task type, s; per cent of live's."""
    return _latency(pairs, "p95 latency", "p95", TAIL_PERCENT)


def dip_depth(pairs: Sequence[Pair]) -> list[Difference]:
    """Per fault how far the on-time rate falls (testbed.record.dips), runs pooled; points. Held to no bound."""
    return _pooled(pairs, "dip depth", lambda d: d.depth, _points, "points")


def recovery_time(pairs: Sequence[Pair]) -> list[Difference]:
    """Per fault the time until the on-time rate is back, s, runs pooled; s. Held to no bound."""
    return _pooled(pairs, "recovery time", lambda d: d.recovery, lambda a, b: b - a, "s")


def cost(pairs: Sequence[Pair]) -> list[Difference]:
    """Cost per slot; per cent of live's. Held to no bound."""
    values = [tuple(r.summary["cost"]["total_per_slot"] for r in (p.live, p.twin)) for p in pairs]
    return [_of_means("cost per slot", "", values, _percent, "%")]


def migrations(pairs: Sequence[Pair]) -> list[Difference]:
    """Moves in a run. Held to no bound."""
    values = [tuple(r.summary["migrations"]["count"] for r in (p.live, p.twin)) for p in pairs]
    return [_of_means("migrations", "", values, lambda a, b: b - a, "")]


MEASURES: tuple[Callable[[Sequence[Pair]], list[Difference]], ...] = (
    on_time_rate, median_latency, tail_latency, dip_depth, recovery_time, cost, migrations,
)  # fmt: skip


def _latency(pairs: Sequence[Pair], measure: str, quantile: str, bound: float) -> list[Difference]:
    types = sorted({n for p in pairs for r in (p.live, p.twin) for n in r.summary["latency_s"]})
    return [
        _of_means(
            measure, n,
            [tuple(r.summary["latency_s"].get(n, {}).get(quantile) for r in (p.live, p.twin)) for p in pairs],
            _percent, "%", bound,
        )
        for n in types
    ]  # fmt: skip


def _pooled(
    pairs: Sequence[Pair], measure: str, value: Callable[[Dip], float | None], difference: Gap, unit: str
) -> list[Difference]:
    """A row per fault, in order of application."""
    out = []
    for fault in dict.fromkeys(f["name"] for p in pairs for f in p.live.summary["faults"]):
        live = _value([p.live for p in pairs], fault, value)
        twin = _value([p.twin for p in pairs], fault, value)
        known = None if live is None or twin is None else difference(live, twin)
        out.append(Difference(measure, fault, live, twin, known, unit))
    return out


def _value(runs: Sequence[Run], fault: str, value: Callable[[Dip], float | None]) -> float | None:
    around = [d for d in (r.around(fault) for r in runs) if d is not None]
    found = dip(around) if around else None
    return None if found is None else value(found)


def _of_means(
    measure: str, of: str, values: Sequence[tuple[Any, ...]], difference: Gap,
    unit: str, bound: float | None = None,
) -> Difference:  # fmt: skip
    known = [(float(a), float(b)) for a, b in values if a is not None and b is not None]
    by_seed = tuple(None if a is None or b is None else difference(a, b) for a, b in values)
    if not known:
        return Difference(measure, of, None, None, None, unit, bound, by_seed)
    live, twin = (float(x) for x in np.mean(known, axis=0))
    return Difference(measure, of, live, twin, difference(live, twin), unit, bound, by_seed)


def _points(live: float, twin: float) -> float:
    return 100.0 * (twin - live)


def _percent(live: float, twin: float) -> float | None:
    if live == 0.0:
        return 0.0 if twin == 0.0 else None
    return 100.0 * (twin / live - 1.0)
