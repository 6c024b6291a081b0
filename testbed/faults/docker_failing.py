"""Docker calls of the run fail now and then: what the policy orders is given up or tried again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("control",)
NEEDS = frozenset({"docker"})


class Parameters(FaultParameters):
    """share: of the calls, each by a throw of its own."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.3


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("docker_failing", target, {"share": parameters.share})]
