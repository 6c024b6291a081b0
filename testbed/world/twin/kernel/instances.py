"""What happens at instances (reference/instances.py)."""

from __future__ import annotations

import numpy as np

from testbed.world.twin.engine import (
    BROKEN,
    DONE,
    DROPPED,
    ERRORS,
    EXPIRED_WHY,
    FAILED,
    LOST,
    REQUEST,
    RESULT,
    RETRY_LATER,
)
from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.heap import plan
from testbed.world.twin.kernel.queues import pop, push
from testbed.world.twin.kernel.routing import hopeless, route, sync
from testbed.world.twin.kernel.state import (
    FINISH,
    FREE,
    JOIN,
    RECENT,
    REPORT,
    ROW,
    RUNNING,
    TAKEN,
    State,
)
from testbed.world.twin.kernel.transfers import free, gone, send, uniform
from testbed.world.twin.layout import FAILED_HEAD, RESULT_HEAD

NAN = np.nan


@jit
def signal(s: State, what: int, member: int) -> None:
    g = s.g[0]
    s.signals[g.signals].what = what
    s.signals[g.signals].member = member
    g.signals += 1


@jit
def fail(s: State, source: int, task: int, attempt: int, why: int) -> None:
    gateway = s.t[task].gateway
    send(s, FAILED, source, gateway, 0.0, FAILED_HEAD, task, attempt, 0, why, -1)


@jit
def request(
    s: State, source: int, target: int, size: float, task: int, attempt: int, stage: int, origin: int, visit: int
) -> int:
    """A request is sent, and counted at its sender and its receiver; its row."""
    sync(s, source, target)
    s.pairs[source, target].pending += 1
    s.pairs[source, target].local += 1
    s.m[target].coming += 1
    if source >= s.g[0].gateways:
        s.m[source].owed += 1
    head = s.stages[s.t[task].type, stage + 1].head
    return send(s, REQUEST, source, target, size, head, task, attempt, stage, origin, visit)


@jit
def ask_later(s: State, i: int) -> None:
    """Whether it is drained now is asked when this event is over."""
    g = s.g[0]
    if s.m[i].asked and not s.m[i].told:
        s.doubts[g.doubts] = i
        g.doubts += 1


# -- a request comes


@jit
def wait_outside(s: State, x: int) -> None:
    """It has come to one that stands still. It counts as flying still: it will need a visit's room."""
    m = s.m[s.x[x].target]
    s.g[0].flying += 1
    s.x[x].state = TAKEN
    s.x[x].next = -1
    if m.door < 0:
        m.door = x
    else:
        s.x[m.last_door].next = x
    m.last_door = x


@jit
def receive(s: State, x: int) -> None:
    g, t = s.g[0], s.x[x]
    i = t.target
    m = s.m[i]
    if m.frozen and not m.dead:
        wait_outside(s, x)
        return
    m.coming -= 1
    if m.dead:
        free(s, x)
        return
    t.state = TAKEN
    t.next = -1
    if m.taken < 0:
        m.taken = x
    else:
        s.x[m.last_taken].next = x
    m.last_taken = x
    task, kind = s.t[t.task], s.t[t.task].type
    serial = g.serial
    g.serial += 1
    join = s.stages[kind, t.stage + 1].join >= 0
    v = join_part(s, i, x, serial) if join else arrive(s, i, x, serial)
    if v < 0:
        return
    if join:
        s.v[v].arrived = g.now
        s.v[v].serial = serial
    t.counted = 1
    m.counted += 1
    fails = m.errors > 0.0 and uniform(s.rule[0].seed, ERRORS, t.task + 1, t.attempt) < m.errors
    if fails or m.waiting >= s.rule[0].limit:
        row(s, i, v, g.now, DROPPED)
        fail(s, i, t.task, t.attempt, RETRY_LATER)
        ask_later(s, i)
        return
    s.v[v].key = task.due if s.rule[0].edf else 0.0
    push(s, i, v)
    pump(s, i)
    ask_later(s, i)


@jit
def arrive(s: State, i: int, x: int, serial: int) -> int:
    """A visit for a request."""
    g, t = s.g[0], s.x[x]
    v = g.free_v
    w = s.v[v]
    g.free_v = w.next
    g.room_v -= 1
    w.serial = serial
    w.first = serial
    w.task = t.task
    w.attempt = t.attempt
    w.stage = t.stage
    w.member = i
    w.missing = 0
    w.arrived = g.now
    w.started = NAN
    w.next = -1
    for j in range(s.v_bind.shape[1]):
        s.v_bind[v, j] = s.x_bind[x, j]
    s.m[i].fresh += 1
    return v


@jit
def unjoin(s: State, i: int, v: int, before: int) -> None:
    """Take a half out of the chain, where `before` is the one before it."""
    if before < 0:
        s.m[i].joins = s.v[v].next
    else:
        s.v[before].next = s.v[v].next
    s.v[v].next = -1


@jit
def join_part(s: State, i: int, x: int, serial: int) -> int:
    """Count a part in; the visit when all parts are here, else −1."""
    t, kind = s.x[x], s.t[s.x[x].task].type
    found, found_before, last = -1, -1, -1
    v = s.m[i].joins
    while v >= 0:
        w, following = s.v[v], s.v[v].next
        if w.task == t.task and w.stage == t.stage and w.attempt < t.attempt:
            unjoin(s, i, v, last)
            row(s, i, v, s.g[0].now, LOST)
        else:
            if w.task == t.task and w.stage == t.stage and w.attempt == t.attempt:
                found, found_before = v, last
            last = v
        v = following
    if found < 0:
        found = arrive(s, i, x, serial)
        found_before = last
        s.v[found].state = JOIN
        if last < 0:
            s.m[i].joins = found
        else:
            s.v[last].next = found
        for k in range(s.stages[kind, t.stage + 1].ins):
            s.v[found].missing |= 1 << (s.edges[kind, t.stage + 1, k].in_stage + 1)
    s.v[found].missing &= ~(1 << (t.origin + 1))
    if s.v[found].missing:
        return -1
    unjoin(s, i, found, found_before)
    return found


# -- service


@jit
def pump(s: State, i: int) -> None:
    m, r, now = s.m[i], s.rule[0], s.g[0].now
    while m.waiting > 0 and m.running < m.workers:
        v = pop(s, i)
        w = s.v[v]
        seconds = s.work[w.task, w.stage] / m.speed
        if m.milli:
            share = min(1.0, s.hosts[m.host].busy / 1000 / m.spare)
            seconds *= 1.0 + r.contention * (share * share)
        seconds *= m.pace
        if r.early_drop and hopeless(s, w.task, w.stage, m.host, now + seconds):
            task, attempt = w.task, w.attempt
            row(s, i, v, now, DROPPED)
            fail(s, i, task, attempt, EXPIRED_WHY)
            continue
        w.started = now
        w.state = RUNNING
        m.running += 1
        s.hosts[m.host].busy += m.milli
        w.until = now + seconds + r.service
        plan(s, w.until, FINISH, v, w.serial)


@jit
def finish(s: State, v: int) -> None:
    """The service of a running visit is over."""
    i = s.v[v].member
    m = s.m[i]
    if m.frozen:
        return
    m.running -= 1
    s.hosts[m.host].busy -= m.milli
    row(s, i, v, s.g[0].now, DONE)
    pass_on(s, i, v)
    pump(s, i)
    ask_later(s, i)


@jit
def pass_on(s: State, i: int, v: int) -> None:
    """The stage's outputs: to each successor, or to the gateway from a sink."""
    w = s.v[v]
    t = s.t[w.task]
    st = s.stages[t.type, w.stage + 1]
    if st.sink:
        payload = s.types[t.type].output * t.size
        send(s, RESULT, i, t.gateway, payload, RESULT_HEAD, w.task, w.attempt, w.stage, 0, -1)
        return
    for k in range(st.outs):
        edge = s.edges[t.type, w.stage + 1, k]
        stage, size = edge.out_stage, edge.out_bytes * t.size
        onto = s.stages[t.type, stage + 1]
        target = s.v_bind[v, onto.join] if onto.join >= 0 else route(s, i, onto.service, size, w.task, stage, w.attempt)
        if target < 0:
            fail(s, i, w.task, w.attempt, RETRY_LATER)
        elif gone(s, target):
            fail(s, i, w.task, w.attempt, BROKEN)
        else:
            request(s, i, target, size, w.task, w.attempt, stage, w.stage, v)


@jit
def row(s: State, i: int, v: int, ended: float, outcome: int) -> None:
    """The visit is over and waits to be reported."""
    m, w = s.m[i], s.v[v]
    if w.first >= m.reported:
        m.fresh -= 1
    w.state = ROW
    w.ended = ended
    w.outcome = outcome
    w.next = -1
    if m.rows < 0:
        m.rows = v
    else:
        s.v[m.last_row].next = v
    m.last_row = v


# -- views and reports


@jit
def see(s: State, i: int) -> None:
    """A new view has come."""
    g, m, r = s.g[0], s.m[i], s.rule[0]
    last, v = -1, m.joins
    while v >= 0:
        following = s.v[v].next
        if s.t[s.v[v].task].due + r.join_grace < g.now:
            unjoin(s, i, v, last)
            task, attempt = s.v[v].task, s.v[v].attempt
            row(s, i, v, g.now, DROPPED)
            fail(s, i, task, attempt, EXPIRED_WHY)
        else:
            last = v
        v = following
    if m.due:
        return
    changed = m.rows >= 0 or m.fresh > 0 or m.counted > 0 or m.silent
    if not changed and m.backlog == m.waiting + m.running and m.busy == m.running:
        ask_later(s, i)
    elif m.asked:
        report(s, i)
    else:
        m.due = 1
        plan(s, g.now + r.report, REPORT, i, 0)


@jit
def over(s: State, v: int) -> None:
    """A visit's row goes to the run; a join that is done is through for its task."""
    g, w = s.g[0], s.v[v]
    o = s.visits[g.visits]
    g.visits += 1
    o.task = w.task
    o.arrived = w.arrived
    o.started = w.started
    o.ended = w.ended
    o.member = w.member
    o.stage = w.stage
    o.attempt = w.attempt
    o.outcome = w.outcome
    if w.outcome == DONE and s.stages[s.t[w.task].type, w.stage + 1].join >= 0:
        b = s.t[w.task].bindings
        while b >= 0:
            if s.b[b].member == w.member and s.b[b].attempt == w.attempt:
                s.b[b].finished = w.ended
            b = s.b[b].next


@jit
def free_visit(s: State, v: int) -> None:
    s.v[v].state = FREE
    s.v[v].next = s.g[0].free_v
    s.g[0].free_v = v
    s.g[0].room_v += 1


@jit
def report(s: State, i: int) -> None:
    """Rows, arrivals and backlog to the run; acknowledgements to the senders."""
    g, m = s.g[0], s.m[i]
    m.due = 0
    m.silent = 0
    m.backlog = m.waiting + m.running
    m.busy = m.running
    m.fresh = 0
    m.reported = g.serial
    v = m.rows
    m.rows = -1
    while v >= 0:
        following = s.v[v].next
        over(s, v)
        if s.v[v].outcome == DONE:
            s.v[v].state = RECENT
            s.v[v].next = -1
            if m.recent < 0:
                m.recent = v
            else:
                s.v[m.last_recent].next = v
            m.last_recent = v
        else:
            free_visit(s, v)
        v = following
    while m.recent >= 0 and s.v[m.recent].ended < g.now - s.rule[0].recent:
        v = m.recent
        m.recent = s.v[v].next
        free_visit(s, v)
    m.counted = 0
    x = m.taken
    m.taken = -1
    while x >= 0:
        following, source = s.x[x].next, s.x[x].source
        if s.x[x].counted:
            s.arrivals[m.service, s.hosts[s.x[x].start].domain] += 1
        free(s, x)
        acknowledge(s, source, i)
        x = following
    ask_later(s, i)


@jit
def acknowledge(s: State, source: int, target: int) -> None:
    sync(s, source, target)
    s.pairs[source, target].pending -= 1
    if source >= s.g[0].gateways:
        s.m[source].owed -= 1
        ask_later(s, source)
