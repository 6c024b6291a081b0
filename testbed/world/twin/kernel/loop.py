"""What Python calls: time passes, event after event, as long as there is room; or one thing is done now.

One function is the only way in, because every way in costs its compile time.
"""

from __future__ import annotations

import numpy as np

from testbed.world.twin.engine import BROKEN, FAILED, FETCH, REQUEST, RESULT, STATE
from testbed.world.twin.kernel.build import door, jit
from testbed.world.twin.kernel.changes import forget, retime, set_lane, squeeze
from testbed.world.twin.kernel.ends import bury, drain, freeze, held, kill, settle, stop
from testbed.world.twin.kernel.gateways import attempt, dispatch, failed, last_moment, lost, result, retry
from testbed.world.twin.kernel.handle import as_state
from testbed.world.twin.kernel.heap import COMING, EVENTS, LASTS, first, plan, remove
from testbed.world.twin.kernel.instances import acknowledge, fail, finish, pump, receive, report, see, signal
from testbed.world.twin.kernel.lanes import forward
from testbed.world.twin.kernel.routing import find_floors
from testbed.world.twin.kernel.sorting import sort
from testbed.world.twin.kernel.state import (
    AGAIN,
    DELIVER,
    FINISH,
    FLYING,
    HEAD,
    REPORT,
    RETRY,
    RTO,
    RUNNING,
    TAIL,
    TICK,
    State,
)
from testbed.world.twin.kernel.transfers import again, depart, free, hop, landed, mute, release, send, tail

#: Questions to `ask`.
RUN, PUSH, PUMP, DRAIN, HELD, STOP, KILL, BURY, FETCHES, FORWARD, SQUEEZE, LANE, PLAN, RETIME, FREEZE = range(15)


@door
def ask(table: np.ndarray, what: int, a: int, b: int, x: float) -> int:
    """One of the questions above to the state behind a table (handle.py); a, b and x as it needs them.

    RUN: until x, or until a signal. 1: it stopped because a pool has fewer than `a` free rows left.
    """
    s = as_state(table)
    g = s.g[0]
    if what == RUN:
        while g.signals == 0:
            if not roomy(s, a):
                return 1
            if not happen(s, x):
                break
        if g.signals == 0 and g.now < x:
            g.now = x
    elif what == PUSH:
        push(s)
    elif what == PUMP:
        pump(s, a)
    elif what == DRAIN:
        drain(s, a)
    elif what == HELD:
        return held(s, a)
    elif what == STOP:
        s.m[a].shown = 0
        s.m[a].gone = 1
        if not s.m[a].dead:
            stop(s, a)
        undelivered(s, a)
    elif what == KILL:
        kill(s, a)
    elif what == BURY:
        s.m[a].shown = 0
        s.m[a].gone = 1
        push(s)
        n = bury(s, a)
        undelivered(s, a)
        lost(s, a, n)
    elif what == FETCHES:
        send(s, FETCH, a, b, x, 0.0, 0, 0, 0, 0, -1)
    elif what == FREEZE:
        freeze(s, a, b != 0)
    elif what == FORWARD:
        forward(s, a, g.now)
    elif what == RETIME:
        retime(s, a)
    elif what == SQUEEZE:
        squeeze(s, a, x)
    elif what == LANE:
        set_lane(s, a, b != 0)
    elif what == PLAN:
        plan(s, x, a, b, 0)
    if what != RUN:
        rest(s)
    return 0


@jit
def roomy(s: State, room: int) -> bool:
    """Whether every pool and table has `room` rows free."""
    g = s.g[0]
    return (
        g.room_x >= room
        and g.room_v >= room
        and g.room_c >= room
        and g.room_b >= room
        and g.doubts + room <= len(s.doubts)
        and g.heap + room <= len(s.events)
        and g.lasts < len(s.lasts)
        and g.answers + room <= len(s.answers)
        and g.visits + room <= len(s.visits)
    )


@jit
def rest(s: State) -> None:
    """The rest of an event: what was sent departs, those that may be drained now are asked."""
    if s.g[0].outbox >= 0:
        depart(s)
    if s.g[0].doubts > 0:
        settle(s)


@jit
def happen(s: State, until: float) -> bool:
    """The next event, if it is due."""
    g, at = s.g[0], first(s)
    if at == EVENTS:
        if s.events[0].time > until:
            return False
        event(s)
    elif at == COMING:
        e = s.coming[g.come]
        if e.time > until:
            return False
        g.now = e.time
        g.come += 1
        dispatch(s, e.a)
    elif at == LASTS:
        e = s.lasts[0]
        if e.time > until:
            return False
        g.now = e.time
        task = e.a
        g.lasts -= 1
        remove(s.lasts, g.lasts)
        last_moment(s, task)
    else:
        return False
    rest(s)
    return True


@jit
def event(s: State) -> None:
    """One of those that are neither a task's first nor its last moment."""
    g, e = s.g[0], s.events[0]
    g.now = e.time
    kind, a, b = e.kind, e.a, e.b
    g.heap -= 1
    remove(s.events, g.heap)
    if kind == HEAD:
        if s.x[a].head_stamp == b:
            hop(s, a)
    elif kind == TAIL:
        if s.x[a].tail_stamp == b:
            tail(s, a)
    elif kind == DELIVER:
        if s.x[a].tail_stamp == b:
            deliver(s, a)
    elif kind == FINISH:
        if s.v[a].state == RUNNING and s.v[a].serial == b:
            finish(s, a)
    elif kind == REPORT:
        if s.m[a].due and s.m[a].frozen:
            s.m[a].late_report = 1
        elif s.m[a].due and not s.m[a].dead:
            report(s, a)
    elif kind == RTO:
        again(s, a)
    elif kind == AGAIN:
        s.t[a].waiting = 0
        attempt(s, a)
    elif kind == RETRY:
        retry(s, a, b)
    elif kind == TICK:
        plan(s, g.now + s.rule[0].interval, TICK, 0, 0)
        push(s)


@jit
def deliver(s: State, x: int) -> None:
    """A message has come, all of it."""
    t = s.x[x]
    landed(s, x)
    if t.kind == REQUEST:
        receive(s, x)
        return
    kind, task, number, stage, origin, target = t.kind, t.task, t.attempt, t.stage, t.origin, t.target
    free(s, x)
    if kind == RESULT:
        result(s, task, stage)
    elif kind == FAILED:
        failed(s, task, number, origin)
    elif not s.m[target].dead:
        signal(s, STATE, target)


@jit
def push(s: State) -> None:
    """A new view to every sender, unless views are held back."""
    g = s.g[0]
    if g.held_back:
        return
    changed = g.new_costs != 0
    for i in range(g.gateways, g.members):
        m = s.m[i]
        changed = changed or (m.seen_workers > 0) != (m.workers > 0)
        m.seen_workers = m.workers
        m.seen_backlog = m.backlog
        m.seen_draining = m.draining
    changed = list_targets(s) or changed
    if g.new_costs:
        g.new_costs = 0
        see_costs(s)
    g.version += 1
    if changed:
        g.layout += 1
        find_floors(s)
    g.reported = g.answers
    for i in range(g.gateways, g.members):
        if s.m[i].shown and not s.m[i].dead and not s.m[i].frozen:
            see(s, i)


@jit
def list_targets(s: State) -> bool:
    """Who is shown, service by service; whether that has changed."""
    n, changed = 0, False
    for service in range(len(s.listed)):
        new = s.targets_from[service] != n
        s.targets_from[service] = n
        for i in range(s.g[0].gateways, s.g[0].members):
            if s.m[i].shown and s.m[i].service == service:
                new = new or s.targets[n] != i
                s.targets[n] = i
                n += 1
        new = new or s.targets_from[service + 1] != n
        if new:
            s.listed[service] += 1
            changed = True
    s.targets_from[len(s.listed)] = n
    return changed


@jit
def see_costs(s: State) -> None:
    """Costs as last told are in the view. Where a delay has changed, all targets are to be ranked again."""
    nearer = False
    for a in range(len(s.delay)):
        for b in range(len(s.delay)):
            nearer = nearer or s.seen_delay[a, b] != s.delay[a, b]
            s.seen_delay[a, b] = s.delay[a, b]
            s.seen_per_byte[a, b] = s.per_byte[a, b]
            s.seen_toll[a, b] = s.toll[a, b]
    if nearer:
        for service in range(len(s.listed)):
            s.listed[service] += 1


@jit
def undelivered(s: State, i: int) -> None:
    """Requests sent to it and not acknowledged: their senders give them up, in the order they were sent."""
    n = forget(s, i)
    x = s.m[i].taken
    while x >= 0:
        s.order[n].key = s.x[x].number
        s.order[n].row = x
        n += 1
        x = s.x[x].next
    s.m[i].taken = -1
    x = s.m[i].door
    while x >= 0:
        s.g[0].flying -= 1
        s.order[n].key = s.x[x].number
        s.order[n].row = x
        n += 1
        x = s.x[x].next
    s.m[i].door = -1
    sort(s.order, n)
    for k in range(n):
        acknowledge(s, s.x[s.order[k].row].source, i)
    for k in range(n):
        t = s.x[s.order[k].row]
        source, task, number = t.source, t.task, t.attempt
        if source < s.g[0].gateways:
            retry(s, task, number)
        elif not mute(s, source):
            fail(s, source, task, number, BROKEN)
    for k in range(n):
        if s.x[s.order[k].row].state == FLYING:
            release(s, s.order[k].row)
        else:
            free(s, s.order[k].row)
