"""What each direction of a link carries now, nominal: its shape, its track, and what disturbances make of both. The
same in every world."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from testbed.topology.model import Link, Shape, Topology
from testbed.world.base import Track
from testbed.world.shaping import by_name, shaken

Side = Literal["ab", "ba"]
SIDES: tuple[Side, Side] = ("ab", "ba")


class Way(NamedTuple):
    """One direction of a link, by the link's own name."""

    link: str
    side: Side


class Rates:
    """topology: nominal; tracks: of links or directions, by names in either order."""

    def __init__(self, topology: Topology, tracks: Sequence[Track]) -> None:
        self._links = {name: k for k in topology.links for name in (k.name, f"{k.b}--{k.a}")}
        self._tracks = tracks
        self._shaken: dict[Way, dict[str, Mapping[str, Any]]] = {}  # → disturbance → its shape

    def link(self, name: str) -> Link:
        """A link by its name in either order, or by one direction "a->b". KeyError: there is none."""
        return self._links[name.replace("->", "--")]

    def ways(self, name: str) -> tuple[Way, ...]:
        """The directions a name means: both, or the one."""
        link = self.link(name)
        if "->" not in name:
            return tuple(Way(link.name, side) for side in SIDES)
        return (Way(link.name, "ab" if link.a == name.split("->")[0] else "ba"),)

    def disturb(self, way: Way, disturbance: str, shape: Mapping[str, Any] | None) -> None:
        """Add a disturbance to a direction, or take it away (None)."""
        mine = self._shaken.setdefault(way, {})
        if shape is None:
            mine.pop(disturbance, None)
        else:
            mine[disturbance] = shape

    def disturbances(self, way: Way) -> list[Mapping[str, Any]]:
        """The shapes of those in force on a direction."""
        return list(self._shaken.get(way, {}).values())

    def factor(self, way: Way) -> float:
        """Of what the direction would carry, its track included."""
        return math.prod(s.get("rate_factor", 1.0) for s in self.disturbances(way))

    def shape(self, way: Way) -> Shape:
        """The direction's nominal shape under its disturbances, its track left out."""
        link = self._links[way.link]
        return shaken(link.ab if way.side == "ab" else link.ba, self.disturbances(way))

    def at(self, time: float) -> dict[str, float]:
        """bit/s of links that fluctuate or are squeezed, at a nominal time, s: by link name where both directions have
        the same, by direction "a->b" where not."""
        found: dict[str, dict[str, float]] = {}
        for way, shapes in self._shaken.items():
            if shapes:
                found.setdefault(way.link, {})[way.side] = self.shape(way).rate
        for track in self._tracks:
            rate = track.rates[max(bisect_right(track.times, time) - 1, 0)]
            for way in self.ways(track.link):
                found.setdefault(way.link, {})[way.side] = rate * self.factor(way)
        return {k: v for name, sides in found.items() for k, v in by_name(self._links[name], sides).items()}
