"""What each link carries now, nominal: its shape, its track, and what faults make of both."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from testbed.topology.model import Link, Shape
from testbed.world.base import Bed
from testbed.world.shaping import by_name, shaken

WAYS = ("ab", "ba")  # of lanes 2 i and 2 i + 1


class Rates:
    """shaken: per lane, the disturbances in force on it."""

    def __init__(self, bed: Bed) -> None:
        self._all = bed.topology.links
        self._links = {k.name: (i, k) for i, k in enumerate(bed.topology.links)}
        self._links |= {f"{k.b}--{k.a}": (i, k) for i, k in enumerate(bed.topology.links)}
        self._tracks = bed.tracks
        self._shaken: dict[int, dict[str, Mapping[str, Any]]] = {}

    def link(self, name: str) -> tuple[int, Link]:
        """A link's place and itself, by name in either order, or by one direction "a->b". KeyError: there is none."""
        return self._links[name.replace("->", "--")]

    def lanes(self, name: str) -> list[int]:
        """The lanes a name means: both directions, or one."""
        index, link = self.link(name)
        if "->" not in name:
            return [2 * index, 2 * index + 1]
        return [2 * index if link.a == name.split("->")[0] else 2 * index + 1]

    def disturb(self, lane: int, disturbance: str, shape: Mapping[str, Any] | None) -> None:
        """Add a disturbance to a lane, or take it away (None)."""
        mine = self._shaken.setdefault(lane, {})
        if shape is None:
            mine.pop(disturbance, None)
        else:
            mine[disturbance] = shape

    def factor(self, lane: int) -> float:
        """Of what the lane would carry, its track included."""
        return math.prod(s.get("rate_factor", 1.0) for s in self._shaken.get(lane, {}).values())

    def shape(self, lane: int) -> Shape:
        """The lane's nominal shape under its disturbances, its track left out."""
        link = self._all[lane // 2]
        return shaken(link.ab if lane % 2 == 0 else link.ba, list(self._shaken.get(lane, {}).values()))

    def now(self, time: float) -> dict[str, float]:
        """bit/s of links that fluctuate or are squeezed: by link name where both directions have the same."""
        ways: dict[str, dict[str, float]] = {}
        for lane, shapes in self._shaken.items():
            if shapes:
                ways.setdefault(self._all[lane // 2].name, {})[WAYS[lane % 2]] = self.shape(lane).rate
        for track in self._tracks:
            rate = track.rates[max(bisect_right(track.times, time) - 1, 0)]
            for lane in self.lanes(track.link):
                ways.setdefault(self._all[lane // 2].name, {})[WAYS[lane % 2]] = rate * self.factor(lane)
        return {k: v for name, found in ways.items() for k, v in by_name(self._links[name][1], found).items()}
