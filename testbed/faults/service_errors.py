"""A service answers a share of its requests with a failure; their gateways send those tasks again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("service",)
NEEDS = frozenset({"errors"})


class Parameters(FaultParameters):
    """share: of requests, drawn per task and attempt: the same ones in every world and under every policy."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.2


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("errors", target, {"share": parameters.share})]
