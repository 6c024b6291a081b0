"""Messages on their way: hop by hop, each lane taken first in, first out; lost with a lane, and sent again.

A message's *head*, its first packet, goes ahead: it asks for the next lane as soon as it arrives there, while the
tail still comes. A lane is occupied for the message's own bytes at the lane's rate, and the tail leaves it no earlier
than one packet after it came; so a transfer over an idle path takes its delays, its bytes over the tightest lane, and
one packet's time on each of the others. With packets of infinite size that is store and forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.world.twin.engine import FETCH, REQUEST
from testbed.world.twin.reference.draws import uniform
from testbed.world.twin.reference.lanes import Lane

if TYPE_CHECKING:
    from testbed.world.twin.reference.engine import Reference

RTO_DOUBLINGS = 9  # at most 120 s real, as Linux has it


@dataclass(slots=True, eq=False)
class Hop:
    """One lane of a transfer's way: taken from byte `c` of the lane's count on; the tail came at `tail`, has left
    at `left`; the first packet has left at `head`."""

    lane: int
    c: float
    tail: float
    head: float = 0.0
    left: float = 0.0


@dataclass(slots=True, eq=False)
class Transfer:
    """task, attempt, stage, origin (a join's predecessor, or why it failed) and bind as its kind needs them."""

    number: int
    kind: int
    source: int
    target: int
    start: int  # hosts
    end: int
    size: float
    packet: float
    task: int
    attempt: int
    stage: int
    origin: int
    bind: tuple[int, ...]
    tail: float = 0.0
    site: int = -1  # −1: still at its host
    late: float = 0.0  # cost of packets lost and of windows that grow, s
    hops: list[Hop] = field(default_factory=list)
    stamp: int = 0  # events of an older stamp are void


@dataclass(slots=True, eq=False)
class Stalled:
    """A connection that waits for its retransmission timer, and what it has to send."""

    waiting: list[Transfer]
    tries: int = 0


class Transfers:
    """All messages in flight, in order of their numbers."""

    def __init__(self, engine: Reference) -> None:
        n = engine.layout.network
        self.engine, self.net, self.rules = engine, n, engine.layout.rules
        self.lanes = [
            Lane(int(n.leads[i]), float(n.rate[i]), float(n.delay[i]), float(n.loss[i])) for i in range(len(n.rate))
        ]
        self.next: list[list[int]] = []
        self.flying: dict[int, Transfer] = {}
        self.stalled: dict[tuple[int, int], Stalled] = {}
        self._known: set[tuple[int, int]] = set()  # connections that stand
        self._count = 0

    # -- sending

    def send(
        self, kind: int, source: int, target: int, payload: float, head: float, task: int, attempt: int, stage: int,
        origin: int, bind: tuple[int, ...],
    ) -> None:  # fmt: skip
        """payload: nominal bytes; head: wire bytes of the frame's header."""
        e, r = self.engine, self.rules
        size = r.frame(payload, head)
        start, end = e.host_of(source), e.host_of(target)
        x = Transfer(
            self._count, kind, source, target, start, end, size, min(size, r.packet), task, attempt, stage, origin, bind
        )
        self._count += 1
        self.flying[x.number] = x
        now = e.agenda.now
        if start == end:
            e.agenda.at(now + r.local, self._deliver, x, 0)
            return
        if (source, target) in self.stalled:
            self.stalled[source, target].waiting.append(x)
            return
        fresh = (source, target) not in self._known
        if fresh:
            self._known.add((source, target))
        x.tail = now
        if r.window > 0.0:
            x.late += self._slow_start(x)
        if fresh and r.handshake:
            x.tail = now + self._round_trip(x)
            e.agenda.at(x.tail, self._hop, x, 0)
        else:
            self._hop(x, 0)

    def _round_trip(self, x: Transfer) -> float:
        """Propagation there and back by what is known of the paths; 0 where there is none."""
        there, back = self.engine.delay[x.start][x.end], self.engine.delay[x.end][x.start]
        return there + back if there < math.inf and back < math.inf else 0.0

    def _slow_start(self, x: Transfer) -> float:
        """Seconds a sender waits for acknowledgements while its window doubles from the initial one."""
        trip, rate = self._round_trip(x), self.engine.per_byte[x.start][x.end]
        window, sent, waited = self.rules.window, 0.0, 0.0
        while sent + window < x.size:
            idle = trip - window * rate
            if idle <= 0.0:
                break
            waited += idle
            sent += window
            window *= 2.0
        return waited

    # -- on the way

    def _way(self, site: int, x: Transfer) -> int:
        """The lane to take at a site (−1: at the host), −1 when there is none."""
        if site < 0:
            return int(self.net.up[x.start])
        there = int(self.net.site[x.end])
        return int(self.net.down[x.end]) if site == there else self.next[site][there]

    def _hop(self, x: Transfer, stamp: int) -> None:
        """The head is at the beginning of a lane."""
        if stamp != x.stamp:
            return
        number = self._way(x.site, x)
        if number < 0 or not self.lanes[number].up:
            self._stall(x)
            return
        lane, now = self.lanes[number], self.engine.agenda.now
        c = max(lane.forward(now), lane.free)
        lane.free = c + x.size
        lane.sent += x.size
        if lane.loss > 0.0:
            x.late += self._lossy(x, number, lane)
        x.hops.append(Hop(number, c, x.tail))
        x.site = lane.leads
        self._leave(x, len(x.hops) - 1)
        self._plan(x)

    def _leave(self, x: Transfer, index: int) -> None:
        """When head and tail leave the lane of this hop; x.tail: when the tail is at its end."""
        hop = x.hops[index]
        lane = self.lanes[hop.lane]
        if x.packet < math.inf:
            hop.left = max(lane.when(hop.c + x.size), hop.tail + x.packet / lane.rate())
        else:
            hop.left = lane.when(hop.c + x.size)
        hop.head = lane.when(hop.c + min(x.packet, x.size))
        x.tail = hop.left + lane.delay

    def _plan(self, x: Transfer) -> None:
        """The next event of a transfer: its head at the next lane, or all of it at its end."""
        hop = x.hops[-1]
        if x.site < 0:
            self.engine.agenda.at(x.tail + x.late + self.rules.message, self._deliver, x, x.stamp)
        else:
            self.engine.agenda.at(hop.head + self.lanes[hop.lane].delay, self._hop, x, x.stamp)

    def _deliver(self, x: Transfer, stamp: int) -> None:
        if stamp != x.stamp:
            return
        del self.flying[x.number]
        self.engine.arrived(x)

    def _lossy(self, x: Transfer, number: int, lane: Lane) -> float:
        """Seconds that lost packets cost: a round trip, or the timer where the loss is among the last three."""
        packets = math.ceil(x.size / (self.rules.packet if 0.0 < self.rules.packet < math.inf else x.size))
        any_lost = 1.0 - math.exp(packets * math.log1p(-lane.loss))
        if uniform(self.rules.seed, number, x.number, 0) >= any_lost:
            return 0.0
        trip = self._round_trip(x)
        return trip + self.rules.rto if uniform(self.rules.seed, number, x.number, 1) * packets < 3.0 else trip

    # -- broken and sent again

    def _stall(self, x: Transfer) -> None:
        """It can't go on: its connection will send it again when its timer says so."""
        x.stamp += 1
        key = (x.source, x.target)
        if self.engine.mute(x.source) or self.engine.gone(x.target):
            del self.flying[x.number]
            return
        if key in self.stalled:
            self.stalled[key].waiting.append(x)
            return
        self.stalled[key] = Stalled([x])
        self.engine.agenda.at(self.engine.agenda.now + self.rules.rto + self._round_trip(x), self._again, key)

    def _again(self, key: tuple[int, int]) -> None:
        """The retransmission timer of a connection."""
        stalled = self.stalled.pop(key)
        if self.engine.mute(key[0]) or self.engine.gone(key[1]):
            for x in stalled.waiting:
                del self.flying[x.number]
            return
        first = stalled.waiting[0]
        if not self._passable(first):
            self.stalled[key] = stalled
            stalled.tries = min(stalled.tries + 1, RTO_DOUBLINGS)
            wait = self.rules.rto * 2.0**stalled.tries + self._round_trip(first)
            self.engine.agenda.at(self.engine.agenda.now + wait, self._again, key)
            return
        for x in stalled.waiting:
            x.site, x.tail, x.stamp = -1, self.engine.agenda.now, x.stamp + 1
            x.hops.clear()
            self._hop(x, x.stamp)

    def _passable(self, x: Transfer) -> bool:
        """Whether every lane of the way that switches would take now is up."""
        site = -1
        for _ in range(len(self.lanes)):
            number = self._way(site, x)
            if number < 0 or not self.lanes[number].up:
                return False
            site = self.lanes[number].leads
            if site < 0:
                return True
        return False

    # -- lanes that change

    def squeeze(self, number: int, factor: float) -> None:
        """Whoever is on the lane leaves it at another time."""
        lane, now = self.lanes[number], self.engine.agenda.now
        lane.forward(now)
        lane.factor = factor
        for x in list(self.flying.values()):
            self._retime(x, number, now)

    def _retime(self, x: Transfer, number: int, now: float) -> None:
        first = next((j for j, h in enumerate(x.hops) if h.lane == number and h.left > now), -1)
        if first < 0:
            return
        last = len(x.hops) - 1
        heading = x.site >= 0 and x.hops[last].head > now
        for j in range(first, last + 1):
            if j > first:
                x.hops[j].tail = x.tail
            head = x.hops[j].head
            self.lanes[x.hops[j].lane].forward(now)
            self._leave(x, j)
            if head <= now:
                x.hops[j].head = head
        if x.site < 0 or heading:
            x.stamp += 1
            self._plan(x)

    def set_lane(self, number: int, up: bool) -> None:
        lane, now = self.lanes[number], self.engine.agenda.now
        lane.up = up
        if up:
            return
        lane.free = lane.forward(now)
        for x in list(self.flying.values()):
            if any(h.lane == number and h.left + lane.delay > now for h in x.hops):
                self._stall(x)

    def forget(self, member: int) -> list[Transfer]:
        """Requests on their way to a member that is known to be dead; they will not arrive."""
        lost = [x for x in self.flying.values() if x.kind == REQUEST and x.target == member]
        for x in list(self.flying.values()):
            if x.target == member and x.kind in (REQUEST, FETCH):
                x.stamp += 1
                del self.flying[x.number]
        for key in [k for k in self.stalled if k[1] == member]:
            self.stalled[key].waiting.clear()
        return lost
