"""The agenda as a binary heap of rows, ordered by (time, number of planning)."""

from __future__ import annotations

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.state import State


@jit
def plan(s: State, time: float, kind: int, a: int, b: int) -> None:
    """Something of `kind` will happen to (a, b) at `time`."""
    g, events = s.g[0], s.events
    at = g.heap
    g.heap += 1
    number = g.planned
    g.planned += 1
    while at > 0:
        parent = (at - 1) >> 1
        if events[parent].time <= time:
            break
        events[at] = events[parent]
        at = parent
    e = events[at]
    e.time = time
    e.planned = number
    e.kind = kind
    e.a = a
    e.b = b


@jit
def drop_first(s: State) -> None:
    """Remove the next event."""
    g, events = s.g[0], s.events
    g.heap -= 1
    n = g.heap
    if n == 0:
        return
    last = events[n]
    time, number = last.time, last.planned
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        right = child + 1
        if right < n and (
            events[right].time < events[child].time
            or (events[right].time == events[child].time and events[right].planned < events[child].planned)
        ):
            child = right
        if time < events[child].time or (time == events[child].time and number < events[child].planned):
            break
        events[at] = events[child]
        at = child
    events[at] = events[n]
