"""Arrivals of one ingress are multiplied; all other draws of the run stay what they were."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground, Steps
from testbed.world.base import Disturbance

TARGETS = ("ingress",)
NEEDS: frozenset[str] = frozenset()


class Parameters(FaultParameters):
    """factor: multiplies the intensity, at most 20 (a flash crowd; below 1 a lull)."""

    factor: Annotated[float, Field(gt=0, le=20)] = 3.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("load", target, {"factor": parameters.factor})]


def steps(target: str, parameters: Parameters, start: float, length: float) -> Steps:
    return [(target, start, parameters.factor)]
