"""What each link carries now, nominal: its rate, its track, and what a fault leaves of it."""

from __future__ import annotations

from bisect import bisect_right

from testbed.topology.model import Link
from testbed.world.base import Bed


class Rates:
    """factors: of squeezed links, by name."""

    def __init__(self, bed: Bed) -> None:
        self._links = {k.name: (i, k) for i, k in enumerate(bed.topology.links)}
        self._links |= {f"{k.b}--{k.a}": (i, k) for i, k in enumerate(bed.topology.links)}
        self._tracks = bed.tracks
        self.factors: dict[str, float] = {}

    def link(self, name: str) -> tuple[int, Link]:
        """A link's place and itself, by name in either order, or by one direction "a->b". KeyError: there is none."""
        return self._links[name.replace("->", "--")]

    def lanes(self, name: str) -> list[int]:
        """The lanes a name means: both directions, or one."""
        index, link = self.link(name)
        if "->" not in name:
            return [2 * index, 2 * index + 1]
        return [2 * index if link.a == name.split("->")[0] else 2 * index + 1]

    def now(self, time: float) -> dict[str, float]:
        """bit/s of links that fluctuate or are squeezed, by link name or direction "a->b"."""
        rates = {name: self.link(name)[1].ab.rate * factor for name, factor in self.factors.items()}
        for track in self._tracks:
            step = max(bisect_right(track.times, time) - 1, 0)
            rates[track.link] = track.rates[step] * self.factors.get(self.link(track.link)[1].name, 1.0)
        return rates
