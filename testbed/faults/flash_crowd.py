"""A crowd that moves: it gathers at one ingress and walks on to others, at each for an equal part of the time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground, Steps
from testbed.world.base import Disturbance

TARGETS = ("ingress",)
NEEDS: frozenset[str] = frozenset()


class Parameters(FaultParameters):
    """factor: of the intensity where the crowd is. on: the ingresses it walks on to, in order, by name."""

    AIMS = ("on",)
    factor: Annotated[float, Field(gt=0, le=20)] = 4.0
    on: Annotated[list[str], Field(min_length=1, max_length=50)]


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("load", at, {"factor": parameters.factor}) for at in dict.fromkeys((target, *parameters.on))]


def steps(target: str, parameters: Parameters, start: float, length: float) -> Steps:
    places = [target, *parameters.on]
    stay = length / len(places)
    out: Steps = []
    for k, (place, before) in enumerate(zip(places, ["", *places], strict=False)):
        if before and before != place:
            out.append((before, start + k * stay, 1.0))
        out.append((place, start + k * stay, parameters.factor))
    return out
