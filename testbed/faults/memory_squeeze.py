"""A node has a share of its memory left: nothing more fits than that by the planner's figures, and the kernel's limit
falls as well.

What runs there goes on: the limit stays above what is in use, so the kernel ends nothing that was there before. New
instances that do not fit are refused (`action_failed`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("node",)
NEEDS = frozenset({"memory"})


class Parameters(FaultParameters):
    """keep: of the node's memory."""

    keep: Annotated[float, Field(ge=0.001, lt=1)] = 0.25


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("node_memory", target, {"keep": parameters.keep})]
