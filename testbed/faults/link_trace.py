"""A link follows a trace of shares of its rate, step by step, from the beginning again until the fault ends.

Each step is an occurrence of its own in the records. For a trace from a file that lasts all the run: `bandwidth`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from testbed.faults.base import FaultParameters, Ground
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"rate"})
MOST = 200  # steps of a fault


class Parameters(FaultParameters):
    """keep: of what the link would carry, in each step. step: nominal s; longer where it would be over MOST steps."""

    keep: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=MOST)]
    step: Annotated[Seconds, Field(ge=0.1)] = 0.5

    @field_validator("keep")
    @classmethod
    def _squeezes(cls, keep: list[float]) -> list[float]:
        if all(share == 1.0 for share in keep):
            raise ValueError("nothing changes while every share is 1: give one below 1")
        return keep


def spells(parameters: Parameters, length: float) -> list[tuple[float, float, Parameters]]:
    """(since, length, this step's own parameters). A step without any squeeze is none."""
    step = max(parameters.step, length / MOST)
    count = max(1, int(length / step + 1 - 1e-9))
    levels = [parameters.keep[k % len(parameters.keep)] for k in range(count)]
    return [
        (k * step, min(step, length - k * step), parameters.model_copy(update={"keep": [level]}))
        for k, level in enumerate(levels)
        if level < 1.0
    ]


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"rate_factor": parameters.keep[0]})]
