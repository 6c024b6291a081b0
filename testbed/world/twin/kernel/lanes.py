"""One direction of a link (reference/lanes.py)."""

from __future__ import annotations

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.state import State


@jit
def rate(s: State, lane: int) -> float:
    return s.track[lane, s.lanes[lane].step, 1] * s.lanes[lane].factor


@jit
def let_pass(s: State, lane: int, time: float) -> None:
    w = s.lanes[lane]
    passed = time - w.time
    served = passed * (s.track[lane, w.step, 1] * w.factor)
    w.c += served
    w.q = max(0.0, w.q + w.inflow * passed - served)
    w.time = time


@jit
def forward(s: State, lane: int, now: float) -> None:
    """Bring C and q to `now`."""
    w, track = s.lanes[lane], s.track
    while w.step + 1 < w.steps and track[lane, w.step + 1, 0] <= now:
        let_pass(s, lane, track[lane, w.step + 1, 0])
        w.step += 1
    let_pass(s, lane, now)


@jit
def flow(s: State, lane: int, change: float, messages: int) -> None:
    w = s.lanes[lane]
    w.inflows += messages
    w.inflow = w.inflow + change if w.inflows else 0.0


@jit
def when(s: State, lane: int, c: float) -> float:
    """The time at which C reaches c."""
    w, track = s.lanes[lane], s.track
    time, have, step = w.time, w.c, w.step
    while True:
        speed = track[lane, step, 1] * w.factor
        if c <= have:
            return time
        reached = time + (c - have) / speed
        if step + 1 >= w.steps or reached <= track[lane, step + 1, 0]:
            return reached
        have += (track[lane, step + 1, 0] - time) * speed
        time = track[lane, step + 1, 0]
        step += 1
