"""What is left of each link: senders choose by the rate a transfer will find, not by the rate of an empty link.

The network control reads the links' counters once a slot and hands senders, as a link's rate (eq. (46)),

    r (1 − min(ρ̂, MOST)),    ρ̂ ← ρ̂ + GAIN (ρ − ρ̂)                                                    (46)

with ρ the share of its nominal rate that a direction carried since the last reading. MOST keeps a path that is full
from looking like none. Policies see the paths without it: where instances stand should not follow a burst.

Who chooses by what is left for himself crosses a trunk to gain milliseconds, and takes them from all others there. So a
byte pays, on each trunk of its way,

    TOLL ρ̂ 8 / r                                                                                       (47)

seconds: nothing where nobody is. It is a price, and no transfer takes that long (a road's price is what one more
traveller costs the others, Pigou 1920; choice by one's own time and the best for all differ, Wardrop 1952).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from testbed.topology.model import Topology

GAIN = 0.3  # of a reading; one slot alone is a burst (chosen on E12, seeds 101 and up are not touched by it)
MOST = 0.8
TOLL = 20.0  # chosen on E12, seeds 101 to 110; docs/policies.md
#: Hosts up to which it is done: path costs are a table over all pairs, made anew and sent to every sender at each
#: reading.
MOST_HOSTS = 60


@dataclass
class Congestion:
    """Directions are "a->b"; rates nominal bit/s, times nominal s."""

    topology: Topology
    _use: dict[str, float] = field(default_factory=dict)
    _last: tuple[float, Mapping[str, float]] | None = None

    @property
    def watched(self) -> bool:
        return len(self.topology.nodes) + len(self.topology.ingresses) <= MOST_HOSTS

    def read(self, now: float, carried: Mapping[str, float]) -> None:
        """carried: nominal bytes per direction since the beginning."""
        last, self._last = self._last, (now, carried)
        if last is None or now <= last[0]:
            return
        for k in self.topology.links:
            for way, shape in ((f"{k.a}->{k.b}", k.ab), (f"{k.b}->{k.a}", k.ba)):
                use = 8.0 * (carried[way] - last[1][way]) / (now - last[0]) / shape.rate
                before = self._use.get(way, 0.0)
                self._use[way] = before + GAIN * (use - before)

    def prices(self, rates: Mapping[str, float]) -> dict[str, float]:
        """(47) of every direction of a trunk, s per byte. rates: of links that do not have their nominal one."""
        out = {}
        for k in self.topology.links:
            if k.role == "trunk":
                for way, shape in ((f"{k.a}->{k.b}", k.ab), (f"{k.b}->{k.a}", k.ba)):
                    rate = max(rates.get(way, rates.get(k.name, shape.rate)), 1.0)
                    out[way] = TOLL * max(self._use.get(way, 0.0), 0.0) * 8.0 / rate
        return out

    def left(self, rates: Mapping[str, float]) -> dict[str, float]:
        """bit/s of every direction as senders are to see it. rates: of links that do not have their nominal one."""
        out = {}
        for k in self.topology.links:
            for way, shape in ((f"{k.a}->{k.b}", k.ab), (f"{k.b}->{k.a}", k.ba)):
                rate = rates.get(way, rates.get(k.name, shape.rate))
                out[way] = rate * (1.0 - min(max(self._use.get(way, 0.0), 0.0), MOST))
        return out
