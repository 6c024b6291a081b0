"""Tasks at their gateways (reference/gateways.py)."""

from __future__ import annotations

import numpy as np

from controller.light.routing import SURE
from testbed.world.twin.engine import EXPIRED, EXPIRED_WHY, LATE, ON_TIME, REFUSED, RELEASED, RETRY_LATER, UNANSWERED
from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.heap import plan, plan_last
from testbed.world.twin.kernel.instances import request, signal
from testbed.world.twin.kernel.routing import INFINITY, choose, least_estimate, local, net, route, total_in, waiting
from testbed.world.twin.kernel.state import AGAIN, RETRY, State

NAN = np.nan


@jit
def dispatch(s: State, task: int) -> None:
    """The access phase is over: admit and send."""
    t, r, now = s.t[task], s.rule[0], s.g[0].now
    t.sent = 1
    plan_last(s, t.due + min(r.grace_deadlines * (t.due - t.at), r.grace), task)
    if r.admission and not now + SURE * completion(s, task) <= t.due:
        resolve(s, task, REFUSED, NAN)
        return
    if now >= t.due:  # its channel took all its time
        resolve(s, task, EXPIRED, NAN)
        return
    attempt(s, task)


@jit
def completion(s: State, task: int) -> float:
    """Estimated seconds until the last result is back."""
    hosts, times, t = s.at_host, s.at_time, s.t[task]
    kind, size, sender = t.type, t.size, t.gateway
    gateway = s.m[sender].host
    finish = -INFINITY
    for k in range(s.types[kind].stages):
        st, edges = s.stages[kind, k + 1], s.edges[kind, k + 1]
        source = gateway
        if st.ins == 1 and edges[0].in_stage >= 0:
            source = hosts[edges[0].in_stage]
        target = least_estimate(s, sender, source, size * total_in(s, kind, k), task, k)
        if target < 0:
            return INFINITY
        host = s.m[target].host
        arrived = -INFINITY
        for j in range(st.ins):
            before_it = edges[j].in_stage
            at = gateway if before_it < 0 else hosts[before_it]
            since = 0.0 if before_it < 0 else times[before_it]
            arrived = max(arrived, since + net(s, at, host, size * edges[j].in_bytes))
        hosts[k] = host
        times[k] = arrived + waiting(s, target, local(s, sender, target)) + s.m[target].mean
        if st.sink:
            finish = max(finish, times[k] + net(s, host, gateway, size * s.types[kind].output))
    return finish


@jit
def attempt(s: State, task: int) -> None:
    """Send the task's first stages (again); later if there is nowhere to send them now."""
    t, g, r = s.t[task], s.g[0], s.rule[0]
    if t.over or g.now >= t.due:
        return
    bind, targets = s.bind, s.aims
    for j in range(len(bind)):
        bind[j] = -1
    first = s.stages[t.type, 0]
    if not (bind_joins(s, task) and find_targets(s, task)):
        if not t.waiting:
            t.waiting = 1
            plan(s, g.now + r.interval, AGAIN, task, 0)
        return
    t.attempts += 1
    for j in range(len(bind)):
        if bind[j] >= 0:
            add_binding(s, task, bind[j])
    for k in range(first.outs):
        edge = s.edges[t.type, 0, k]
        x = request(s, t.gateway, targets[k], edge.out_bytes * t.size, task, t.attempts, edge.out_stage, -1, -1)
        for j in range(len(bind)):
            s.x_bind[x, j] = bind[j]


@jit
def bind_joins(s: State, task: int) -> bool:
    """In `bind`: instances of the join stages; False when one has none. They count as routed only together."""
    t, bind = s.t[task], s.bind
    for k in range(s.types[t.type].stages):
        st = s.stages[t.type, k + 1]
        if st.join >= 0:
            size = t.size * total_in(s, t.type, k)
            bind[st.join] = choose(s, t.gateway, st.service, size, task, k, t.attempts + 1)
            if bind[st.join] < 0:
                return False
    for k in range(s.types[t.type].stages):
        st = s.stages[t.type, k + 1]
        if st.join >= 0:
            s.routed[t.gateway, st.service] += 1
    return True


@jit
def find_targets(s: State, task: int) -> bool:
    """In `aims`: where each edge from the gateway goes; False when a service has no instance to send to."""
    t, bind, targets = s.t[task], s.bind, s.aims
    for k in range(s.stages[t.type, 0].outs):
        edge = s.edges[t.type, 0, k]
        st = s.stages[t.type, edge.out_stage + 1]
        if st.join >= 0:
            targets[k] = bind[st.join]
        else:
            size = edge.out_bytes * t.size
            targets[k] = route(s, t.gateway, st.service, size, task, edge.out_stage, t.attempts + 1)
        if targets[k] < 0:
            return False
    return True


@jit
def add_binding(s: State, task: int, member: int) -> None:
    g, t = s.g[0], s.t[task]
    b = g.free_b
    g.free_b = s.b[b].next
    g.room_b -= 1
    s.b[b].member = member
    s.b[b].attempt = t.attempts
    s.b[b].finished = NAN
    s.b[b].next = -1
    s.b[b].own = 1
    s.m[member].bound += 1
    last = -1
    other = t.bindings
    while other >= 0:
        if s.b[other].member == member:
            s.b[b].own = 0
        last = other
        other = s.b[other].next
    s.pairs[t.gateway, member].coming += s.b[b].own
    if last < 0:
        t.bindings = b
    else:
        s.b[last].next = b


# -- answers


@jit
def result(s: State, task: int, stage: int) -> None:
    """The first result of each sink counts; with the last of them the task is done."""
    t, now = s.t[task], s.g[0].now
    if t.over or t.answered >> stage & 1:
        return
    t.answered |= 1 << stage
    t.sinks += 1
    if t.sinks == s.types[t.type].sinks:
        resolve(s, task, ON_TIME if now <= t.due else LATE, now - t.at)


@jit
def failed(s: State, task: int, number: int, why: int) -> None:
    t = s.t[task]
    if t.over or number != t.attempts:
        return
    if why == EXPIRED_WHY:
        t.expired = 1
        if t.attempts == 1:
            resolve(s, task, EXPIRED, NAN)
    elif why == RETRY_LATER:
        plan(s, s.g[0].now + s.rule[0].interval, RETRY, task, number)
    else:
        retry(s, task, number)


@jit
def retry(s: State, task: int, number: int) -> None:
    """Send again, unless this attempt was given up before."""
    t = s.t[task]
    if not t.over and number == t.attempts and not t.expired and not t.waiting:
        attempt(s, task)


@jit
def lost(s: State, member: int, n: int) -> None:
    """An instance died: send again what it held, held[:n], and what is bound to it and was not through yet."""
    for k in range(n):
        retry(s, int(s.held[k].key), s.held[k].row)
    for task in range(s.g[0].tasks):
        t = s.t[task]
        if t.sent and not t.over and bound_now(s, task, member):
            retry(s, task, t.attempts)


@jit
def bound_now(s: State, task: int, member: int) -> bool:
    b = s.t[task].bindings
    while b >= 0:
        w = s.b[b]
        if w.member == member and w.attempt == s.t[task].attempts and np.isnan(w.finished):
            return True
        b = w.next
    return False


# -- ends


@jit
def last_moment(s: State, task: int) -> None:
    t = s.t[task]
    if not t.over:
        resolve(s, task, EXPIRED if t.expired else UNANSWERED, NAN)


@jit
def resolve(s: State, task: int, outcome: int, latency: float) -> None:
    g, t = s.g[0], s.t[task]
    t.over = 1
    a = s.answers[g.answers]
    g.answers += 1
    a.task = task
    a.latency = latency
    a.attempts = t.attempts
    a.outcome = outcome
    b = t.bindings
    t.bindings = -1
    while b >= 0:
        w, member = s.b[b], s.b[b].member
        following = w.next
        s.m[member].bound -= 1
        s.pairs[t.gateway, member].coming -= w.own
        if s.m[member].watched and s.m[member].bound == 0:
            s.m[member].watched = 0
            signal(s, RELEASED, member)
        w.next = g.free_b
        g.free_b = b
        g.room_b += 1
        b = following
