"""The search of eq. (26): openings and closings that are forced, the best change, and the split of the workers."""

from __future__ import annotations

import numpy as np

from controller.light.law import Array, Flags, Whole
from controller.light.loops.compiled import FLOATS, TABLE, TRUTHS, WHOLES, compiled, several

#: Swaps are valued for so many (closing, cluster, opening) triples at most; past that only the openings that gain
#: most on their own are tried. Twelve nodes are far below it.
MOST_TRIPLES = 100_000


@compiled("int64", WHOLES, WHOLES, "int64")
def clusters_wanted(room: Whole, domain: Whole, workers: int) -> int:
    """Clusters the instances must cover: two where there are two workers and two clusters that can take one."""
    first, able = -1, 0
    for v in range(len(room)):
        if room[v] < 1 or domain[v] == first:
            continue
        able += 1
        if able == 2:
            break
        first = domain[v]
    return min(able, max(1, workers))


@compiled("int64", WHOLES, "int64", TABLE, FLOATS, WHOLES, WHOLES, WHOLES, FLOATS, "float64", "int64", "int64")
def open_needed(
    mine: Whole, n: int, costs: Array, demand: Array, room: Whole, domain: Whole, rank: Whole, keep: Array,
    delay: float, workers: int, clusters: int,
) -> int:  # fmt: skip
    """Opens, after the first n of `mine`, the columns that lack least delay until workers and clusters are covered.

    Returns how many are open then: all that there is room for, if that is not enough.
    """
    free = room >= 1
    seen = np.zeros(domain.max() + 1, np.bool_)
    least = np.full(len(demand), np.inf)
    places, covered, taken = 0, 0, 0
    while True:
        while taken < n:
            v = mine[taken]
            free[v] = False
            places += room[v]
            covered += not seen[domain[v]]
            seen[domain[v]] = True
            for g in range(len(demand)):
                least[g] = min(least[g], costs[g, v])
            taken += 1
        spread = covered < clusters
        if not spread and n > 0 and places >= workers:
            return n
        best, value = -1, np.inf
        for v in range(len(room)):
            if not free[v] or (spread and seen[domain[v]]):
                continue
            after = 0.0
            for g in range(len(demand)):
                after += demand[g] * min(least[g], costs[g, v])
            worth = keep[v] + delay * after
            if best < 0 or worth < value or (worth == value and rank[v] < rank[best]):
                best, value = v, worth
        if best < 0:
            return n
        mine[n] = best
        n += 1


@compiled("int64", WHOLES, "int64", "int64")
def without(mine: Whole, n: int, column: int) -> int:
    """Takes `column` out of the first n of `mine`, the order kept; returns n − 1."""
    k = 0
    while mine[k] != column:
        k += 1
    for i in range(k, n - 1):
        mine[i] = mine[i + 1]
    return n - 1


@compiled("int64", WHOLES, "int64", TABLE, FLOATS, WHOLES, TRUTHS, WHOLES, WHOLES, FLOATS, "float64", "int64", "int64")
def close_surplus(
    mine: Whole, n: int, costs: Array, demand: Array, current: Whole, fixed: Flags, domain: Whole, rank: Whole,
    keep: Array, delay: float, most: int, clusters: int,
) -> int:  # fmt: skip
    """Closes those of the first n of `mine` that cost least delay until `most` are left; returns how many are.

    As long as others can be closed, those that stand alone in one of the last `clusters` clusters stay: the next slot
    would have to open another there.
    """
    count, covered = np.zeros(domain.max() + 1, np.int64), 0
    for k in range(n):
        covered += count[domain[mine[k]]] == 0
        count[domain[mine[k]]] += 1
    while n > most:
        best, value = -1, np.inf
        spare = False
        for k in range(n):
            v = mine[k]
            if current[v] > 0 and not fixed[v]:
                spare |= covered > clusters or count[domain[v]] > 1
        for k in range(n):
            v = mine[k]
            if current[v] <= 0 or fixed[v] or (spare and covered <= clusters and count[domain[v]] == 1):
                continue
            rest = 0.0
            for g in range(len(demand)):
                least = np.inf
                for i in range(n):
                    if i != k:
                        least = min(least, costs[g, mine[i]])
                rest += demand[g] * least if n > 1 else 0.0
            worth = delay * rest - keep[v]
            if best < 0 or worth < value or (worth == value and rank[v] < rank[mine[best]]):
                best, value = k, worth
        if best < 0:
            return n
        count[domain[mine[best]]] -= 1
        covered -= count[domain[mine[best]]] == 0
        n = without(mine, n, mine[best])
    return n


@compiled(
    several("int64", "int64", "float64", "float64"), TABLE, FLOATS, WHOLES, TRUTHS, WHOLES, WHOLES, WHOLES, WHOLES,
    FLOATS, FLOATS, "boolean", "float64", "float64", "int64", "int64",
)  # fmt: skip
def best_change(
    costs: Array, demand: Array, mine: Whole, movable: Flags, opened: Whole, room: Whole, domain: Whole, rank: Whole,
    keep: Array, deploy: Array, running: bool, delay: float, horizon: float, workers: int, clusters: int,
) -> tuple[int, int, float, float]:  # fmt: skip
    """(column opened, column closed, gain, request-seconds per s saved) of the change that gains most; −1 for none.

    mine: columns with an instance, of which `movable` may be closed; opened: columns that may be opened; running:
    whether anything runs yet; clusters: that must stay covered. Of equal gains the last names win, nothing being the
    first name.
    """
    n, most = len(mine), max(1, workers)
    least, second = np.full(len(demand), np.inf), np.full(len(demand), np.inf)
    nearest = np.zeros(len(demand), np.int64)
    for g in range(len(demand)):
        for k in range(n):
            c = costs[g, mine[k]]
            if c < least[g]:
                second[g], least[g], nearest[g] = least[g], c, k
            elif c < second[g]:
                second[g] = c
    waits = 0.0
    for g in range(len(demand)):
        waits += demand[g] * least[g]
    count = np.zeros(domain.max() + 1, np.int64)
    places, covered = 0, 0
    for v in mine:
        places += room[v]
        covered += count[domain[v]] == 0
        count[domain[v]] += 1
    top, best_open, best_close, saved = -np.inf, -1, -1, 0.0
    for i in range(-1, n):
        if i >= 0 and not movable[i]:
            continue
        closed = mine[i] if i >= 0 else -1
        for j in range(-1, len(opened)):
            new = opened[j] if j >= 0 else -1
            # Room for all workers, at most one instance per worker, clusters covered.
            after_n = n + (new >= 0) - (closed >= 0)
            if (new < 0 and closed < 0) or after_n > most or after_n < 1:
                continue
            spread, places_after = covered, places
            if closed >= 0:
                places_after -= room[closed]
                spread -= count[domain[closed]] == 1
            if new >= 0:
                places_after += room[new]
                alone = closed >= 0 and count[domain[closed]] == 1 and domain[closed] == domain[new]
                spread += count[domain[new]] == 0 or alone
            if places_after < workers or spread < clusters:
                continue
            after = 0.0
            for g in range(len(demand)):
                c = second[g] if i >= 0 and nearest[g] == i else least[g]
                if new >= 0:
                    c = min(c, costs[g, new])
                after += demand[g] * c
            more = (keep[new] if new >= 0 else 0.0) - (keep[closed] if closed >= 0 else 0.0)
            price = deploy[closed] if new < 0 else deploy[new] if closed < 0 or running else 0.0
            gain = (delay * (waits - after) - more) * horizon - price
            better = gain > top
            if gain == top:
                first, other = (rank[new] if new >= 0 else -1), (rank[best_open] if best_open >= 0 else -1)
                if first == other:
                    first, other = (rank[closed] if closed >= 0 else -1), (rank[best_close] if best_close >= 0 else -1)
                better = first > other
            if better:
                top, best_open, best_close, saved = gain, new, closed, waits - after
    return best_open, best_close, top, saved


@compiled(WHOLES, TABLE, FLOATS, WHOLES, WHOLES, FLOATS, FLOATS, "float64", "float64", "int64")
def worth_opening(
    costs: Array, demand: Array, mine: Whole, room: Whole, keep: Array, deploy: Array, delay: float, horizon: float,
    triples: int,
) -> Whole:  # fmt: skip
    """Columns that may be opened: all, or so many of those that gain most on their own that the work stays bounded."""
    able = room >= 1
    able[mine] = False
    free = np.flatnonzero(able)
    most = max(1, triples // max(1, len(demand) * len(mine)))
    if len(free) <= most:
        return free
    worth = np.empty(len(free))
    for j in range(len(free)):
        after = 0.0
        for g in range(len(demand)):
            least = costs[g, free[j]]
            for k in mine:
                least = min(least, costs[g, k])
            after += demand[g] * least
        worth[j] = (keep[free[j]] + delay * after) * horizon + deploy[free[j]]
    kept = np.zeros(len(room), np.bool_)
    for _ in range(most):
        best = worth.argmin()
        kept[free[best]] = True
        worth[best] = np.inf
    return np.flatnonzero(kept)


@compiled(WHOLES, WHOLES, TABLE, FLOATS, WHOLES, WHOLES, "int64")
def split(mine: Whole, costs: Array, demand: Array, current: Whole, room: Whole, workers: int) -> Whole:
    """Workers per column of `mine`: at least one each, the rest by the demand nearest to each, within its room.

    An existing split of the right total stays unless some instance is more than one worker from its share:
    otherwise noise in the demand would shift a worker to and fro every slot.
    """
    n = len(mine)
    ideal, all_ = np.zeros(n), 0.0
    for g in range(len(demand)):
        nearest = 0
        for k in range(1, n):
            if costs[g, mine[k]] < costs[g, mine[nearest]]:
                nearest = k
        ideal[nearest] += demand[g]
        all_ += demand[g]
    total, there = max(workers, n), 0
    settled = True
    for k in range(n):
        ideal[k] = total * (ideal[k] / all_ if all_ > 0.0 else 1.0 / n)
        now = current[mine[k]]
        there += now
        settled &= 0 < now <= room[mine[k]] and abs(now - max(1.0, ideal[k])) <= 1.0
    if settled and there == total:
        return current[mine]
    given = np.ones(n, np.int64)
    for _ in range(total - n):
        lacks = -1
        for k in range(n):
            if given[k] < room[mine[k]] and (lacks < 0 or given[k] - ideal[k] < given[lacks] - ideal[lacks]):
                lacks = k
        if lacks < 0:
            break
        given[lacks] += 1
    return given


@compiled(
    several(WHOLES, WHOLES, "int64", "int64", "float64", "float64"), TABLE, FLOATS, WHOLES, TRUTHS, WHOLES, WHOLES,
    WHOLES, FLOATS, FLOATS, "float64", "float64", "int64", "boolean", "int64",
)  # fmt: skip
def arranged(
    costs: Array, demand: Array, current: Whole, fixed: Flags, room: Whole, domain: Whole, rank: Whole, keep: Array,
    deploy: Array, delay: float, horizon: float, workers: int, last: bool, changes: int,
) -> tuple[Whole, Whole, int, int, float, float]:  # fmt: skip
    """Forced openings and closings, then at most `changes` that pay, then the workers are split.

    costs: clusters × columns, s; demand: by cluster, per s; all else by column. last: the service has no instance
    elsewhere. Returns the columns with an instance, the workers of each, and of the last change made the column opened,
    that closed (−1: none), its gain and the request-seconds per s it saves.
    """
    none = np.empty(0, np.int64)
    if not len(room):
        return none, none, -1, -1, 0.0, 0.0
    running = np.flatnonzero(current)
    mine, n = np.empty(len(room), np.int64), len(running)
    mine[:n] = running
    clusters = clusters_wanted(room, domain, workers)
    if workers > 0:
        n = open_needed(mine, n, costs, demand, room, domain, rank, keep, delay, workers, clusters)
    most = max(workers, 1 if last else 0)
    n = close_surplus(mine, n, costs, demand, current, fixed, domain, rank, keep, delay, most, clusters)
    opened, closed, gain, saved = -1, -1, 0.0, 0.0
    for _ in range(changes if n else 0):
        own = mine[:n]
        free = worth_opening(costs, demand, own, room, keep, deploy, delay, horizon, MOST_TRIPLES)
        new, old, more, less = best_change(
            costs, demand, own, ~fixed[own], free, room, domain, rank, keep, deploy, len(running) > 0, delay, horizon,
            workers, clusters,
        )  # fmt: skip
        if more <= 0.0:
            break
        opened, closed, gain, saved = new, old, more, less
        if closed >= 0:
            n = without(mine, n, closed)
        if opened >= 0:
            mine[n] = opened
            n += 1
    own = mine[:n].copy()
    if not n:
        return own, none, opened, closed, gain, saved
    return own, split(own, costs, demand, current, room, workers), opened, closed, gain, saved


@compiled(
    several(WHOLES, WHOLES, WHOLES, WHOLES, WHOLES, FLOATS, FLOATS), FLOATS, FLOATS, WHOLES, WHOLES, WHOLES, WHOLES,
    WHOLES, WHOLES, WHOLES, TRUTHS, WHOLES, WHOLES, FLOATS, "float64", "float64", "float64", "float64", WHOLES, "int64",
    WHOLES,
)  # fmt: skip
def arranged_each(
    costs: Array, demand: Array, members: Whole, first: Whole, due: Whole, begin: Whole, nodes: Whole, domain: Whole,
    current: Whole, fixed: Flags, room: Whole, rank: Whole, price: Array, keep: float, deploy: float, delay: float,
    horizon: float, workers: Whole, only: int, changes: Whole,
) -> tuple[Whole, Whole, Whole, Whole, Whole, Array, Array]:  # fmt: skip
    """`arranged` of the pools `due`; no changes but the forced ones where some instance is fixed: it is not ready yet.

    members: clusters of all pools, each from `first`; columns of those due: from `begin`; costs: their tables, one
    after another. By node: rank, price; keep, deploy: at price 1; demand: by cluster; workers: by pool; only: the pool
    outside which no instance will be (−1: none); changes: of those due. Returns the columns with an instance and their
    workers, pool by pool, and where each pool's begin and the last end; then the changes.
    """
    n, done, tables = len(due), 0, 0
    keeps, deploys, ranks = price[nodes] * keep, price[nodes] * deploy, rank[nodes]
    at, given, start = np.empty(len(room), np.int64), np.empty(len(room), np.int64), np.zeros(n + 1, np.int64)
    opened, closed, gain, saved = np.full(n, -1), np.full(n, -1), np.empty(n), np.empty(n)
    for k in range(n):
        own, a, b = members[first[due[k]] : first[due[k] + 1]], begin[k], begin[k + 1]
        table = costs[tables : tables + len(own) * (b - a)].reshape((len(own), b - a))
        tables += table.size
        mine, each, new, old, gain[k], saved[k] = arranged(
            table, demand[own], current[a:b], fixed[a:b], room[a:b], domain[a:b], ranks[a:b], keeps[a:b], deploys[a:b],
            delay, horizon, workers[due[k]], due[k] == only, 0 if fixed[a:b].any() else changes[k],
        )  # fmt: skip
        end = done + len(mine)
        at[done:end], given[done:end], done = a + mine, each, end
        start[k + 1] = done
        if new >= 0:
            opened[k] = a + new
        if old >= 0:
            closed[k] = a + old
    return at[:done], given[:done], start, opened, closed, gain, saved
