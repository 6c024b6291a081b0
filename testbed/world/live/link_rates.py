"""What each link should carry now: its nominal rate, its track, and what a fault leaves of it; and making it so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from testbed.topology.model import Link, Topology
from testbed.world.base import Bed
from testbed.world.live.links.base import Directions, LinkBackend

RATE_TOLERANCE = 0.01  # relative, of a rate read back


class LinkRates:
    """wire: the topology on the wire's scale. clock: nominal s since t = 0."""

    def __init__(self, bed: Bed, wire: Topology, clock: Callable[[], float]) -> None:
        self.bed, self.wire, self.clock = bed, wire, clock
        self.scale = bed.scenario.run.dilate * bed.scenario.run.shrink
        self.factors: dict[str, float] = {}

    def link(self, name: str) -> Link:
        """The wire's link by name in either order, or one direction "a->b"."""
        a, b = name.replace("->", "--").split("--", 1)
        return next(k for k in self.wire.links if {k.a, k.b} == {a, b})

    def direction(self, name: str) -> Directions:
        """Which direction a track's name means."""
        if "->" not in name:
            return "both"
        return "ab" if self.link(name).a == name.split("->")[0] else "ba"

    def nominal(self) -> dict[str, float]:
        """Current nominal bit/s of links that fluctuate or are squeezed, by link name or direction "a->b"."""
        now, rates = self.clock(), {}
        for k in self.bed.topology.links:
            if k.name in self.factors:
                rates[k.name] = k.ab.rate * self.factors[k.name]
        for track in self.bed.tracks:
            i = max([j for j, t in enumerate(track.times) if t <= now], default=0)
            rates[track.link] = track.rates[i] * self.factors.get(self.link(track.link).name, 1.0)
        return rates

    def on_wire(self, link: Link) -> list[float]:
        """What both directions should carry now, bit/s on the wire: a→b, b→a."""
        rates, nominal = self.nominal(), self.bed.topology.link(link.name)
        both = rates.get(link.name)
        ways = ((f"{link.a}->{link.b}", nominal.ab), (f"{link.b}->{link.a}", nominal.ba))
        return [rates.get(way, both if both is not None else s.rate) / self.scale for way, s in ways]

    def squeeze(self, backend: LinkBackend, link: Link, factor: float) -> tuple[bool, str]:
        """Both directions at `factor` of what they would have. (whether that was read back, what was).

        A fluctuating link is right when it has `factor` of its track's rate just before or just after the reading.
        """
        before = [s.rate for s in backend.read_back(link.name)[:2]]
        backend.change(link.name, "ab", replace(link.ab, rate=link.ab.rate * factor))
        backend.change(link.name, "ba", replace(link.ba, rate=link.ba.rate * factor))
        self.factors[link.name] = factor
        early = self.on_wire(link)
        after = [s.rate for s in backend.read_back(link.name)[:2]]
        late = self.on_wire(link)
        ok = all(
            any(abs(found - aim) <= RATE_TOLERANCE * aim for aim in aims)
            for found, *aims in zip(after, early, late, strict=True)
        )
        was, now = ("/".join(f"{r / 1e6:.2f}" for r in rates) for rates in (before, after))
        return ok, f"rates {was} → {now} Mbit/s on the wire"
