"""The do-nothing fault: the smallest example, and the control group of an experiment."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "node", "ingress", "site")
NEEDS: frozenset[str] = frozenset()  # shape fields of the target link it changes


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return []
