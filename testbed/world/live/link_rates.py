"""What each link should carry now: its nominal shape, its track, and what faults make of both; and making it so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from testbed.topology.model import Link, Shape, Topology
from testbed.world.base import Bed
from testbed.world.live.links.base import Directions, LinkBackend, alike, queue_bytes
from testbed.world.rates import SIDES, Rates, Way
from testbed.world.shaping import scaled, shaken

RATE_TOLERANCE = 0.01  # relative, of a rate read back


class LinkRates:
    """wire: the topology on the wire's scale. clock: nominal s since t = 0."""

    def __init__(self, bed: Bed, wire: Topology, clock: Callable[[], float]) -> None:
        self.bed, self.wire, self.clock = bed, wire, clock
        self.dilate = bed.scenario.run.dilate
        self.scale = self.dilate * bed.scenario.run.shrink
        self._rates = Rates(bed.topology, bed.tracks)

    def link(self, name: str) -> Link:
        """The wire's link by name in either order, or one direction "a->b". KeyError: there is none."""
        return self.wire.link(self._rates.link(name).name)

    def direction(self, name: str) -> Directions:
        """Which direction a name means."""
        ways = self._rates.ways(name)
        return "both" if len(ways) == 2 else ways[0].side

    def nominal(self) -> dict[str, float]:
        """As Rates.at, now."""
        return self._rates.at(self.clock())

    def on_wire(self, link: Link) -> list[float]:
        """What both directions should carry now, bit/s on the wire: a→b, b→a."""
        rates, nominal = self.nominal(), self.bed.topology.link(link.name)
        both = rates.get(link.name)
        ways = ((f"{link.a}->{link.b}", nominal.ab), (f"{link.b}->{link.a}", nominal.ba))
        return [rates.get(way, both if both is not None else s.rate) / self.scale for way, s in ways]

    def _wire_shape(self, way: Way) -> Shape:
        link = self.wire.link(way.link)
        shapes = [scaled(s, self.dilate) for s in self._rates.disturbances(way)]
        return shaken(link.ab if way.side == "ab" else link.ba, shapes)

    def disturb(
        self, backend: LinkBackend, target: str, disturbance: str, shape: Mapping[str, Any] | None
    ) -> tuple[bool, str]:
        """Add a disturbance to the target's direction(s), or take it away (None). (read back so, what was read).

        A fluctuating link is right when it has its share of its track's rate just before or just after the reading.
        """
        link = self.link(target)
        before = backend.read_back(link.name)
        for way in self._rates.ways(target):
            self._rates.disturb(way, disturbance, shape)
            backend.change(link.name, way.side, self._wire_shape(way))
        early = self.on_wire(link)
        after = backend.read_back(link.name)
        late = self.on_wire(link)
        ok = True
        for found, side, *aims in zip(after[:2], SIDES, early, late, strict=True):
            ok &= any(abs(found.rate - aim) <= RATE_TOLERANCE * aim for aim in aims)
            wanted = self._wire_shape(Way(link.name, side))
            # a track moves the rate and not the queue, which is the shape's own
            ok &= alike(found, replace(wanted, rate=found.rate, queue=queue_bytes(wanted)))
        return ok, "; ".join(
            f"{side}: {_words(a)} → {_words(b)}"
            for side, a, b in zip(SIDES, before[:2], after[:2], strict=True)
            if a != b
        )


def _words(s: Shape) -> str:
    """A shape on the wire, what is off left out."""
    parts = [f"{s.rate / 1e6:.2f} Mbit/s", f"{s.delay * 1e3:.1f} ms"]
    parts += [f"jitter {s.jitter * 1e3:.1f} ms"] if s.jitter else []
    parts += [
        f"{name} {getattr(s, name):.2%}" for name in ("loss", "duplicate", "reorder", "corrupt") if getattr(s, name)
    ]
    return " ".join(parts)
