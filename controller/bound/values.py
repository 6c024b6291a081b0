"""What the fluid bound is asked about: a network, and crowds of tasks on it. Plain values, nominal SI units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from controller.light import law as laws
from controller.model import LEAST_GAIN

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pipe:
    """One direction of a link. delay s; rate: bit/s carried on average over the window; peak: bit/s at its best."""

    delay: float
    rate: float
    peak: float


@dataclass(frozen=True, slots=True)
class Port:
    """The one link of a node or gateway to its site; `out` leaves it, `into` enters it."""

    site: str
    out: Pipe
    into: Pipe


@dataclass(frozen=True, slots=True)
class Trunk:
    """One direction of a link between two sites."""

    source: str
    target: str
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Network:
    """ports by the name of a node or an ingress; trunks, each direction on its own."""

    ports: Mapping[str, Port]
    trunks: tuple[Trunk, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """A fading access channel that is not drawn but integrated over. time: s at its mean rate; m: of Nakagami."""

    time: float
    m: float

    def within(self, left: Array) -> Array:
        """P(time / G <= left) for G ~ Gamma(m, 1/m), no less than LEAST_GAIN (eq. (2)); 0 where nothing is left."""
        if self.time == 0.0:
            return (left >= 0.0).astype(float)
        gain = self.time / np.maximum(left, 1e-12)
        chance: Array = np.where(gain <= LEAST_GAIN, 1.0, 1.0 - laws.gamma_cdf(self.m, self.m * np.minimum(gain, 40.0)))
        return np.where(left > 0.0, chance, 0.0)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Tasks of one type from one ingress: `rate` per second, of which the N samples are equal shares.

    access: s, shape (N,). work: s at speed 1, shape (stages, N), in the order of the type's stages. size: factor on
    all bytes, shape (N,), or None for 1. channel: access that comes on top, integrated over; None: none.
    """

    type: str
    ingress: str
    rate: float
    access: Array
    work: Array
    size: Array | None = None
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """on_time_rate: no routing and no sizing reaches more. physics, by_type: with capacity without limit."""

    on_time_rate: float
    physics: float
    by_type: Mapping[str, float]
