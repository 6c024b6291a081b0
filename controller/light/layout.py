"""Where the workers of one pool stand: a small facility-location search (docs/mathematics.md, eq. (26)).

S: nodes with an instance. Per slot, in cost units,

    J(S) = V Σ_{v∈S} price_v c_mt + ν Σ_g λ_g min_{v∈S} c_gv / w

c_gv: predicted seconds of a request of cluster g served on v (path in, service on v, path out); ν/w turns a second
of delay into the penalty of a lost share of the waiting budget. An opening pays c_dp, a closing has to save c_dp, a
move pays c_dp once; each must earn that within the horizon. All of it is deterministic, ties go to the first name.

Nodes are columns, numbered from 0. All openings, closings and swaps are valued at once, from the least and the second
least cost of each cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace

import numpy as np

from controller.light.law import Array, Whole
from controller.light.loops import best_change

#: Swaps are valued for so many (closing, cluster, opening) triples at most; past that only the openings that gain
#: most on their own are tried. Twelve nodes are far below it.
MOST_TRIPLES = 100_000


@dataclass(frozen=True)
class Problem:
    """One service in one pool. columns: names of candidate nodes (present ones among them); all else by column.

    rank: order of the names; domain: number of the cluster; costs: c_gv, s, clusters × columns; demand: λ_g, per s;
    current: workers of the instances that count, 0 for none; fixed: whose instance may not be closed or moved now
    (not ready yet); room: most workers a node can take, its present ones included; keep and deploy: V price c_mt and
    V price c_dp; delay: ν/w, cost units per second of delay.
    """

    columns: tuple[str, ...]
    rank: Whole
    domain: Whole
    costs: Array
    demand: Array
    current: Whole
    fixed: Sequence[bool]
    room: Whole
    keep: Array
    deploy: Array
    delay: float
    workers: int
    horizon: float
    voluntary: bool = True
    last: bool = True  # the service has no instance outside this pool: one must stay


@dataclass(frozen=True)
class Arrangement:
    """workers per node; `gains`: why a voluntary change pays, node → sentence; short: workers that found no room."""

    workers: Mapping[str, int]
    gains: Mapping[str, str] = field(default_factory=dict)
    short: int = 0


@dataclass(frozen=True)
class Move:
    """An opening, a closing or both; columns, −1 for none. saved: s of delay per request; keep: change per slot."""

    gain: float
    saved: float
    keep: float
    opened: int = -1
    closed: int = -1

    def after(self, chosen: Sequence[int]) -> list[int]:
        return [v for v in chosen if v != self.closed] + ([self.opened] if self.opened >= 0 else [])


def arrange(problem: Problem) -> Arrangement:
    """Forced openings and closings first, then at most one voluntary change, then the workers are split."""
    chosen: list[int] = np.flatnonzero(problem.current).tolist()
    _open_what_is_needed(problem, chosen)
    _close_what_is_too_many(problem, chosen)
    gains: dict[str, str] = {}
    if problem.voluntary and chosen:
        move = best_move(problem, chosen)
        if move is not None:
            chosen = move.after(chosen)
            sentence = (
                f"{'saves' if move.saved >= 0 else 'costs'} {1e3 * abs(move.saved):.1f} ms per request and changes "
                f"c_mt by {move.keep:+.2f} per slot: worth {move.gain:.2f} over {problem.horizon:.0f} slots after c_dp"
            )
            gains = {problem.columns[v]: sentence for v in (move.opened, move.closed) if v >= 0}
    return _arrangement(problem, chosen, gains)


def settle(problem: Problem, rounds: int = 12) -> Arrangement:
    """`arrange` for a start from nothing: voluntary changes until none pays."""
    chosen: list[int] = []
    _open_what_is_needed(problem, chosen)
    for _ in range(rounds):
        move = best_move(problem, chosen) if chosen else None
        if move is None:
            break
        chosen = move.after(chosen)
    return _arrangement(problem, chosen, {})


def _arrangement(problem: Problem, chosen: Sequence[int], gains: Mapping[str, str]) -> Arrangement:
    workers = split(problem, chosen)
    named = {problem.columns[v]: n for v, n in workers.items()}
    return Arrangement(named, gains, max(0, problem.workers - sum(workers.values())))


def value(problem: Problem, chosen: Sequence[int]) -> float:
    """J(S) per slot; infinite for no instance."""
    if not chosen:
        return float("inf")
    return float(problem.keep[list(chosen)].sum()) + problem.delay * delay(problem, chosen)


def delay(problem: Problem, chosen: Sequence[int]) -> float:
    """Σ_g λ_g min_v c_gv: request-seconds per second."""
    return float(problem.demand @ problem.costs[:, list(chosen)].min(axis=1))


def spread_wanted(problem: Problem) -> int:
    """Clusters the instances must cover: two where there are two workers and two clusters that can take one."""
    able = problem.domain[problem.room >= 1]
    clusters = min(2, len(set(able.tolist())))
    return min(clusters, max(1, problem.workers))


def feasible(problem: Problem, chosen: Sequence[int]) -> bool:
    """Room for all workers, at most one instance per worker, clusters spread."""
    if not chosen or len(chosen) > max(1, problem.workers):
        return False
    if problem.room[list(chosen)].sum() < problem.workers:
        return False
    return len(set(problem.domain[list(chosen)].tolist())) >= spread_wanted(problem)


def _first(problem: Problem, columns: Whole, values: Array) -> int:
    """The column of least value, of equal ones the first by name."""
    tied = columns[values == values.min()]
    return int(tied[problem.rank[tied].argmin()]) if len(tied) > 1 else int(tied[0])


def _open_what_is_needed(problem: Problem, chosen: list[int]) -> None:
    """Open the nodes that lack least delay until workers and clusters are covered or nothing is left."""
    wanted = spread_wanted(problem) if problem.workers > 0 else 0
    while problem.workers > 0:
        covered = set(problem.domain[chosen].tolist()) if chosen else set()
        spread = len(covered) < wanted
        if not spread and chosen and problem.room[chosen].sum() >= problem.workers:
            return
        free = problem.room >= 1
        free[chosen] = False
        if spread:
            for g in covered:
                free &= problem.domain != g
        columns = np.flatnonzero(free)
        if not len(columns):
            return
        costs = problem.costs[:, columns]
        if chosen:
            costs = np.minimum(problem.costs[:, chosen].min(axis=1)[:, None], costs)
        chosen.append(_first(problem, columns, problem.keep[columns] + problem.delay * (problem.demand @ costs)))


def _close_what_is_too_many(problem: Problem, chosen: list[int]) -> None:
    """More instances than workers are wanted: close those that cost least delay, never the last of the service."""
    least = 1 if problem.last or problem.workers > 0 else 0
    while len(chosen) > max(problem.workers, least):
        movable = [k for k, v in enumerate(chosen) if problem.current[v] > 0 and not problem.fixed[v]]
        if not movable:
            return
        if len(chosen) == 1:
            chosen.clear()
            return
        rest = _without(problem.costs[:, chosen])[movable] @ problem.demand
        columns = np.array(chosen)[movable]
        chosen.remove(_first(problem, columns, problem.delay * rest - problem.keep[columns]))


def _without(costs: Array) -> Array:
    """Least cost per cluster when one column is left out: columns × clusters; infinite where there is one column."""
    if costs.shape[1] == 1:
        return np.full((1, costs.shape[0]), np.inf)
    best = costs.argmin(axis=1)
    two = np.partition(costs, 1, axis=1)
    least: Array = np.where(best == np.arange(costs.shape[1])[:, None], two[:, 1], two[:, 0])
    return least


def best_move(problem: Problem, chosen: Sequence[int]) -> Move | None:
    """The opening, closing or swap that gains most over the horizon; None where none gains.

    Of equal gains the last names win, nothing being the first name.
    """
    p, mine = problem, np.array(chosen)
    free = p.room >= 1
    free[mine] = False
    opened, closed, gain, saved = best_change(
        p.costs, p.demand, mine, ~np.array(p.fixed)[mine], _worth_trying(p, mine, np.flatnonzero(free)), p.room,
        p.domain, p.rank, p.keep, p.deploy, bool(p.current.any()), p.delay, p.horizon, p.workers, spread_wanted(p),
    )  # fmt: skip
    if gain <= 0.0:
        return None
    total = float(p.demand.sum())
    more = (float(p.keep[opened]) if opened >= 0 else 0.0) - (float(p.keep[closed]) if closed >= 0 else 0.0)
    return Move(gain, saved / total if total > 0 else 0.0, more, opened, closed)


def _worth_trying(p: Problem, mine: Whole, free: Whole) -> Whole:
    """Openings: all, or so many of those that gain most on their own that the work stays bounded."""
    most = max(1, MOST_TRIPLES // max(1, len(p.demand) * len(mine)))
    if len(free) <= most:
        return free
    least = p.costs[:, mine].min(axis=1)
    after = p.demand @ np.minimum(least[:, None], p.costs[:, free])
    worth = (p.keep[free] + p.delay * after) * p.horizon + p.deploy[free]
    return np.sort(free[np.argsort(worth, kind="stable")[:most]])


def split(problem: Problem, chosen: Sequence[int]) -> dict[int, int]:
    """Workers per column: at least one each, the rest by the demand nearest to each, within its room.

    An existing split of the right total stays unless some instance is more than one worker from its share:
    otherwise noise in the demand would shift a worker to and fro every slot.
    """
    if not chosen:
        return {}
    nearest = problem.costs[:, list(chosen)].argmin(axis=1)
    served = np.bincount(nearest, weights=problem.demand, minlength=len(chosen))
    total, all_ = max(problem.workers, len(chosen)), float(served.sum())
    shares = (served / all_).tolist() if all_ > 0 else [1.0 / len(chosen)] * len(chosen)
    ideal = [total * s for s in shares]
    room = problem.room[list(chosen)].tolist()
    present: list[int] = problem.current[list(chosen)].tolist()
    settled = sum(present) == total and all(0 < n <= r for n, r in zip(present, room, strict=True))
    if settled and all(abs(n - max(1.0, x)) <= 1.0 for n, x in zip(present, ideal, strict=True)):
        return dict(zip(chosen, present, strict=True))
    workers = [1] * len(chosen)
    lacking = [(1.0 - x, k) for k, x in enumerate(ideal) if room[k] > 1]
    heapify(lacking)
    for _ in range(total - len(chosen)):
        if not lacking:
            break
        _, k = lacking[0]
        workers[k] += 1
        full = workers[k] >= room[k]
        heapreplace(lacking, (float("inf"), k) if full else (workers[k] - ideal[k], k))
        if lacking[0][0] == float("inf"):
            break
    return dict(zip(chosen, workers, strict=True))
