"""Where workers of a service may stand, with how much room, and what a request costs there."""

from __future__ import annotations

import numpy as np

from controller.light.law import Array, Flags, Whole
from controller.light.loops.compiled import FLOATS, TABLE, TRUTHS, WHOLES, compiled, several


@compiled("void", TRUTHS, TRUTHS, WHOLES, FLOATS, WHOLES, "int64", "int64")
def fastest(chosen: Flags, able: Flags, domain: Whole, seconds: Array, rank: Whole, clusters: int, most: int) -> None:
    """Marks, of the nodes able to take one, the `most` of least `seconds` in each cluster; ties to the lower rank."""
    best = np.full((clusters, most), -1)
    for v in range(len(able)):
        if not able[v]:
            continue
        row = best[domain[v]]
        new = v
        for k in range(most):
            old = row[k]
            if old < 0 or seconds[new] < seconds[old] or (seconds[new] == seconds[old] and rank[new] < rank[old]):
                row[k] = new
                if old < 0:
                    break
                new = old
    for g in range(clusters):
        for k in range(most):
            if best[g, k] >= 0:
                chosen[best[g, k]] = True


@compiled(
    several(WHOLES, WHOLES, WHOLES, WHOLES, TRUTHS, FLOATS, WHOLES), WHOLES, WHOLES, TRUTHS, TRUTHS, FLOATS, FLOATS,
    FLOATS, FLOATS, WHOLES, WHOLES, "float64", "float64", "float64", "float64", "int64", "int64", "int64",
)  # fmt: skip
def candidates(
    at: Whole, workers: Whole, ready: Flags, alive: Flags, cpu: Array, memory: Array, light_cpu: Array, speed: Array,
    domain: Whole, rank: Whole, worker_cpu: float, worker_memory: float, mean: float, contention: float, clusters: int,
    most: int, unbounded: int,
) -> tuple[Whole, Whole, Whole, Whole, Flags, Array, Whole]:  # fmt: skip
    """Nodes with an instance, and of each cluster the `most` fastest that can take one.

    By instance: at: its node; workers; ready: else it is not to be closed. Of two on a node the first counts. By node:
    cpu, memory: free; light_cpu: what core services leave; speed; domain; rank: by name. worker_cpu, worker_memory: of
    one worker; mean: s at speed 1 without contention; unbounded: room of a node for workers that take no memory, as far
    as that goes.

    Returns by column: node, cluster, room (workers), workers now, fixed, s of service at the busy share of the CPU that
    light services have (the most that can be busy); and by cluster: room on all its columns.
    """
    n = len(cpu)
    have, fixed = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    for i in range(len(at)):
        if have[at[i]] == 0:
            have[at[i]] = max(1, workers[i])
        fixed[at[i]] |= not ready[i]
    room, seconds = np.zeros(n, np.int64), np.empty(n)
    chosen, able = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for v in range(n):
        taken = 1.0
        if light_cpu[v] > 0.0:
            taken = min(1.0, max(0.0, 1.0 - cpu[v] / light_cpu[v]))
        seconds[v] = mean / speed[v] * (1.0 + contention * taken**2)
        free = min(cpu[v] / worker_cpu, memory[v] / worker_memory if worker_memory > 0.0 else unbounded)
        room[v] = have[v] + max(0, int(free + 1e-9))
        chosen[v] = alive[v] and have[v] > 0
        able[v] = alive[v] and have[v] == 0 and room[v] >= 1
    fastest(chosen, able, domain, seconds, rank, clusters, most)
    columns = np.flatnonzero(chosen)
    places = np.zeros(clusters, np.int64)
    for c in columns:
        room[c] = max(1, room[c])
        places[domain[c]] += room[c]
    return columns, domain[columns], room[columns], have[columns], fixed[columns], seconds[columns], places


@compiled("void", FLOATS, TABLE, TABLE, WHOLES, WHOLES, "float64", "float64", "float64")
def add_nearest(
    seconds: Array, delay: Array, per_byte: Array, nodes: Whole, ends: Whole, size: float, share: float, most: float
) -> None:
    """Adds `share` of eq. (1) for `size` bytes from each node to the nearest of `ends`, at most `most` (s)."""
    for k in range(len(nodes)):
        v = nodes[k]
        least = most
        for e in ends:
            least = min(least, delay[v, e] + size * per_byte[v, e])
        seconds[k] += share * least


@compiled("void", FLOATS, TABLE, TABLE, WHOLES, "int64", FLOATS, "float64", "float64", "float64")
def add_return(
    seconds: Array, delay: Array, per_byte: Array, nodes: Whole, first: int, weights: Array, size: float, share: float,
    most: float,
) -> None:  # fmt: skip
    """Adds `share` of the weighted mean of eq. (1) for `size` bytes from each node to the endpoints from `first` on."""
    total = 0.0
    for weight in weights:
        total += weight
    if total <= 0.0:
        return
    for k in range(len(nodes)):
        v = nodes[k]
        mean = 0.0
        for o in range(len(weights)):
            mean += weights[o] * min(most, delay[v, first + o] + size * per_byte[v, first + o])
        seconds[k] += share * mean / total


@compiled(
    TABLE, TABLE, TABLE, WHOLES, WHOLES, "float64", FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, "float64", "float64",
    "float64",
)  # fmt: skip
def priced(
    delay: Array, per_byte: Array, sources: Whole, nodes: Whole, size: float, after: Array, into: Array, wide_in: Array,
    out: Array, wide_out: Array, sent: float, rate: float, most: float,
) -> Array:  # fmt: skip
    """c_gv of eq. (26), s, sources × nodes: way in (at most `most`), `after` it, the wait for the node's link.

    That wait is as M/M/1 would have it, in and out, with `rate` more requests of `size` and `sent` bytes per s. into,
    out: bytes per s there already; wide_in, wide_out: that fit. These four are by node, after by column.
    """
    found = np.empty((len(sources), len(nodes)))
    for j in range(len(nodes)):
        v = nodes[j]
        busy = min(0.95, (into[v] + rate * size) / wide_in[v])
        wait = size / wide_in[v] * busy / (1.0 - busy)
        busy = min(0.95, (out[v] + rate * sent) / wide_out[v])
        wait += sent / wide_out[v] * busy / (1.0 - busy)
        for i in range(len(sources)):
            way = delay[sources[i], v] + size * per_byte[sources[i], v]
            found[i, j] = min(most, way) + after[j] + wait
    return found


@compiled(
    several(WHOLES, WHOLES, WHOLES, WHOLES, TRUTHS, TABLE), WHOLES, WHOLES, WHOLES, WHOLES, TRUTHS, FLOATS, WHOLES,
    WHOLES, TABLE, TABLE, FLOATS, FLOATS, FLOATS, FLOATS, "float64", "float64", "float64", "float64", "float64",
    "float64", "int64", FLOATS, "float64", "int64",
)  # fmt: skip
def offers(
    columns: Whole, domain: Whole, room: Whole, current: Whole, fixed: Flags, after: Array, rows: Whole, sources: Whole,
    delay: Array, per_byte: Array, into: Array, wide_in: Array, out: Array, wide_out: Array, size: float, sent: float,
    rate: float, busy: float, share: float, held: float, workers: int, stretches: Array, no_path: float, unbounded: int,
) -> tuple[Whole, Whole, Whole, Whole, Flags, Array]:  # fmt: skip
    """The columns in the clusters `rows`: node, cluster, room, workers now, fixed, and what requests cost there.

    By column: node, cluster, room, workers now, fixed, s of service and of what follows. sources: endpoint of each row.
    delay, per_byte: of eq. (1), by endpoint. By node: bytes per s into and out of it already (into, out) and that fit
    (wide_in, wide_out). size, sent: bytes in and out of a request; rate: of the pool, per s; workers: wanted.

    Room is what CPU and memory leave (`room`), and what the node's link has room for up to `share` of it: a worker
    counts as asked `busy` times per s, or its even share of `rate` if that is more; an instance that is there may fill
    `held` times as much, or it would come and go; and where all links together are too narrow, each is filled further
    by the first of `stretches` that does. Costs are `priced`.
    """
    wanted = np.zeros(domain.max() + 1 if len(domain) else 1, np.bool_)
    for g in rows:
        if g < len(wanted):
            wanted[g] = True
    own = np.flatnonzero(wanted[domain])
    nodes, fits, now = columns[own], room[own], current[own]
    n = len(own)
    if workers > 0 and rate > 0.0:
        each = max(rate / workers, busy)
        links = np.empty(n)
        for j in range(n):
            v = nodes[j]
            free_in = (share * wide_in[v] - into[v]) / max(each * size, 1e-9)
            free_out = (share * wide_out[v] - out[v]) / max(each * sent, 1e-9)
            links[j] = max(0.0, min(free_in, free_out)) * (held if now[j] > 0 else 1.0)
        narrow = np.empty(n, np.int64)
        for stretch in stretches:
            total = 0
            for j in range(n):
                narrow[j] = min(fits[j], int(min(links[j] * stretch, unbounded)))
                total += narrow[j]
            if total >= workers:
                fits = narrow
                break
    each = rate / max(1, workers)
    costs = priced(delay, per_byte, sources, nodes, size, after[own], into, wide_in, out, wide_out, sent, each, no_path)
    return nodes, domain[own], fits, now, fixed[own], costs


@compiled(
    "void", FLOATS, FLOATS, FLOATS, FLOATS, WHOLES, WHOLES, WHOLES, WHOLES, "float64", "float64", "float64", "float64",
    "float64",
)  # fmt: skip
def take(
    into: Array, out: Array, cpu: Array, memory: Array, at: Whole, workers: Whole, there: Whole, now: Whole,
    requests: float, size: float, sent: float, worker_cpu: float, worker_memory: float,
) -> None:  # fmt: skip
    """Counts the traffic of `workers` on the nodes `at`, and what they take beyond those `now` on the nodes `there`.

    into, out: bytes per s by node, of `requests` per s with `size` and `sent` bytes; cpu, memory: free, by node.
    """
    have = np.zeros(len(cpu), np.int64)
    for i in range(len(there)):
        have[there[i]] = now[i]
    total = workers.sum()
    for k in range(len(at)):
        v = at[k]
        share = requests * workers[k] / total
        into[v] += share * size
        out[v] += share * sent
        more = max(0, workers[k] - have[v])
        cpu[v] -= more * worker_cpu
        memory[v] -= more * worker_memory
