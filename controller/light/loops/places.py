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


@compiled("float64", FLOATS, FLOATS, WHOLES, TABLE, "int64", "float64")
def staying(mine: Array, its: Array, rows: Whole, flows: Array, v: int, requests: float) -> float:
    """Bytes per s that `requests` per s on node v exchange with neighbours there, eq. (49): as much as both have.

    By neighbour: mine, its: bytes per request of ours, and of its; rows: of `flows`, requests per s of services by
    node.
    """
    total = 0.0
    for k in range(len(mine)):
        total += min(mine[k] * requests, its[k] * flows[rows[k], v])
    return total


@compiled("void", FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, WHOLES, TABLE, "float64", "float64")
def carry(
    into: Array, out: Array, flow: Array, mine: Array, its: Array, rows: Whole, flows: Array, size: float, sent: float
) -> None:
    """Adds to the links of nodes, bytes per s, what `flow` requests per s bring and send but for what stays there."""
    for v in range(len(flow)):
        if flow[v] > 0.0:
            home = staying(mine, its, rows, flows, v, flow[v])
            into[v] += flow[v] * size - home
            out[v] += flow[v] * sent - home


@compiled(
    TABLE, TABLE, TABLE, WHOLES, WHOLES, FLOATS, "int64", WHOLES, "float64", FLOATS, FLOATS, FLOATS, FLOATS, FLOATS,
    FLOATS, FLOATS, WHOLES, TABLE, "float64", "float64", "float64",
)  # fmt: skip
def priced(
    delay: Array, per_byte: Array, sources: Whole, rows: Whole, shares: Array, clusters: int, nodes: Whole, size: float,
    after: Array, into: Array, wide_in: Array, out: Array, wide_out: Array, mine: Array, its: Array, beside: Whole,
    flows: Array, sent: float, rate: float, most: float,
) -> Array:  # fmt: skip
    """c_gv of eq. (26), s, clusters × nodes: way in (at most `most`), `after` it, eq. (50) for the node's link.

    The way in is a mean over `sources`, endpoints: that of `rows` weighs as `shares` says in its cluster. The link has
    to carry `rate` more requests of `size` and `sent` bytes per s, less what stays on the node. into, out: bytes per s
    there already; wide_in, wide_out: that fit. These four are by node, after by column.
    """
    found = np.empty((clusters, len(nodes)))
    for j in range(len(nodes)):
        v = nodes[j]
        home = staying(mine, its, beside, flows, v, rate)
        busy = max(0.0, min(0.95, (into[v] + rate * size - home) / wide_in[v]))
        wait = size / wide_in[v] * (1.0 / (1.0 - busy) ** 2 - 1.0)
        busy = max(0.0, min(0.95, (out[v] + rate * sent - home) / wide_out[v]))
        wait += sent / wide_out[v] * (1.0 / (1.0 - busy) ** 2 - 1.0)
        for g in range(clusters):
            found[g, j] = after[j] + wait
        for i in range(len(sources)):
            way = delay[sources[i], v] + size * per_byte[sources[i], v]
            found[rows[i], j] += shares[i] * min(most, way)
    return found


@compiled(
    WHOLES, WHOLES, WHOLES, WHOLES, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, WHOLES, TABLE, "float64",
    "float64", "float64", "float64", "float64", "int64", FLOATS,
)  # fmt: skip
def roomy(
    nodes: Whole, fits: Whole, now: Whole, into: Array, wide_in: Array, out: Array, wide_out: Array, mine: Array,
    its: Array, beside: Whole, flows: Array, size: float, sent: float, each: float, share: float, held: float,
    workers: int, stretches: Array,
) -> Whole:  # fmt: skip
    """Workers per column that its node's link has room for up to `share` of it, at most `fits`.

    A worker is asked `each` times per s. An instance that is there (`now` workers) may fill `held` times as much, or it
    would come and go; and where all links together are too narrow for `workers`, each is filled further by the first of
    `stretches` that does, or as far as it gets.
    """
    narrow = np.empty(len(nodes), np.int64)
    for stretch in stretches:
        total = 0
        for j in range(len(nodes)):
            v = nodes[j]
            wider = stretch * (held if now[j] > 0 else 1.0)
            free_in, free_out = wider * (share * wide_in[v] - into[v]), wider * (share * wide_out[v] - out[v])
            n = fits[j]
            while n > 0:  # from the top: a few may not fit where more do, who take a neighbour's bytes off a full link
                requests = each * n
                home = staying(mine, its, beside, flows, v, requests)
                if requests * size - home <= free_in and requests * sent - home <= free_out:
                    break
                n -= 1
            narrow[j] = n
            total += n
        if total >= workers:
            return narrow
    return fits


@compiled(several(WHOLES, WHOLES, FLOATS), FLOATS, "float64", WHOLES, WHOLES)
def senders(sent: Array, others: float, domain: Whole, representatives: Whole) -> tuple[Whole, Whole, Array]:
    """Endpoints that send to a service: their cluster, and their share of that cluster's requests.

    sent: requests per s from other services, by node; others: share of all requests that comes from these; domain: by
    node; representatives: the endpoint that sends the rest, by cluster, and all where nobody else does.
    """
    clusters, n = len(representatives), len(representatives) + (sent > 0.0).sum()
    total = np.zeros(clusters)
    for v in range(len(sent)):
        total[domain[v]] += sent[v]
    ends, homes, shares = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    for g in range(clusters):
        ends[g], homes[g], shares[g] = representatives[g], g, 1.0 - (others if total[g] > 0.0 else 0.0)
    k = clusters
    for v in range(len(sent)):
        if sent[v] > 0.0:
            ends[k], homes[k], shares[k] = v, domain[v], others * sent[v] / total[domain[v]]
            k += 1
    return ends, homes, shares


@compiled(several(WHOLES, WHOLES), WHOLES, WHOLES, "int64")
def by_pool(clusters: Whole, pool: Whole, pools: int) -> tuple[Whole, Whole]:
    """Places in `clusters` whose pool is one of `pools`, pool by pool; and where each begins and the last ends.

    pool: by cluster, −1 for none.
    """
    first = np.zeros(pools + 1, np.int64)
    for g in clusters:
        if pool[g] >= 0:
            first[pool[g] + 1] += 1
    first = np.cumsum(first)
    found, end = np.empty(first[pools], np.int64), first.copy()
    for i in range(len(clusters)):
        k = pool[clusters[i]]
        if k >= 0:
            found[end[k]] = i
            end[k] += 1
    return found, first


@compiled(
    several(WHOLES, WHOLES, WHOLES, WHOLES, TRUTHS, WHOLES, FLOATS), WHOLES, WHOLES, WHOLES, WHOLES, TRUTHS, FLOATS,
    WHOLES, WHOLES, WHOLES, FLOATS, WHOLES, WHOLES, WHOLES, FLOATS, TABLE, TABLE, FLOATS, FLOATS, FLOATS, FLOATS,
    FLOATS, FLOATS, WHOLES, TABLE, "float64", "float64", "float64", "float64", "float64", FLOATS, "float64",
)  # fmt: skip
def offers(
    columns: Whole, domain: Whole, room: Whole, current: Whole, fixed: Flags, after: Array, members: Whole,
    first: Whole, due: Whole, rates: Array, workers: Whole, sources: Whole, homes: Whole, shares: Array, delay: Array,
    per_byte: Array, into: Array, wide_in: Array, out: Array, wide_out: Array, mine: Array, its: Array, beside: Whole,
    flows: Array, size: float, sent: float, busy: float, share: float, held: float, stretches: Array, no_path: float,
) -> tuple[Whole, Whole, Whole, Whole, Flags, Whole, Array]:  # fmt: skip
    """The columns of the pools `due`, pool by pool: node, cluster, room, workers now, fixed; what requests cost there.

    By column: node, cluster, room, workers now, fixed, s of service and of what follows. members: clusters of all
    pools, one after another, each from `first`; rates: per s, and workers: wanted, by pool. sources: endpoints that
    send, one at least for every cluster, with the cluster (homes) and their share of its requests. delay, per_byte: of
    eq. (1), by endpoint. By node: bytes per s into and out of it already (into, out) and that fit (wide_in, wide_out).
    mine, its, beside, flows: of `staying`. size, sent: bytes in and out of a request.

    Room is what CPU and memory leave (`room`) and `roomy`, a worker asked `busy` times per s, or its even share of its
    pool's rate if that is more. Costs are `priced`, one pool's table after another. Before them comes where the columns
    of each pool begin and the last end.
    """
    n, clusters, cells = len(due), len(members), 0
    pool, row = np.full(clusters, -1), np.zeros(clusters, np.int64)
    for k in range(n):
        for i in range(first[due[k]], first[due[k] + 1]):
            pool[members[i]], row[members[i]] = k, i - first[due[k]]
    own, begin = by_pool(domain, pool, n)
    ours, sender = by_pool(homes, pool, n)
    nodes, fits, now, later = columns[own], room[own], current[own], after[own]
    ends, rows, parts = sources[ours], row[homes[ours]], shares[ours]
    for k in range(n):
        cells += (first[due[k] + 1] - first[due[k]]) * (begin[k + 1] - begin[k])
    costs, done = np.empty(cells), 0
    for k in range(n):
        a, b, i, j = begin[k], begin[k + 1], sender[k], sender[k + 1]
        rate, wanted, height = rates[due[k]], workers[due[k]], first[due[k] + 1] - first[due[k]]
        if wanted > 0 and rate > 0.0:
            fits[a:b] = roomy(
                nodes[a:b], fits[a:b], now[a:b], into, wide_in, out, wide_out, mine, its, beside, flows, size, sent,
                max(rate / wanted, busy), share, held, wanted, stretches,
            )  # fmt: skip
        found = priced(
            delay, per_byte, ends[i:j], rows[i:j], parts[i:j], height, nodes[a:b], size, later[a:b], into, wide_in,
            out, wide_out, mine, its, beside, flows, sent, rate / max(1, wanted), no_path,
        )  # fmt: skip
        costs[done : done + found.size] = found.ravel()
        done += found.size
    return nodes, domain[own], fits, now, fixed[own], begin, costs


@compiled(
    FLOATS, FLOATS, FLOATS, WHOLES, WHOLES, WHOLES, WHOLES, "float64", "float64", "float64"
)  # fmt: skip
def take(
    cpu: Array, memory: Array, at: Whole, workers: Whole, there: Whole, now: Whole, requests: float, worker_cpu: float,
    worker_memory: float,
) -> Array:  # fmt: skip
    """Takes what `workers` on the nodes `at` need beyond those `now` on the nodes `there` from what is free, by node.

    Returns the `requests` per s that each node gets.
    """
    have = np.zeros(len(cpu), np.int64)
    for i in range(len(there)):
        have[there[i]] = now[i]
    flow, total = np.zeros(len(cpu)), workers.sum()
    for k in range(len(at)):
        v = at[k]
        flow[v] += requests * workers[k] / total
        more = max(0, workers[k] - have[v])
        cpu[v] -= more * worker_cpu
        memory[v] -= more * worker_memory
    return flow
