"""Arrivals of one ingress follow a trace of factors, step by step, from the beginning again until the fault ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground, Steps
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("ingress",)
NEEDS: frozenset[str] = frozenset()
MOST = 1000  # steps of a fault


class Parameters(FaultParameters):
    """factors: of the intensity in each step. step: nominal s; longer where it would be over MOST steps."""

    factors: Annotated[list[Annotated[float, Field(gt=0, le=20)]], Field(min_length=1, max_length=MOST)]
    step: Annotated[Seconds, Field(ge=0.1)] = 1.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("load", target, {"factors": parameters.factors})]


def steps(target: str, parameters: Parameters, start: float, length: float) -> Steps:
    step = max(parameters.step, length / MOST)
    count = max(1, int(length / step + 1 - 1e-9))
    return [(target, start + k * step, parameters.factors[k % len(parameters.factors)]) for k in range(count)]
