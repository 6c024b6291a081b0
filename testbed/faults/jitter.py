"""A link's delay varies from frame to frame, without reordering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"jitter"})


class Parameters(FaultParameters):
    """deviation: standard deviation, s. law: of the variation. correlation: of one frame's with the next one's."""

    deviation: Annotated[Seconds, Field(gt=0, le=1)] = 0.005
    law: Literal["normal", "uniform", "pareto"] = "normal"
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [
        ground.disturb(
            "link_shape",
            target,
            {
                "jitter": parameters.deviation,
                "jitter_law": parameters.law,
                "jitter_correlation": parameters.correlation,
            },
        )
    ]
