"""Messages on their way: hop by hop, each lane taken first in, first out; lost with a lane, and sent again.

A message is put on its host's lane at once, behind what waits there. Its *head*, the first packet, goes ahead: it is at
the next lane as soon as it has left this one. From then on the message flows into the next lane, until its *tail* has
come; so messages that cross one lane at the same time are interleaved as their packets would be, in proportion to the
rates at which they come. A transfer over an idle path takes its delays, its bytes over the tightest lane, and one
packet's time on each of the others. With packets of infinite size, every hop waits for the whole message: store and
forward.

At what rate a message will flow in is known when its tail is under way already (after the first lane: always);
otherwise it is taken to be its share of what the lane before sends now, and set right when the tail comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.world.twin.engine import FETCH, REQUEST
from testbed.world.twin.layout import LOGISTIC, ROUNDS, RTO_DOUBLINGS, Floats
from testbed.world.twin.reference.draws import uniform
from testbed.world.twin.reference.lanes import Lane

if TYPE_CHECKING:
    from testbed.world.twin.reference.engine import Reference


@dataclass(slots=True, eq=False)
class Hop:
    """One lane of a transfer's way. Its head leaves when the lane's C reaches `head`, its tail at `tail`; it flows in
    from `since` on at `inflow` bytes/s; `jitter`: s it takes longer than the lane's delay, or shorter."""

    lane: int
    head: float
    tail: float
    since: float
    inflow: float = 0.0
    jitter: float = 0.0


@dataclass(slots=True, eq=False)
class Transfer:
    """task, attempt, stage, origin (a join's predecessor, or why it failed) and bind as its kind needs them.

    site: where its head is or goes, −1: at its host, or on the last lane. through: lanes its tail has come to.
    tail_at: when its tail is at the end of the last of them; head_at: when its head is at the next lane.
    """

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
    site: int = -1
    late: float = 0.0  # cost of packets lost and of windows that grow, s
    hops: list[Hop] = field(default_factory=list)
    through: int = 0
    head_at: float = 0.0
    tail_at: float = 0.0
    head_stamp: int = 0  # events of an older stamp are void
    tail_stamp: int = 0


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
        columns = (n.leads, n.rate, n.delay, n.jitter, n.loss)
        self.lanes = [Lane(*values) for values in zip(*(c.tolist() for c in columns), strict=True)]
        self.next: list[list[int]] = []
        self.flying: dict[int, Transfer] = {}
        self.stalled: dict[tuple[int, int], Stalled] = {}
        self._known: set[tuple[int, int]] = set()  # connections that stand
        self._count = 0
        self._outbox: list[Transfer] = []

    # -- sending

    def send(
        self, kind: int, source: int, target: int, payload: float, head: float, task: int, attempt: int, stage: int,
        origin: int, bind: tuple[int, ...],
    ) -> None:  # fmt: skip
        """It departs when this event is over. payload: nominal bytes; head: wire bytes of the frame's header."""
        e, r = self.engine, self.rules
        size = r.frame(payload, head)
        start, end = e.host_of(source), e.host_of(target)
        x = Transfer(
            self._count, kind, source, target, start, end, size, min(size, r.packet), task, attempt, stage, origin, bind
        )
        self._count += 1
        self.flying[x.number] = x
        self._outbox.append(x)

    def depart(self) -> None:
        """Whatever was sent goes on its way, or behind those that wait for a timer."""
        outbox, self._outbox = self._outbox, []
        for x in outbox:
            if x.number in self.flying:  # not given up before it left
                self._depart(x)

    def _depart(self, x: Transfer) -> None:
        e, r, now, key = self.engine, self.rules, self.engine.agenda.now, (x.source, x.target)
        if x.start == x.end:
            e.agenda.at(now + r.local, self._deliver, x, x.tail_stamp)
            return
        if key in self.stalled:
            self.stalled[key].waiting.append(x)
            return
        fresh = key not in self._known
        if fresh:
            self._known.add(key)
        if r.window > 0.0:
            x.late += self._slow_start(x)
        if fresh and r.handshake:
            e.agenda.at(now + self._round_trip(x), self._hop, x, x.head_stamp)
        else:
            self._hop(x, x.head_stamp)

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
        if stamp != x.head_stamp:
            return
        number = self._way(x.site, x)
        if number < 0 or not self.lanes[number].up:
            self._stall(x)
            return
        lane, now = self.lanes[number], self.engine.agenda.now
        lane.forward(now)
        lane.sent += x.size
        if lane.loss > 0.0:
            x.late += self._lossy(x, number, lane)
        hop = Hop(number, lane.c + lane.q + x.packet, 0.0, now)
        if lane.jitter > 0.0:
            hop.jitter = self._jittery(x, number, lane)
        whole = not x.hops or (x.through == len(x.hops) and x.tail_at <= now)
        if not whole:
            hop.inflow = self._inflow(x)
            lane.flow(hop.inflow, 1)
        x.hops.append(hop)
        x.site = lane.leads
        if whole:
            lane.q += x.size
            hop.tail = lane.c + lane.q
            x.through = len(x.hops)
            x.tail_stamp += 1  # it need not come on its own
        if x.site >= 0:
            self._plan_head(x)
        if whole and (x.site < 0 or x.packet < x.size):
            self._plan_tail(x)

    def _inflow(self, x: Transfer) -> float:
        """Bytes per second at which it will come from the lane before."""
        if x.through == len(x.hops):
            return x.size / (x.tail_at - self.engine.agenda.now)
        before = x.hops[-1]
        lane = self.lanes[before.lane]
        lane.forward(self.engine.agenda.now)
        return lane.rate() * (before.inflow / lane.inflow) if lane.q > 0.0 else before.inflow

    def _tail(self, x: Transfer, stamp: int) -> None:
        """The tail is at the beginning of the lane its head has entered."""
        if stamp != x.tail_stamp:
            return
        hop, now = x.hops[x.through], self.engine.agenda.now
        lane = self.lanes[hop.lane]
        lane.forward(now)
        lane.flow(-hop.inflow, -1)
        lane.q = max(0.0, lane.q + (x.size - hop.inflow * (now - hop.since)))
        hop.tail = max(lane.c + max(lane.q, x.packet), hop.head)
        x.through += 1
        self._plan_tail(x)

    def _plan_head(self, x: Transfer) -> None:
        """The head at the next lane."""
        lane = self.lanes[x.hops[-1].lane]
        x.head_at = lane.when(x.hops[-1].head) + lane.delay + x.hops[-1].jitter
        if x.packet == x.size:
            x.tail_at = x.head_at
        self.engine.agenda.at(x.head_at, self._hop, x, x.head_stamp)

    def _plan_tail(self, x: Transfer) -> None:
        """The tail at the next lane, or all of it at its end."""
        hop = x.hops[x.through - 1]
        lane = self.lanes[hop.lane]
        x.tail_at = lane.when(hop.tail) + lane.delay + hop.jitter
        if x.through == len(x.hops) and x.site >= 0:
            x.tail_at = max(x.tail_at, x.head_at)  # rounding must not let it overtake
        if lane.leads < 0:
            self.engine.agenda.at(x.tail_at + x.late + self.rules.message, self._deliver, x, x.tail_stamp)
        else:
            self.engine.agenda.at(x.tail_at, self._tail, x, x.tail_stamp)

    def _deliver(self, x: Transfer, stamp: int) -> None:
        if stamp != x.tail_stamp:
            return
        del self.flying[x.number]
        self.engine.arrived(x)

    def _packets(self, x: Transfer) -> float:
        return math.ceil(x.size / self.rules.packet) if 0.0 < self.rules.packet < math.inf else 1.0

    def _lossy(self, x: Transfer, number: int, lane: Lane) -> float:
        """Seconds that lost packets cost. In each round some of n packets are lost, or none: then it is over. A round
        costs a round trip, or the timer where the loss is among the last three; the next one is of what was lost."""
        n, trip, cost = self._packets(x), self._round_trip(x), 0.0
        for k in range(ROUNDS):
            if uniform(self.rules.seed, number, x.number, 2 * k) >= 1.0 - math.exp(n * math.log1p(-lane.loss)):
                break
            timer = uniform(self.rules.seed, number, x.number, 2 * k + 1) * n < 3.0
            cost += trip + self.rules.rto if timer else trip
            n = max(1.0, n * lane.loss)
        return cost

    def _jittery(self, x: Transfer, number: int, lane: Lane) -> float:
        """By how much it is late or early: frames keep their order, so the tail waits for the latest of the k frames
        within two deviations before it. One frame's jitter is taken as logistic, of the same deviation."""
        spacing = x.packet / lane.rate()
        k = min(self._packets(x), 1.0 + 2.0 * lane.jitter / spacing) if spacing > 0.0 else 1.0
        u = max(uniform(self.rules.seed, number, x.number, 2 * ROUNDS), 1e-16)
        p = math.exp(math.log(u) / k)
        return max(lane.jitter * LOGISTIC * math.log(p / max(1.0 - p, 1e-16)), -lane.delay)

    # -- broken and sent again

    def _stall(self, x: Transfer) -> None:
        """It can't go on: its connection will send it again when its timer says so."""
        self._withdraw(x)
        key = (x.source, x.target)
        if self.engine.mute(x.source) or self.engine.gone(x.target):
            del self.flying[x.number]
            return
        if key in self.stalled:
            self.stalled[key].waiting.append(x)
            return
        self.stalled[key] = Stalled([x])
        self.engine.agenda.at(self.engine.agenda.now + self.rules.rto + self._round_trip(x), self._again, key)

    def _withdraw(self, x: Transfer) -> None:
        """It flows nowhere any more, and starts at its host if it starts again."""
        for hop in x.hops[x.through :]:
            self.lanes[hop.lane].forward(self.engine.agenda.now)
            self.lanes[hop.lane].flow(-hop.inflow, -1)
        x.hops.clear()
        x.site, x.through = -1, 0
        x.head_stamp += 1
        x.tail_stamp += 1

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
            self._hop(x, x.head_stamp)

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
        lane = self.lanes[number]
        lane.forward(self.engine.agenda.now)
        lane.factor = factor
        self._retime(number)

    def play(self, number: int, times: Floats, rates: Floats) -> None:
        """A track from now on: the same."""
        self.lanes[number].forward(self.engine.agenda.now)
        self.lanes[number].play(times, rates)
        self._retime(number)

    def _retime(self, number: int) -> None:
        lane = self.lanes[number]
        for x in list(self.flying.values()):
            if x.site >= 0 and x.hops[-1].lane == number and x.hops[-1].head > lane.c:
                x.head_stamp += 1
                self._plan_head(x)
            if x.through > 0 and (x.packet < x.size or x.site < 0):
                hop = x.hops[x.through - 1]
                if hop.lane == number and hop.tail > lane.c:
                    x.tail_stamp += 1
                    self._plan_tail(x)

    def set_lane(self, number: int, up: bool) -> None:
        lane, now = self.lanes[number], self.engine.agenda.now
        lane.up = up
        if up:
            return
        lane.forward(now)
        lane.q = 0.0
        for x in list(self.flying.values()):
            first = x.through if x.tail_at <= now else x.through - 1
            if any(h.lane == number for h in x.hops[max(first, 0) :]):
                self._stall(x)

    def forget(self, member: int) -> list[Transfer]:
        """Requests on their way to a member that is known to be dead; they will not arrive."""
        lost = [x for x in self.flying.values() if x.kind == REQUEST and x.target == member]
        fetches = [x for x in self.flying.values() if x.kind == FETCH and x.target == member]
        for x in (*fetches, *lost):
            self._withdraw(x)
            del self.flying[x.number]
        for key in [k for k in self.stalled if k[1] == member]:
            self.stalled[key].waiting.clear()
        return lost
