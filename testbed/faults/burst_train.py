"""Arrivals of one ingress come in bursts: a factor for a while, the usual load for a while, again and again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground, Steps
from testbed.units import PositiveSeconds
from testbed.world.base import Disturbance

TARGETS = ("ingress",)
NEEDS: frozenset[str] = frozenset()
SHORTEST = 0.05  # s: below, a burst is a few tasks


class Parameters(FaultParameters):
    """factor: of the intensity within a burst. period: s from one burst to the next. duty: share of it that bursts."""

    factor: Annotated[float, Field(gt=0, le=20)] = 5.0
    period: Annotated[PositiveSeconds, Field(ge=2 * SHORTEST)] = 2.0
    duty: Annotated[float, Field(ge=0.05, le=0.95)] = 0.25


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    shape = {"factor": parameters.factor, "period": parameters.period, "duty": parameters.duty}
    return [ground.disturb("load", target, shape)]


def steps(target: str, parameters: Parameters, start: float, length: float) -> Steps:
    out: Steps = []
    k = 0
    while (begin := k * parameters.period) < length:
        out.append((target, start + begin, parameters.factor))
        if (quiet := begin + parameters.duty * parameters.period) < length:
            out.append((target, start + quiet, 1.0))
        k += 1
    return out
