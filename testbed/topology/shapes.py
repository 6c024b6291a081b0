"""How files and generators write a link's shape: only what differs from the default, with units."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from testbed.topology.model import Link, Shape
from testbed.units import TIME, BitsPerSecond, Bytes, Seconds, parse_range

#: Rates and delays of links nobody gave: bit/s, s. Ours; a metro of fibre, gateways ten times a node's link.
TRUNK_RATE, NODE_RATE, GATEWAY_RATE = 800e6, 1e9, 10e9
HOST_DELAY = 0.5e-3
#: A trunk whose length is unknown (no coordinates at either end, no delay in the file).
TRUNK_DELAY = 1e-3


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
#: Distributions of jitter; testbed/world/live/links/jitter.py says what each is.
JitterLaw = Literal["normal", "uniform", "pareto"]
#: Mean frames of a bad state; less than one frame is no state.
Burst = Annotated[float, Field(ge=1, le=1e6)]


class Impairments(Strict):
    """What frames may suffer besides delay, as far as it is given; meanings and units as in `Shape`."""

    jitter_law: JitterLaw | None = None
    jitter_correlation: Share | None = None
    loss_burst: Burst | None = None
    loss_bad: Annotated[float, Field(gt=0, le=1)] | None = None
    loss_good: Share | None = None
    duplicate: Share | None = None
    reorder: Share | None = None
    corrupt: Share | None = None


class Part(Impairments):
    """One direction of a link, as far as it is given: rate bit/s; delay, jitter s; loss 0..1; queue bytes."""

    rate: BitsPerSecond | None = None
    delay: Seconds | None = None
    jitter: Seconds | None = None
    loss: Share | None = None
    queue: Annotated[Bytes, Field(gt=0)] | None = None


def _range(value: Any) -> tuple[float, float]:
    return parse_range(value, TIME, "duration")


#: One duration, or "6..14 ms": drawn per seed and link.
SecondsRange = Annotated[tuple[float, float], BeforeValidator(_range)]


class TrunkPart(Impairments):
    """Trunks of a generator: `delay` may be a range."""

    rate: BitsPerSecond = TRUNK_RATE
    delay: SecondsRange = (TRUNK_DELAY, TRUNK_DELAY)
    jitter: Seconds = 0.0
    loss: Share = 0.0
    queue: Annotated[Bytes, Field(gt=0)] | None = None

    def shape(self, delay: float) -> Shape:
        """With a delay drawn from the range, s."""
        return shape(Shape(self.rate, delay), self.model_copy(update={"delay": None}))


TRUNK_LINK = Shape(rate=TRUNK_RATE, delay=TRUNK_DELAY)
NODE_LINK = Shape(rate=NODE_RATE, delay=HOST_DELAY)
GATEWAY_LINK = Shape(rate=GATEWAY_RATE, delay=HOST_DELAY)


def shape(default: Shape, *parts: Impairments | None) -> Shape:
    """The default, changed by each part in turn."""
    values: dict[str, Any] = {}
    for part in parts:
        if part is not None:
            values.update({k: v for k, v in part.model_dump().items() if v is not None})
    return replace(default, **values)


def link(a: str, b: str, ab: Shape, ba: Shape | None = None, role: str = "trunk") -> Link:
    """The link "a--b"; the same shape both ways unless `ba` is given."""
    return Link(f"{a}--{b}", a, b, ab, ba or ab, role)
