"""Messages on their way (reference/transfers.py)."""

from __future__ import annotations

import math

import numpy as np

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.heap import plan
from testbed.world.twin.kernel.lanes import flow, forward, rate, when
from testbed.world.twin.kernel.state import DELIVER, FLYING, FREE, HEAD, RTO, TAIL, State
from testbed.world.twin.layout import HEADERS, LOGISTIC, PREFIX, ROUNDS, RTO_DOUBLINGS

INFINITY = math.inf
SEED, LANE, NUMBER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@jit
def uniform(seed: int, lane: int, number: int, which: int) -> float:
    """reference/draws.py."""
    z = np.uint64(seed) * SEED + np.uint64(lane) * LANE + np.uint64(number) * NUMBER + np.uint64(which)
    z = (z ^ (z >> np.uint64(30))) * LANE
    z = (z ^ (z >> np.uint64(27))) * NUMBER
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) / 9007199254740992.0


@jit
def frame(s: State, payload: float, head: float) -> float:
    """layout.Rules.frame."""
    r = s.rule[0]
    wire = math.floor(payload / r.shrink + 0.5)
    if not r.frames:
        return wire * r.shrink
    wire += PREFIX + head
    return (wire + HEADERS * math.ceil(wire / r.segment)) * r.shrink


@jit
def mute(s: State, member: int) -> bool:
    return s.m[member].dead != 0


@jit
def gone(s: State, member: int) -> bool:
    return s.m[member].gone != 0


@jit
def release(s: State, x: int) -> None:
    """The row of a transfer in flight is free; what is planned for it is void."""
    landed(s, x)
    free(s, x)


@jit
def landed(s: State, x: int) -> None:
    """It is no longer in flight; its row is still in use."""
    t = s.x[x]
    t.head_stamp += 1
    t.tail_stamp += 1
    s.g[0].flying -= 1


@jit
def free(s: State, x: int) -> None:
    s.x[x].state = FREE
    s.x[x].next = s.g[0].free_x
    s.g[0].free_x = x
    s.g[0].room_x += 1


@jit
def send(
    s: State, kind: int, source: int, target: int, payload: float, head: float, task: int, attempt: int, stage: int,
    origin: int, visit: int,
) -> int:  # fmt: skip
    """It departs when this event is over. visit: whose bindings go with it, −1: none. The row of the transfer."""
    g, r = s.g[0], s.rule[0]
    size = frame(s, payload, head)
    x = g.free_x
    t = s.x[x]
    g.free_x = t.next
    g.room_x -= 1
    g.flying += 1
    t.state = FLYING
    t.number = g.sent
    g.sent += 1
    t.kind = kind
    t.source = source
    t.target = target
    t.start = s.m[source].host
    t.end = s.m[target].host
    t.task = task
    t.attempt = attempt
    t.stage = stage
    t.origin = origin
    t.site = -1
    t.hops = 0
    t.through = 0
    t.next = -1
    t.counted = 0
    t.size = size
    t.packet = min(size, r.packet)
    t.late = 0.0
    t.head_at = 0.0
    t.tail_at = 0.0
    if visit >= 0:
        for j in range(s.x_bind.shape[1]):
            s.x_bind[x, j] = s.v_bind[visit, j]
    t.after = -1
    if g.outbox < 0:
        g.outbox = x
    else:
        s.x[g.last_out].after = x
    g.last_out = x
    return x


@jit
def depart(s: State) -> None:
    """Whatever was sent goes on its way."""
    g = s.g[0]
    x = g.outbox
    g.outbox = -1
    while x >= 0:
        following = s.x[x].after
        if s.x[x].state == FLYING:
            set_out(s, x)
        x = following


@jit
def set_out(s: State, x: int) -> None:
    """On its way, or behind those that wait for a timer."""
    g, r, t = s.g[0], s.rule[0], s.x[x]
    now = g.now
    if t.start == t.end:
        plan(s, now + r.local, DELIVER, x, t.tail_stamp)
        return
    if g.stalls > 0:
        c = stalled(s, t.source, t.target)
        if c >= 0:
            append(s, c, x)
            return
    pair = s.pairs[t.source, t.target]
    first = pair.known == 0
    pair.known = 1
    if r.window > 0.0:
        t.late += slow_start(s, x)
    if first and r.handshake:
        plan(s, now + round_trip(s, x), HEAD, x, t.head_stamp)
    else:
        hop(s, x)


@jit
def round_trip(s: State, x: int) -> float:
    t = s.x[x]
    there, back = s.delay[t.start, t.end], s.delay[t.end, t.start]
    return there + back if there < INFINITY and back < INFINITY else 0.0


@jit
def slow_start(s: State, x: int) -> float:
    t = s.x[x]
    trip, speed = round_trip(s, x), s.per_byte[t.start, t.end]
    window, sent, waited = s.rule[0].window, 0.0, 0.0
    while sent + window < t.size:
        idle = trip - window * speed
        if idle <= 0.0:
            break
        waited += idle
        sent += window
        window *= 2.0
    return waited


@jit
def way(s: State, site: int, x: int) -> int:
    t = s.x[x]
    if site < 0:
        return s.hosts[t.start].up
    there = s.hosts[t.end].site
    return s.hosts[t.end].down if site == there else s.next_lane[site, there]


@jit
def hop(s: State, x: int) -> None:
    """The head is at the beginning of a lane."""
    t, g = s.x[x], s.g[0]
    lane = way(s, t.site, x)
    if lane < 0 or not s.lanes[lane].up:
        stall(s, x)
        return
    w = s.lanes[lane]
    forward(s, lane, g.now)
    w.sent += t.size
    if w.loss > 0.0:
        t.late += lossy(s, x, lane)
    h = s.hops[x, t.hops]
    h.lane = lane
    h.head = w.c + w.q + t.packet
    h.tail = 0.0
    h.since = g.now
    h.inflow = 0.0
    h.jitter = jittery(s, x, lane) if w.jitter > 0.0 else 0.0
    whole = t.hops == 0 or (t.through == t.hops and t.tail_at <= g.now)
    if not whole:
        h.inflow = inflow(s, x)
        flow(s, lane, h.inflow, 1)
    t.hops += 1
    t.site = w.leads
    if whole:
        w.q += t.size
        h.tail = w.c + w.q
        t.through = t.hops
        t.tail_stamp += 1
    if t.site >= 0:
        plan_head(s, x)
    if whole and (t.site < 0 or t.packet < t.size):
        plan_tail(s, x)


@jit
def inflow(s: State, x: int) -> float:
    """Bytes per second at which it will come from the lane before."""
    t, now = s.x[x], s.g[0].now
    if t.through == t.hops:
        return t.size / (t.tail_at - now)
    before = s.hops[x, t.hops - 1]
    lane = before.lane
    forward(s, lane, now)
    return rate(s, lane) * (before.inflow / s.lanes[lane].inflow) if s.lanes[lane].q > 0.0 else before.inflow


@jit
def tail(s: State, x: int) -> None:
    """The tail is at the beginning of the lane its head has entered."""
    t, now = s.x[x], s.g[0].now
    h = s.hops[x, t.through]
    w = s.lanes[h.lane]
    forward(s, h.lane, now)
    flow(s, h.lane, -h.inflow, -1)
    w.q = max(0.0, w.q + (t.size - h.inflow * (now - h.since)))
    h.tail = max(w.c + max(w.q, t.packet), h.head)
    t.through += 1
    plan_tail(s, x)


@jit
def plan_head(s: State, x: int) -> None:
    """The head at the next lane."""
    t = s.x[x]
    h = s.hops[x, t.hops - 1]
    t.head_at = when(s, h.lane, h.head) + s.lanes[h.lane].delay + h.jitter
    if t.packet == t.size:
        t.tail_at = t.head_at
    plan(s, t.head_at, HEAD, x, t.head_stamp)


@jit
def plan_tail(s: State, x: int) -> None:
    """The tail at the next lane, or all of it at its end."""
    t = s.x[x]
    h = s.hops[x, t.through - 1]
    t.tail_at = when(s, h.lane, h.tail) + s.lanes[h.lane].delay + h.jitter
    if t.through == t.hops and t.site >= 0:
        t.tail_at = max(t.tail_at, t.head_at)
    if s.lanes[h.lane].leads < 0:
        plan(s, t.tail_at + t.late + s.rule[0].message, DELIVER, x, t.tail_stamp)
    else:
        plan(s, t.tail_at, TAIL, x, t.tail_stamp)


@jit
def packets(s: State, x: int) -> float:
    r = s.rule[0]
    return float(math.ceil(s.x[x].size / r.packet)) if 0.0 < r.packet < INFINITY else 1.0


@jit
def lossy(s: State, x: int, lane: int) -> float:
    """Seconds that lost packets cost."""
    r, t, loss = s.rule[0], s.x[x], s.lanes[lane].loss
    n, trip, cost = packets(s, x), round_trip(s, x), 0.0
    for k in range(ROUNDS):
        if uniform(r.seed, lane, t.number, 2 * k) >= 1.0 - math.exp(n * math.log1p(-loss)):
            break
        timer = uniform(r.seed, lane, t.number, 2 * k + 1) * n < 3.0
        cost += trip + r.rto if timer else trip
        n = max(1.0, n * loss)
    return cost


@jit
def jittery(s: State, x: int, lane: int) -> float:
    """By how much the tail is late or early."""
    r, t, w = s.rule[0], s.x[x], s.lanes[lane]
    spacing = t.packet / rate(s, lane)
    k = min(packets(s, x), 1.0 + 2.0 * w.jitter / spacing) if spacing > 0.0 else 1.0
    u = max(uniform(r.seed, lane, t.number, 2 * ROUNDS), 1e-16)
    p = math.exp(math.log(u) / k)
    return max(w.jitter * LOGISTIC * math.log(p / max(1.0 - p, 1e-16)), -w.delay)


# -- broken and sent again


@jit
def stalled(s: State, source: int, target: int) -> int:
    """The row of this connection among those that wait, −1: it does not."""
    for c in range(len(s.c)):
        if s.c[c].used and s.c[c].source == source and s.c[c].target == target:
            return c
    return -1


@jit
def append(s: State, c: int, x: int) -> None:
    s.x[x].next = -1
    if s.c[c].first < 0:
        s.c[c].first = x
    else:
        s.x[s.c[c].last].next = x
    s.c[c].last = x


@jit
def stall(s: State, x: int) -> None:
    """It can't go on: its connection will send it again."""
    g, t = s.g[0], s.x[x]
    withdraw(s, x)
    if mute(s, t.source) or gone(s, t.target):
        release(s, x)
        return
    if g.stalls > 0:
        known = stalled(s, t.source, t.target)
        if known >= 0:
            append(s, known, x)
            return
    c = g.free_c
    k = s.c[c]
    g.free_c = k.next
    g.room_c -= 1
    g.stalls += 1
    k.used = 1
    k.source = t.source
    k.target = t.target
    k.first = -1
    k.tries = 0
    append(s, c, x)
    plan(s, g.now + s.rule[0].rto + round_trip(s, x), RTO, c, 0)


@jit
def withdraw(s: State, x: int) -> None:
    """It flows nowhere any more, and starts at its host if it starts again."""
    t = s.x[x]
    for j in range(t.through, t.hops):
        h = s.hops[x, j]
        forward(s, h.lane, s.g[0].now)
        flow(s, h.lane, -h.inflow, -1)
    t.hops = 0
    t.site = -1
    t.through = 0
    t.head_stamp += 1
    t.tail_stamp += 1


@jit
def again(s: State, c: int) -> None:
    """The retransmission timer of a connection."""
    g, k = s.g[0], s.c[c]
    over = mute(s, k.source) or gone(s, k.target)
    x = k.first
    if not over and not passable(s, x):
        k.tries = min(k.tries + 1, RTO_DOUBLINGS)
        wait = s.rule[0].rto * 2.0**k.tries + round_trip(s, x)
        plan(s, g.now + wait, RTO, c, 0)
        return
    k.used = 0
    k.next = g.free_c
    g.free_c = c
    g.room_c += 1
    g.stalls -= 1
    while x >= 0:
        following = s.x[x].next
        if over:
            release(s, x)
        else:
            hop(s, x)
        x = following


@jit
def passable(s: State, x: int) -> bool:
    site = -1
    for _ in range(len(s.lanes)):
        lane = way(s, site, x)
        if lane < 0 or not s.lanes[lane].up:
            return False
        site = s.lanes[lane].leads
        if site < 0:
            return True
    return False
