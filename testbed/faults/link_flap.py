"""A link goes down and comes back, again and again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.units import PositiveSeconds
from testbed.world.base import Disturbance

TARGETS = ("link",)
NEEDS = frozenset({"state"})


class Parameters(FaultParameters):
    """period: s from one cut to the next. duty: share of it that the link is down."""

    period: Annotated[PositiveSeconds, Field(ge=0.2)] = 2.0
    duty: Annotated[float, Field(ge=0.05, le=0.95)] = 0.5


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_state", target, {"up": False})]


def spells(parameters: Parameters, length: float) -> list[tuple[float, float, Parameters]]:
    """(since the fault's beginning, for how long, the parameters then) it is in force."""
    down = parameters.duty * parameters.period
    out, begin = [], 0.0
    while begin < length - 1e-9:
        out.append((begin, min(down, length - begin), parameters))
        begin += parameters.period
    return out
