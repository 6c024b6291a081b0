"""Claims against one run's summary. Unknown is never pass.

A claim with `runs: 1` is a point check on a single run: estimate against threshold, no interval. One with more
runs, or with other settings than the scenario's own, is pending here; a fixed set of runs decides it (decide.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.scenario.model import Claim

EXIT = {"pass": 0, "none": 0, "pending": 0, "fail": 1, "unknown": 3}


def value_of(summary: Mapping[str, Any], metric: str) -> float | None:
    """The number at a dotted path of summary.json; None where there is none."""
    here: Any = summary
    for key in metric.split("."):
        if not isinstance(here, Mapping) or key not in here:
            return None
        here = here[key]
    return float(here) if isinstance(here, (int, float)) else None


def judge(claim: Claim, summary: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of summary.json's `claims`."""
    estimate = value_of(summary, claim.metric)
    if not claim.single:
        verdict = "pending"
    elif estimate is None or not summary["valid"]:
        verdict = "unknown"
    else:
        verdict = "pass" if holds(claim, estimate) else "fail"
    return {"id": claim.id, "verdict": verdict, "estimate": estimate, "lower": None, "upper": None, "runs": 1}


def holds(claim: Claim, value: float) -> bool:
    """Whether a value is on the claimed side of the threshold."""
    if claim.at_least is not None and value < claim.at_least:
        return False
    return claim.at_most is None or value <= claim.at_most


def overall(judged: Sequence[Mapping[str, Any]], valid: bool) -> str:
    """The worst of the claims: fail over unknown over pass; an invalid run is unknown; "none" without claims."""
    verdicts = {c["verdict"] for c in judged}
    if not valid:
        return "unknown"
    for verdict in ("fail", "unknown", "pass", "pending"):
        if verdict in verdicts:
            return verdict
    return "none"
