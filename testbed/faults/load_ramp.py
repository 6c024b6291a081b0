"""Arrivals of one ingress grow steadily to a multiple, in small steps, and fall back at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground, Steps
from testbed.world.base import Disturbance

TARGETS = ("ingress",)
NEEDS: frozenset[str] = frozenset()
STEPS = 40


class Parameters(FaultParameters):
    """to: the factor reached at the end, at most 20; below 1 the load fades away."""

    to: Annotated[float, Field(gt=0, le=20)] = 3.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("load", target, {"to": parameters.to})]


def steps(target: str, parameters: Parameters, start: float, length: float) -> Steps:
    """Each step has the factor of its middle, so the expected number of tasks is that of the line."""
    return [(target, start + length * k / STEPS, 1.0 + (parameters.to - 1.0) * (k + 0.5) / STEPS) for k in range(STEPS)]
