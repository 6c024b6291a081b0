"""Bytes each link has carried, at every observation, so that the measured window can be cut out afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from testbed.record.link_use import Readings, link_use
from testbed.topology.model import Topology
from testbed.world.twin.engine import Engine
from testbed.world.twin.layout import Floats


class Meters:
    """window: the measured one, s."""

    def __init__(self, topology: Topology, engine: Engine, window: tuple[float, float]) -> None:
        self._topology, self._engine = topology, engine
        self._read: Readings[Floats] = Readings(window)
        self.tick(0.0)

    def tick(self, now: float) -> None:
        """Note what each link's busier direction has carried."""
        self._read.add(now, self._engine.carried().reshape(-1, 2))

    def utilisation(self) -> dict[str, float]:
        """Share of the nominal rate, busier direction, over the observations of the window."""
        window = self._read.window()
        assert window is not None  # one was read at t = 0
        (t0, first), (t1, last) = window
        seconds = max(t1 - t0, 1e-9)
        carried = (np.max(last, axis=1) - np.max(first, axis=1)) * 8.0 / seconds
        return {
            k.name: float(bits / min(k.ab.rate, k.ba.rate))
            for k, bits in zip(self._topology.links, carried, strict=True)
        }

    def use(self) -> dict[str, Any]:
        """Through the whole run (record.link_use)."""
        links = self._topology.links
        carried = np.array([np.max(sent, axis=1) for _, sent in self._read.kept])
        rates = [min(k.ab.rate, k.ba.rate) for k in links]
        return link_use([t for t, _ in self._read.kept], carried, [k.name for k in links], rates)

    def facts(self) -> dict[str, Any]:
        return {"link_utilisation": self.utilisation()}
