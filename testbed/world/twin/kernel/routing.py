"""controller/light/routing over the view's arrays: same choices, same arithmetic."""

from __future__ import annotations

import math

from controller.light.routing import ESTIMATE, LEAST_BACKLOG, MOST_TOLL, NEAREST, NO_WAY, RANDOM, RULES
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
def find_floors(s: State) -> None:
    """For a new layout: what no stage's `ahead` is below, wherever it is looked for. A little less, for rounding."""
    for service in range(len(s.least_mean)):
        s.least_mean[service] = NO_WAY
        for k in range(s.targets_from[service], s.targets_from[service + 1]):
            s.least_mean[service] = min(s.least_mean[service], s.m[s.targets[k]].mean)
    for kind in range(len(s.types)):
        for stage in range(s.types[kind].stages - 1, -1, -1):
            floor = 0.0 if s.stages[kind, stage + 1].outs == 0 else NO_WAY
            for k in range(s.stages[kind, stage + 1].outs):
                following = s.edges[kind, stage + 1, k].out_stage
                least = s.least_mean[s.stages[kind, following + 1].service] + s.floor[kind, following + 1]
                floor = min(floor, (1.0 - 1e-9) * least)
            s.floor[kind, stage + 1] = floor


@jit
def ahead(s: State, kind: int, stage: int, gateway: int, host: int) -> int:
    """Finds what follows a stage that ends on `host`; its row of s.ahead[:, 1 + stage, host].

    Depth first, on a stack: Numba keeps no function that calls itself (its issue 6061).
    """
    at, layout = kind * s.g[0].gateways + gateway, s.g[0].layout
    if s.ahead[at, stage + 1, host].layout == layout:
        return at
    depth = 0
    enter(s, 0, kind, stage, host)
    while depth >= 0:
        p = s.path[depth]
        if s.stages[kind, p.stage + 1].outs == 0:
            go_home(s, kind, p.stage, gateway, p.host)
        elif p.edge < s.stages[kind, p.stage + 1].outs:
            missing = scan(s, kind, at, depth)
            if missing >= 0:
                depth += 1
                enter(s, depth, kind, s.edges[kind, p.stage + 1, p.edge].out_stage, missing)
            continue
        s.ahead[at, p.stage + 1, p.host].layout = layout
        depth -= 1
    return at


@jit
def enter(s: State, depth: int, kind: int, stage: int, host: int) -> None:
    """The next to be found."""
    p = s.path[depth]
    p.stage, p.host, p.edge = stage, host, 0
    if s.stages[kind, stage + 1].outs > 0:
        begin(s, kind, depth)


@jit
def begin(s: State, kind: int, depth: int) -> None:
    """The targets of an edge are looked at from the nearest on."""
    p = s.path[depth]
    service = s.stages[kind, s.edges[kind, p.stage + 1, p.edge].out_stage + 1].service
    rank(s, p.host, service)
    p.place = s.targets_from[service]
    p.seconds, p.per_size, p.toll = INFINITY, 0.0, 0.0


@jit
def scan(s: State, kind: int, at: int, depth: int) -> int:
    """To which target it costs least if nobody waits. A host of which is to be found first what follows, −1: done."""
    p = s.path[depth]
    edge = s.edges[kind, p.stage + 1, p.edge]
    stage, size = edge.out_stage, edge.out_bytes
    service, floor = s.stages[kind, stage + 1].service, s.floor[kind, stage + 1]
    while p.place < s.targets_from[service + 1]:
        target = s.ranks[p.host, p.place]
        m = s.m[target]
        if at_least(s, p.host, target) + floor > p.seconds + p.per_size + p.toll:
            break
        if m.seen_workers > 0 and (m.host == p.host or s.seen_delay[p.host, m.host] < NO_WAY):
            if s.ahead[at, stage + 1, m.host].layout != s.g[0].layout:
                return m.host
            a, b, c = onward(s, at, stage, p.host, size, target)
            if cheaper(a, b, c, p.seconds, p.per_size, p.toll):
                p.seconds, p.per_size, p.toll = a, b, c
        p.place += 1
    row = s.ahead[at, p.stage + 1, p.host]
    if not p.seconds < NO_WAY:
        no_way(s, at, p.stage, p.host)
        p.edge = s.stages[kind, p.stage + 1].outs
        return -1
    if p.edge == 0 or cheaper(row.seconds, row.per_size, row.toll, p.seconds, p.per_size, p.toll):
        row.seconds, row.per_size, row.toll = p.seconds, p.per_size, p.toll
    p.edge += 1
    if p.edge < s.stages[kind, p.stage + 1].outs:
        begin(s, kind, depth)
    return -1


@jit
def no_way(s: State, at: int, stage: int, host: int) -> None:
    row = s.ahead[at, stage + 1, host]
    row.seconds, row.per_size, row.toll = NO_WAY, 0.0, 0.0


@jit
def go_home(s: State, kind: int, stage: int, gateway: int, host: int) -> None:
    """What follows a sink: the way to the gateway."""
    at, home = kind * s.g[0].gateways + gateway, s.m[gateway].host
    row = s.ahead[at, stage + 1, host]
    row.seconds, row.per_size, row.toll = 0.0, 0.0, 0.0
    if host == home:
        return
    if not s.seen_delay[host, home] < NO_WAY:
        no_way(s, at, stage, host)
        return
    size = s.types[kind].output
    row.seconds = s.seen_delay[host, home]
    row.per_size, row.toll = size * s.seen_per_byte[host, home], size * s.seen_toll[host, home]


@jit
def onward(s: State, at: int, stage: int, host: int, size: float, target: int) -> tuple[float, float, float]:
    """From `host` by `target` to the end; what follows the target has been found."""
    m = s.m[target]
    row = s.ahead[at, stage + 1, m.host]
    if host == m.host:
        return m.mean + row.seconds, row.per_size, row.toll
    toll = min(size * s.seen_toll[host, m.host], MOST_TOLL * m.mean)
    return (
        s.seen_delay[host, m.host] + m.mean + row.seconds,
        size * s.seen_per_byte[host, m.host] + row.per_size,
        toll + row.toll,
    )


@jit
def cheaper(a: float, b: float, c: float, x: float, y: float, z: float) -> bool:
    """Whether a way of (a, b, c) is cheaper than one of (x, y, z)."""
    one, other = a + b + c, x + y + z
    if one != other:
        return one < other
    return a < x or (a == x and b < y)


@jit
def hopeless(s: State, task: int, stage: int, host: int, ends: float) -> bool:
    """Whether a stage that `ends` then ends in vain."""
    t = s.t[task]
    if ends > t.due:
        return True
    after = left(s, task, stage, host)
    return after < NO_WAY and ends + after > t.due


@jit
def left(s: State, task: int, stage: int, host: int) -> float:
    t = s.t[task]
    row = s.ahead[ahead(s, t.type, stage, t.gateway, host), stage + 1, host]
    return row.seconds + t.size * row.per_size


@jit
def least_estimate(s: State, sender: int, source: int, size: float, task: int, stage: int) -> int:
    """For a stage of a task; local counts are `sender`'s, the way is from the host `source`. −1: none.

    Nearest first, until no further one can be better: equal ones are told apart by more than their order.
    """
    kind = s.t[task].type
    service, floor = s.stages[kind, stage + 1].service, s.floor[kind, stage + 1]
    rank(s, source, service)
    best, least = -1, INFINITY
    for k in range(s.targets_from[service], s.targets_from[service + 1]):
        target = s.ranks[source, k]
        if at_least(s, source, target) + floor > least:
            break
        m = s.m[target]
        if m.seen_workers <= 0 or m.seen_draining:
            continue
        seconds = price(s, sender, source, target, size, task, stage)
        if seconds < least or (
            seconds == least and least < INFINITY and best >= 0 and prefer(s, target, best, sender, source)
        ):
            best = target
            least = seconds
    return best if best >= 0 else least_draining(s, sender, source, size, task, stage)


@jit
def least_draining(s: State, sender: int, source: int, size: float, task: int, stage: int) -> int:
    """The last resort, in the order of the view. −1: none."""
    service = s.stages[s.t[task].type, stage + 1].service
    best, least = -1, INFINITY
    for k in range(s.targets_from[service], s.targets_from[service + 1]):
        target = s.targets[k]
        if s.m[target].seen_workers > 0 and s.m[target].seen_draining:
            seconds = price(s, sender, source, target, size, task, stage)
            if seconds < least:
                best = target
                least = seconds
    return best


@jit
def price(s: State, sender: int, source: int, target: int, size: float, task: int, stage: int) -> float:
    """Estimate, toll and what follows; of a join, with what is bound to be there before."""
    m, t = s.m[target], s.t[task]
    p = m.seen_workers
    own = local(s, sender, target)
    over = m.seen_backlog + 1 - p + own
    if s.stages[t.type, stage + 1].join >= 0:
        over += s.pairs[sender, target].coming
    seconds = m.mean + over * m.mean / p if over > 0 else m.mean
    if m.host != source:
        seconds += s.seen_delay[source, m.host] + size * (1 + own) * s.seen_per_byte[source, m.host]
        seconds += min(size * s.seen_toll[source, m.host], MOST_TOLL * m.mean)
    row = s.ahead[ahead(s, t.type, stage, t.gateway, m.host), stage + 1, m.host]
    return seconds + (row.seconds + t.size * (row.per_size + row.toll))


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
        return least_estimate(s, sender, source, size, task, stage)
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
def waiting(s: State, target: int, extra: int) -> float:
    m = s.m[target]
    if m.seen_workers <= 0:
        return INFINITY
    over = m.seen_backlog + extra + 1 - m.seen_workers
    return over * m.mean / m.seen_workers if over > 0 else 0.0
