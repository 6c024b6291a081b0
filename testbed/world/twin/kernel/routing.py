"""controller/light/routing.py over the view's arrays: same choices, same arithmetic."""

from __future__ import annotations

import math

from controller.light.routing import ESTIMATE, LEAST_BACKLOG, MOST_TOLL, NEAREST, RANDOM, RULES
from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.sorting import sort
from testbed.world.twin.kernel.state import State

INFINITY = math.inf
BY_ESTIMATE, BY_DISTANCE, BY_BACKLOG, BY_CHANCE = (
    RULES.index(ESTIMATE), RULES.index(NEAREST), RULES.index(LEAST_BACKLOG), RULES.index(RANDOM),
)  # fmt: skip
MASK = 0xFFFFFFFF


@jit
def sync(s: State, source: int, target: int) -> None:
    """Bring `local` to the view in force: with a new one it is what is not acknowledged."""
    p = s.pairs[source, target]
    if p.version != s.g[0].version:
        p.version = s.g[0].version
        p.local = p.pending


@jit
def local(s: State, source: int, target: int) -> int:
    p = s.pairs[source, target]
    return p.local if p.version == s.g[0].version else p.pending


@jit
def net(s: State, a: int, b: int, size: float) -> float:
    return 0.0 if a == b else s.seen_delay[a, b] + size * s.seen_per_byte[a, b]


@jit
def crc(s: State, source: int, target: int) -> int:
    """crc32 of "host|id"."""
    c = s.hosts[source].crc ^ MASK
    for k in range(s.m[target].id_length):
        c = s.crc[(c ^ s.ids[target, k]) & 255] ^ (c >> 8)
    return c ^ MASK


@jit
def before(s: State, a: int, b: int) -> bool:
    """Whether the id of member a comes before b's."""
    n, k = s.m[a].id_length, s.m[b].id_length
    for j in range(min(n, k)):
        if s.ids[a, j] != s.ids[b, j]:
            return s.ids[a, j] < s.ids[b, j]
    return n < k


@jit
def prefer(s: State, a: int, b: int, sender: int, source: int) -> bool:
    """Rank of a below b's: load per worker, then an order of its own for each sender, then the id."""
    x = (s.m[a].seen_backlog + local(s, sender, a)) / s.m[a].seen_workers
    y = (s.m[b].seen_backlog + local(s, sender, b)) / s.m[b].seen_workers
    if x != y:
        return x < y
    p, q = crc(s, source, a), crc(s, source, b)
    if p != q:
        return p < q
    return before(s, a, b)


@jit
def waiting(s: State, target: int, extra: int) -> float:
    m = s.m[target]
    if m.seen_workers <= 0:
        return INFINITY
    over = m.seen_backlog + extra + 1 - m.seen_workers
    return over * m.mean / m.seen_workers if over > 0 else 0.0


@jit
def least_estimate(s: State, sender: int, source: int, service: int, size: float) -> int:
    """local counts are `sender`'s, the way is from the host `source`. −1: none.

    Nearest first, until no further one can be better: equal ones are told apart by more than their order.
    """
    rank(s, source, service)
    best, least = -1, INFINITY
    for k in range(s.targets_from[service], s.targets_from[service + 1]):
        target = s.ranks[source, k]
        if at_least(s, source, target) > least:
            break
        m = s.m[target]
        if m.seen_workers <= 0 or m.seen_draining:
            continue
        seconds = estimate(s, sender, source, target, size)
        if seconds < least or (
            seconds == least and least < INFINITY and best >= 0 and prefer(s, target, best, sender, source)
        ):
            best = target
            least = seconds
    return best if best >= 0 else least_draining(s, sender, source, service, size)


@jit
def least_draining(s: State, sender: int, source: int, service: int, size: float) -> int:
    """The last resort, in the order of the view. −1: none."""
    best, least = -1, INFINITY
    for k in range(s.targets_from[service], s.targets_from[service + 1]):
        target = s.targets[k]
        if s.m[target].seen_workers > 0 and s.m[target].seen_draining:
            seconds = estimate(s, sender, source, target, size)
            if seconds < least:
                best = target
                least = seconds
    return best


@jit
def estimate(s: State, sender: int, source: int, target: int, size: float) -> float:
    """Estimate and toll."""
    m = s.m[target]
    p = m.seen_workers
    own = local(s, sender, target)
    over = m.seen_backlog + 1 - p + own
    seconds = m.mean + over * m.mean / p if over > 0 else m.mean
    if m.host != source:
        seconds += s.seen_delay[source, m.host] + size * (1 + own) * s.seen_per_byte[source, m.host]
        seconds += min(size * s.seen_toll[source, m.host], MOST_TOLL * m.mean)
    return seconds


@jit
def at_least(s: State, source: int, target: int) -> float:
    """What no estimate is below, rounding included, whatever waits there and however many bytes are sent."""
    m = s.m[target]
    return m.mean if m.host == source else m.mean + s.seen_delay[source, m.host]


@jit
def rank(s: State, source: int, service: int) -> None:
    """Bring ranks[source] up to date for a service: its targets, by `at_least`."""
    if s.ranked[source, service] == s.listed[service]:
        return
    s.ranked[source, service] = s.listed[service]
    begin, n = s.targets_from[service], s.targets_from[service + 1] - s.targets_from[service]
    for k in range(n):
        s.near[k].key = at_least(s, source, s.targets[begin + k])
        s.near[k].row = s.targets[begin + k]
    sort(s.near, n)
    for k in range(n):
        s.ranks[source, begin + k] = s.near[k].row


@jit
def usable(s: State, target: int, source: int, size: float) -> bool:
    return s.m[target].seen_workers > 0 and net(s, source, s.m[target].host, size) < INFINITY


@jit
def by_rule(s: State, sender: int, source: int, service: int, size: float, turn: int) -> int:
    begin, end = s.targets_from[service], s.targets_from[service + 1]
    draining, total, last = True, 0, -1
    for k in range(begin, end):
        if usable(s, s.targets[k], source, size) and not s.m[s.targets[k]].seen_draining:
            draining = False
    best = -1
    for k in range(begin, end):
        target = s.targets[k]
        if not usable(s, target, source, size) or (s.m[target].seen_draining and not draining):
            continue
        total += s.m[target].seen_workers
        last = target
        if best < 0:
            best = target
        elif s.rule[0].rule == BY_DISTANCE:
            a, b = net(s, source, s.m[target].host, size), net(s, source, s.m[best].host, size)
            if a < b or (a == b and prefer(s, target, best, sender, source)):
                best = target
        elif s.rule[0].rule == BY_BACKLOG and prefer(s, target, best, sender, source):
            best = target
    if best < 0 or s.rule[0].rule == BY_DISTANCE or s.rule[0].rule == BY_BACKLOG:
        return best
    place = turn % total
    for k in range(begin, end):
        target = s.targets[k]
        if not usable(s, target, source, size) or (s.m[target].seen_draining and not draining):
            continue
        place -= s.m[target].seen_workers
        if place < 0:
            return target
    return last


@jit
def turn(s: State, sent: int, task: int, stage: int, attempt: int) -> int:
    if s.rule[0].rule != BY_CHANCE:
        return sent
    h = (task * 0x9E3779B1 + stage * 0x85EBCA77 + attempt * 0xC2B2AE3D) & MASK
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & MASK
    return h ^ (h >> 16)


@jit
def choose(s: State, sender: int, service: int, size: float, task: int, stage: int, attempt: int) -> int:
    """The instance for a transfer, not yet counted as routed."""
    source = s.m[sender].host
    if s.rule[0].rule == BY_ESTIMATE:
        return least_estimate(s, sender, source, service, size)
    return by_rule(s, sender, source, service, size, turn(s, s.routed[sender, service], task + 1, stage, attempt))


@jit
def route(s: State, sender: int, service: int, size: float, task: int, stage: int, attempt: int) -> int:
    found = choose(s, sender, service, size, task, stage, attempt)
    if found >= 0:
        s.routed[sender, service] += 1
    return found


@jit
def total_in(s: State, kind: int, stage: int) -> float:
    """Bytes of all inputs of a stage."""
    out = 0.0
    for k in range(s.stages[kind, stage + 1].ins):
        out += s.edges[kind, stage + 1, k].in_bytes
    return out


@jit
def completion(s: State, sender: int, kind: int, size: float) -> float:
    """Estimated seconds until the last result is back."""
    hosts, times = s.at_host, s.at_time
    gateway = s.m[sender].host
    finish = -INFINITY
    for k in range(s.types[kind].stages):
        st, edges = s.stages[kind, k + 1], s.edges[kind, k + 1]
        source = gateway
        if st.ins == 1 and edges[0].in_stage >= 0:
            source = hosts[edges[0].in_stage]
        target = least_estimate(s, sender, source, st.service, size * total_in(s, kind, k))
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
