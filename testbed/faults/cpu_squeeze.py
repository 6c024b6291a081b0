"""A node has a share of its processors left: its quota, and what its services need for a request in idle mode."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("node",)
NEEDS = frozenset({"cpu"})


class Parameters(FaultParameters):
    """keep: of the node's processors. Services that wait (mode idle) take 1 / keep times as long."""

    keep: Annotated[float, Field(ge=0.01, lt=1)] = 0.5


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("node_cpu", target, {"keep": parameters.keep})]
