"""Which clusters share their workers, and what stands in each pool."""

from __future__ import annotations

import numpy as np

from controller.light.law import Array, Flags, Whole
from controller.light.loops.compiled import FLAGS, FLOATS, WHOLES, compiled, several


@compiled(several(WHOLES, WHOLES, WHOLES), FLOATS, FLAGS, WHOLES)
def pooled(demand: Array, near: Flags, by_name: Whole) -> tuple[Whole, Whole, Whole]:
    """Groups of clusters whose senders share workers: leaders by falling demand, others join the first leader near.

    demand: per s, by cluster; near: clusters × clusters; by_name: clusters in alphabetical order, for ties. Returns the
    clusters pool by pool, each by falling demand; where each pool begins and the last ends; and the pool of a cluster.
    """
    n, found = len(demand), 0
    order = by_name[np.argsort(-demand[by_name], kind="mergesort")]
    pool, first = np.full(n, -1), np.zeros(n + 1, np.int64)
    for k in order:
        if pool[k] < 0:
            first[found + 1] = first[found]
            for g in range(n):
                if pool[g] < 0 and (near[k, g] or g == k):
                    pool[g] = found
                    first[found + 1] += 1
            found += 1
    members, end = np.empty(n, np.int64), first.copy()
    for k in order:
        members[end[pool[k]]] = k
        end[pool[k]] += 1
    return members, first[: found + 1], pool


@compiled(several(WHOLES, WHOLES, "int64[:, ::1]", WHOLES), FLOATS, FLAGS, WHOLES, WHOLES, WHOLES, WHOLES, WHOLES)
def pools(
    demand: Array, near: Flags, by_name: Whole, domain: Whole, at: Whole, workers: Whole, backlog: Whole
) -> tuple[Whole, Whole, Whole, Whole]:
    """`pooled`, and what stands there. domain: cluster by node. By instance: at: its node; workers; backlog: requests.

    Returns the clusters pool by pool; where each pool begins and the last ends; by pool: its workers, requests that
    wait beyond them, clusters with an instance, and whether two instances share a node; and the pool of each instance.
    """
    members, first, pool = pooled(demand, near, by_name)
    stands, of = np.zeros((len(first) - 1, 4), np.int64), np.empty(len(at), np.int64)
    taken, seen = np.zeros(len(domain), np.bool_), np.zeros(len(demand), np.bool_)
    for i in range(len(at)):
        v, g = at[i], domain[at[i]]
        of[i] = pool[g]
        own = stands[of[i]]
        own[0] += workers[i]
        own[1] += max(0, backlog[i] - workers[i])
        own[2] += not seen[g]
        own[3] |= taken[v]
        taken[v] = seen[g] = True
    return members, first, stands, of
