"""How a run came through each fault: when it noticed, led round it, was on time again; how deep and long it dipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from testbed.record.dips import Disturbed, dip
from testbed.record.tables import ON_TIME, Array

NOTICED = frozenset({"network_link_down", "instance_died"})  # events
LED_ROUND = frozenset({"network_paths"})


def recovery(
    rows: Array, faults: Sequence[Mapping[str, Any]], told: Sequence[tuple[str, float]], end: float
) -> dict[str, dict[str, float | None]]:
    """Per fault, s since its application: detect_s, reroute_s (None where nothing of the kind was told while it was in
    force), first_on_time_s (the first on-time result of a task intended after it), seconds (until the on-time rate was
    back for good, testbed.record.dips, None: not before the next fault or the end); dip and base are shares.

    rows: tasks. faults: of summary.json; what one fault did to several things counts as one. told: (kind, s) of events.
    end: of the load, s.
    """
    rows = rows[np.argsort(rows["at"], kind="stable")]
    good = rows["outcome"] == ON_TIME
    spans: dict[str, tuple[float, float]] = {}
    for f in faults:
        a, b = f["applied_at_s"], end if f["reverted_at_s"] is None else f["reverted_at_s"]
        before = spans.get(f["name"], (a, b))
        spans[f["name"]] = min(before[0], a), max(before[1], b)
    out: dict[str, dict[str, float | None]] = {}
    for name, (a, b) in spans.items():
        until = min([s for s, _ in spans.values() if s > a] + [end])
        found = dip([Disturbed(rows["at"], good, a, b, until)])
        after = rows[good & (rows["at"] >= a)]
        back = after["at"] + after["latency"]
        out[name] = {
            "detect_s": _first(told, NOTICED, a, b),
            "reroute_s": _first(told, LED_ROUND, a, b),
            "first_on_time_s": float(back.min()) - a if len(back) else None,
            "base": found.base if found else None,
            "dip": found.depth if found else None,
            "seconds": found.recovery if found else None,
        }
    return out


def _first(told: Sequence[tuple[str, float]], kinds: frozenset[str], since: float, until: float) -> float | None:
    """s from `since` to the first event of these kinds in [since, until]."""
    return min((at - since for kind, at in told if kind in kinds and since <= at <= until), default=None)
