"""How instances end: drained, killed, stopped, buried (reference/instances.py)."""

from __future__ import annotations

import numpy as np

from testbed.world.twin.engine import BROKEN, DRAINED, LOST
from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.instances import fail, finish, free_visit, over, pump, receive, report, row, signal
from testbed.world.twin.kernel.queues import pop
from testbed.world.twin.kernel.sorting import sort
from testbed.world.twin.kernel.state import GHOST, JOIN, QUEUED, ROW, RUNNING, State

NAN = np.nan


@jit
def drain(s: State, i: int) -> None:
    s.m[i].asked = 1
    report(s, i)


@jit
def check_drained(s: State, i: int) -> None:
    """Say so when nothing is here, on its way here, or sent from here and not received."""
    m = s.m[i]
    if m.told or m.dead or m.frozen or m.waiting > 0 or m.running > 0 or m.joins >= 0 or m.coming > 0 or m.owed > 0:
        return
    if m.rows >= 0:
        report(s, i)
        return
    m.told = 1
    signal(s, DRAINED, i)


@jit
def settle(s: State) -> None:
    """Ask those that may be drained now; a report that comes of it may raise further doubts."""
    g = s.g[0]
    k = 0
    while k < g.doubts:
        check_drained(s, s.doubts[k])
        k += 1
    g.doubts = 0


@jit
def here(s: State, i: int, state: int) -> int:
    """Fill order[:n] with the visits of an instance in a state, by serial. Returns n."""
    n = 0
    for v in range(len(s.v)):
        if s.v[v].state == state and s.v[v].member == i:
            s.order[n].key = s.v[v].serial
            s.order[n].row = v
            n += 1
    sort(s.order, n)
    return n


@jit
def freeze(s: State, i: int, still: bool) -> None:
    """It stands still, or goes on (reference/instances.py, `thaw`)."""
    m, now = s.m[i], s.g[0].now
    if m.dead or (m.frozen != 0) == still:
        return
    m.frozen = still
    if still:
        return
    n = 0
    for k in range(here(s, i, RUNNING)):  # those whose time is over first: what ends begins others
        if s.v[s.order[k].row].until <= now:
            s.held[n].row = s.order[k].row
            n += 1
    for k in range(n):
        finish(s, s.held[k].row)
    x = m.door
    m.door = -1
    while x >= 0:
        following = s.x[x].next
        s.g[0].flying -= 1
        receive(s, x)
        x = following
    pump(s, i)
    if m.late_report or m.asked:
        m.late_report = 0
        report(s, i)


@jit
def kill(s: State, i: int) -> None:
    """It ends without a word: what it had reported as arrived becomes its ghosts, the rest vanishes."""
    m = s.m[i]
    m.dead = 1
    s.hosts[m.host].busy -= m.milli * m.running
    for v in range(len(s.v)):
        w = s.v[v]
        if w.member == i and (w.state == QUEUED or w.state == RUNNING or w.state == JOIN or w.state == ROW):
            if w.first < m.reported:
                w.state = GHOST
            else:
                free_visit(s, v)
    m.running = 0
    m.waiting = 0
    m.queue = -1
    m.joins = -1
    m.rows = -1
    m.fresh = 0


@jit
def stop(s: State, i: int) -> None:
    """It ends by order and says what it gives up."""
    m = s.m[i]
    m.dead = 1
    s.hosts[m.host].busy -= m.milli * m.running
    for k in range(here(s, i, RUNNING)):
        give_up(s, i, s.order[k].row)
    while m.waiting > 0:
        give_up(s, i, pop(s, i))
    v = m.joins
    while v >= 0:
        following = s.v[v].next
        give_up(s, i, v)
        v = following
    m.running = 0
    m.joins = -1
    report(s, i)


@jit
def give_up(s: State, i: int, v: int) -> None:
    task, attempt = s.v[v].task, s.v[v].attempt
    row(s, i, v, NAN, LOST)
    fail(s, i, task, attempt, BROKEN)


@jit
def held(s: State, i: int) -> int:
    """Tasks it has reported as arrived and not as finished."""
    n = 0
    for v in range(len(s.v)):
        w = s.v[v]
        if w.member == i and (
            w.state == GHOST if s.m[i].dead else QUEUED <= w.state <= ROW and w.first < s.m[i].reported
        ):
            s.held[n].key = w.task
            s.held[n].row = 0
            n += 1
    sort(s.held, n)
    tasks = 0
    for k in range(n):
        if k == 0 or s.held[k].key != s.held[k - 1].key:
            tasks += 1
    return tasks


@jit
def bury(s: State, i: int) -> int:
    """Fill held[:n] with what may have died with it, by (task, attempt); its ghosts' rows go to the run."""
    m = s.m[i]
    n = 0
    v = m.recent
    while v >= 0:
        following = s.v[v].next
        s.held[n].key = s.v[v].task
        s.held[n].row = s.v[v].attempt
        n += 1
        free_visit(s, v)
        v = following
    m.recent = -1
    for k in range(here(s, i, GHOST)):
        v = s.order[k].row
        w = s.v[v]
        s.held[n].key = w.task
        s.held[n].row = w.attempt
        n += 1
        w.started = NAN
        w.ended = NAN
        w.outcome = LOST
        over(s, v)
        free_visit(s, v)
    m.backlog = 0
    m.busy = 0
    sort(s.held, n)
    return n
