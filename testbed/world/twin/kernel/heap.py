"""The agenda: what comes next, by (time, number of planning).

Three places, so that most events are few levels from the top of a small heap: `coming`, the tasks offered, in order
already; `lasts`, the ends of their grace, which are far away and come nearly in order; `events`, all the rest: the
messages and services under way.
"""

from __future__ import annotations

import numpy as np

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.state import LAST, State

NOTHING, EVENTS, COMING, LASTS = range(4)


@jit
def plan(s: State, time: float, kind: int, a: int, b: int) -> None:
    """Something of `kind` will happen to (a, b) at `time`."""
    g = s.g[0]
    g.heap += 1
    insert(s.events, g.heap, time, g.planned, kind, a, b)
    g.planned += 1


@jit
def plan_last(s: State, time: float, task: int) -> None:
    """A task's last moment."""
    g = s.g[0]
    g.lasts += 1
    insert(s.lasts, g.lasts, time, g.planned, LAST, task, 0)
    g.planned += 1


@jit
def first(s: State) -> int:
    """Where the next event is."""
    g = s.g[0]
    at, time, number = NOTHING, np.inf, 0
    if g.heap > 0:
        at, time, number = EVENTS, s.events[0].time, s.events[0].planned
    if g.come < g.offered:
        e = s.coming[g.come]
        if at == NOTHING or e.time < time or (e.time == time and e.planned < number):
            at, time, number = COMING, e.time, e.planned
    if g.lasts > 0:
        e = s.lasts[0]
        if at == NOTHING or e.time < time or (e.time == time and e.planned < number):
            at = LASTS
    return at


@jit
def insert(events: np.ndarray, n: int, time: float, number: int, kind: int, a: int, b: int) -> None:
    """Into the heap, which has n rows with this one. Numbers only grow: of equal times the one there goes first."""
    at = n - 1
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
def remove(events: np.ndarray, n: int) -> None:
    """The first row, of a heap that has n rows without it."""
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
