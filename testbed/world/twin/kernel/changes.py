"""Lanes that change while messages are on them, and receivers that are no more (reference/transfers.py)."""

from __future__ import annotations

from testbed.world.twin.engine import FETCH, REQUEST
from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.lanes import forward
from testbed.world.twin.kernel.sorting import sort
from testbed.world.twin.kernel.state import FLYING, State
from testbed.world.twin.kernel.transfers import plan_head, plan_tail, release, stall, withdraw


@jit
def in_order(s: State, kind: int, target: int) -> int:
    """Fill order[:n] with the messages in flight, by their numbers; of one kind and target where not −1. Returns n."""
    n = 0
    for x in range(len(s.x)):
        t = s.x[x]
        if t.state == FLYING and (kind < 0 or t.kind == kind) and (target < 0 or t.target == target):
            s.order[n].key = t.number
            s.order[n].row = x
            n += 1
    sort(s.order, n)
    return n


@jit
def squeeze(s: State, lane: int, factor: float) -> None:
    forward(s, lane, s.g[0].now)
    s.lanes[lane].factor = factor
    retime(s, lane)


@jit
def retime(s: State, lane: int) -> None:
    """Whoever is on the lane leaves it at another time."""
    w = s.lanes[lane]
    for k in range(in_order(s, -1, -1)):
        x = s.order[k].row
        t = s.x[x]
        if t.site >= 0 and s.hops[x, t.hops - 1].lane == lane and s.hops[x, t.hops - 1].head > w.c:
            t.head_stamp += 1
            plan_head(s, x)
        if t.through > 0 and (t.packet < t.size or t.site < 0):
            h = s.hops[x, t.through - 1]
            if h.lane == lane and h.tail > w.c:
                t.tail_stamp += 1
                plan_tail(s, x)


@jit
def set_lane(s: State, lane: int, up: bool) -> None:
    w, now = s.lanes[lane], s.g[0].now
    w.up = up
    if up:
        return
    forward(s, lane, now)
    w.q = 0.0
    for k in range(in_order(s, -1, -1)):
        x = s.order[k].row
        t = s.x[x]
        for j in range(max(t.through if t.tail_at <= now else t.through - 1, 0), t.hops):
            if s.hops[x, j].lane == lane:
                stall(s, x)
                break


@jit
def forget(s: State, member: int) -> int:
    """Requests on their way to a member known to be dead: order[:n], which the caller releases."""
    for k in range(in_order(s, FETCH, member)):
        withdraw(s, s.order[k].row)
        release(s, s.order[k].row)
    n = in_order(s, REQUEST, member)
    for k in range(n):
        withdraw(s, s.order[k].row)
    for c in range(len(s.c)):
        if s.c[c].used and s.c[c].target == member:
            s.c[c].first = -1
    return n
