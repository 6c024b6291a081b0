"""Bytes each link has carried, at every observation, so that the measured window can be cut out afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from testbed.record.link_use import link_use
from testbed.topology.model import Topology
from testbed.world.twin.engine import Engine
from testbed.world.twin.layout import Floats


class Meters:
    def __init__(self, topology: Topology, engine: Engine) -> None:
        self._topology, self._engine = topology, engine
        self._ticks: list[tuple[float, Floats]] = []
        self.tick(0.0)

    def tick(self, now: float) -> None:
        """Note what each link's busier direction has carried."""
        self._ticks.append((now, self._engine.carried().reshape(-1, 2)))

    def utilisation(self, start: float, end: float) -> dict[str, float]:
        """Share of the nominal rate, busier direction, over the observations of [start, end]."""
        inside = [t for t in self._ticks if start - 0.5 <= t[0] <= end + 0.5] or self._ticks
        (t0, first), (t1, last) = inside[0], inside[-1]
        seconds = max(t1 - t0, 1e-9)
        carried = (np.max(last, axis=1) - np.max(first, axis=1)) * 8.0 / seconds
        return {
            k.name: float(bits / min(k.ab.rate, k.ba.rate))
            for k, bits in zip(self._topology.links, carried, strict=True)
        }

    def use(self) -> dict[str, Any]:
        """Through the whole run (record.link_use)."""
        links = self._topology.links
        carried = np.array([np.max(sent, axis=1) for _, sent in self._ticks])
        rates = [min(k.ab.rate, k.ba.rate) for k in links]
        return link_use([t for t, _ in self._ticks], carried, [k.name for k in links], rates)

    def facts(self, warmup: float, duration: float) -> dict[str, Any]:
        return {"link_utilisation": self.utilisation(warmup, warmup + duration)}
