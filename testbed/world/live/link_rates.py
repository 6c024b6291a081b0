"""What each link should carry now: its nominal shape, its track, and what faults make of both; and making it so."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from testbed.topology.model import Link, Shape, Topology
from testbed.world.base import Bed
from testbed.world.live.links.base import Direction, Directions, LinkBackend, alike, queue_bytes
from testbed.world.shaping import by_name, scaled, shaken

RATE_TOLERANCE = 0.01  # relative, of a rate read back
WAYS: tuple[Direction, Direction] = ("ab", "ba")


class LinkRates:
    """wire: the topology on the wire's scale. clock: nominal s since t = 0."""

    def __init__(self, bed: Bed, wire: Topology, clock: Callable[[], float]) -> None:
        self.bed, self.wire, self.clock = bed, wire, clock
        self.dilate = bed.scenario.run.dilate
        self.scale = self.dilate * bed.scenario.run.shrink
        self._shaken: dict[tuple[str, Direction], dict[str, Mapping[str, Any]]] = {}  # → disturbance → its shape

    def link(self, name: str) -> Link:
        """The wire's link by name in either order, or one direction "a->b"."""
        a, b = name.replace("->", "--").split("--", 1)
        return next(k for k in self.wire.links if {k.a, k.b} == {a, b})

    def direction(self, name: str) -> Directions:
        """Which direction a name means."""
        if "->" not in name:
            return "both"
        return "ab" if self.link(name).a == name.split("->")[0] else "ba"

    def _ways(self, name: str) -> tuple[Direction, ...]:
        direction = self.direction(name)
        return WAYS if direction == "both" else (direction,)

    def nominal_shape(self, name: str, way: Direction) -> Shape:
        """Nominal shape of a direction under the disturbances in force, its track left out."""
        link = self.bed.topology.link(name)
        return shaken(link.ab if way == "ab" else link.ba, list(self._shaken.get((name, way), {}).values()))

    def nominal(self) -> dict[str, float]:
        """Current nominal bit/s of links that fluctuate or are squeezed: by link name where both directions have the
        same, by direction "a->b" where not."""
        ways: dict[str, dict[str, float]] = {}
        for (name, way), shapes in self._shaken.items():
            if shapes:
                ways.setdefault(name, {})[way] = self.nominal_shape(name, way).rate
        now = self.clock()
        for track in self.bed.tracks:
            link, step = self.link(track.link), max([j for j, t in enumerate(track.times) if t <= now], default=0)
            for way in self._ways(track.link):
                ways.setdefault(link.name, {})[way] = track.rates[step] * self._factor(link.name, way)
        return {k: v for name, found in ways.items() for k, v in by_name(self.link(name), found).items()}

    def _factor(self, name: str, way: Direction) -> float:
        return math.prod(s.get("rate_factor", 1.0) for s in self._shaken.get((name, way), {}).values())

    def on_wire(self, link: Link) -> list[float]:
        """What both directions should carry now, bit/s on the wire: a→b, b→a."""
        rates, nominal = self.nominal(), self.bed.topology.link(link.name)
        both = rates.get(link.name)
        ways = ((f"{link.a}->{link.b}", nominal.ab), (f"{link.b}->{link.a}", nominal.ba))
        return [rates.get(way, both if both is not None else s.rate) / self.scale for way, s in ways]

    def _wire_shape(self, name: str, way: Direction) -> Shape:
        link = self.wire.link(name)
        shapes = [scaled(s, self.dilate) for s in self._shaken.get((name, way), {}).values()]
        return shaken(link.ab if way == "ab" else link.ba, shapes)

    def disturb(
        self, backend: LinkBackend, target: str, disturbance: str, shape: Mapping[str, Any] | None
    ) -> tuple[bool, str]:
        """Add a disturbance to the target's direction(s), or take it away (None). (read back so, what was read).

        A fluctuating link is right when it has its share of its track's rate just before or just after the reading.
        """
        link = self.link(target)
        before = backend.read_back(link.name)
        for way in self._ways(target):
            mine = self._shaken.setdefault((link.name, way), {})
            if shape is None:
                mine.pop(disturbance, None)
            else:
                mine[disturbance] = shape
            backend.change(link.name, way, self._wire_shape(link.name, way))
        early = self.on_wire(link)
        after = backend.read_back(link.name)
        late = self.on_wire(link)
        ok = True
        for found, way, *aims in zip(after[:2], WAYS, early, late, strict=True):
            ok &= any(abs(found.rate - aim) <= RATE_TOLERANCE * aim for aim in aims)
            wanted = self._wire_shape(link.name, way)
            # a track moves the rate and not the queue, which is the shape's own
            ok &= alike(found, replace(wanted, rate=found.rate, queue=queue_bytes(wanted)))
        return ok, "; ".join(
            f"{way}: {_words(a)} → {_words(b)}" for way, a, b in zip(WAYS, before[:2], after[:2], strict=True) if a != b
        )


def _words(s: Shape) -> str:
    """A shape on the wire, what is off left out."""
    parts = [f"{s.rate / 1e6:.2f} Mbit/s", f"{s.delay * 1e3:.1f} ms"]
    parts += [f"jitter {s.jitter * 1e3:.1f} ms"] if s.jitter else []
    parts += [
        f"{name} {getattr(s, name):.2%}" for name in ("loss", "duplicate", "reorder", "corrupt") if getattr(s, name)
    ]
    return " ".join(parts)
