"""Where the workers of one pool stand: a small facility-location search (docs/mathematics.md, eq. (26)).

S: nodes with an instance. Per slot, in cost units,

    J(S) = V Σ_{v∈S} price_v c_mt + ν Σ_g λ_g min_{v∈S} c_gv / w

c_gv: predicted seconds of a request of cluster g served on v (path in, service on v, path out); ν/w turns a second
of delay into the penalty of a lost share of the waiting budget. An opening pays c_dp, a closing has to save c_dp, a
move pays c_dp once; each must earn that within the horizon. All of it is deterministic, ties go to the first name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.light.law import Array


@dataclass(frozen=True)
class Problem:
    """One service in one pool. columns: candidate nodes (present ones among them); costs: c_gv, s, domains × columns.

    current: node → workers of the instances that count; fixed: nodes whose instance may not be closed or moved
    now (not ready yet). room: most workers a node can take, its present ones included. keep and deploy: V price c_mt
    and V price c_dp per column; delay: ν/w, cost units per second of delay.
    """

    columns: tuple[str, ...]
    domain: Mapping[str, str]
    costs: Array
    demand: Array
    current: Mapping[str, int]
    fixed: frozenset[str]
    room: Mapping[str, int]
    keep: Mapping[str, float]
    deploy: Mapping[str, float]
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
class _Move:
    gain: float
    saved: float  # seconds of delay per request, averaged over the demand
    keep: float  # change of V Σ price c_mt, cost units per slot
    opened: str = ""
    closed: str = ""


def arrange(problem: Problem) -> Arrangement:
    """Forced openings and closings first, then at most one voluntary change, then the workers are split."""
    chosen = [v for v in problem.columns if v in problem.current]
    _open_what_is_needed(problem, chosen)
    _close_what_is_too_many(problem, chosen)
    gains: dict[str, str] = {}
    if problem.voluntary and chosen:
        move = best_move(problem, chosen)
        if move is not None:
            chosen = [v for v in chosen if v != move.closed] + ([move.opened] if move.opened else [])
            sentence = (
                f"{'saves' if move.saved >= 0 else 'costs'} {1e3 * abs(move.saved):.1f} ms per request and changes "
                f"c_mt by {move.keep:+.2f} per slot: worth {move.gain:.2f} over {problem.horizon:.0f} slots after c_dp"
            )
            gains = {v: sentence for v in (move.opened, move.closed) if v}
    workers = split(problem, chosen)
    return Arrangement(workers, gains, max(0, problem.workers - sum(workers.values())))


def settle(problem: Problem, rounds: int = 12) -> Arrangement:
    """`arrange` for a start from nothing: voluntary changes until none pays."""
    chosen: list[str] = []
    _open_what_is_needed(problem, chosen)
    for _ in range(rounds):
        move = best_move(problem, chosen) if chosen else None
        if move is None:
            break
        chosen = [v for v in chosen if v != move.closed] + ([move.opened] if move.opened else [])
    workers = split(problem, chosen)
    return Arrangement(workers, {}, max(0, problem.workers - sum(workers.values())))


def value(problem: Problem, chosen: Sequence[str]) -> float:
    """J(S) per slot; infinite for no instance."""
    if not chosen:
        return float("inf")
    keep = sum(problem.keep[v] for v in chosen)
    return keep + problem.delay * delay(problem, chosen)


def delay(problem: Problem, chosen: Sequence[str]) -> float:
    """Σ_g λ_g min_v c_gv: request-seconds per second."""
    columns = [problem.columns.index(v) for v in chosen]
    return float(problem.demand @ problem.costs[:, columns].min(axis=1))


def spread_wanted(problem: Problem) -> int:
    """Clusters the instances must cover: two where there are two workers and two clusters that can take one."""
    able = {problem.domain[v] for v in problem.columns if problem.room.get(v, 0) >= 1}
    return min(2, len(able), max(1, problem.workers))


def feasible(problem: Problem, chosen: Sequence[str]) -> bool:
    """Room for all workers, at most one instance per worker, clusters spread."""
    if not chosen or len(chosen) > max(1, problem.workers):
        return False
    if sum(problem.room.get(v, 0) for v in chosen) < problem.workers:
        return False
    return len({problem.domain[v] for v in chosen}) >= spread_wanted(problem)


def _open_what_is_needed(problem: Problem, chosen: list[str]) -> None:
    """Open the nodes that lack least delay until workers and clusters are covered or nothing is left."""
    while problem.workers > 0:
        spread = len({problem.domain[v] for v in chosen}) < spread_wanted(problem)
        roomy = sum(problem.room.get(v, 0) for v in chosen) >= problem.workers
        if roomy and not spread:
            return
        covered = {problem.domain[v] for v in chosen}
        free = [
            v
            for v in problem.columns
            if v not in chosen and problem.room.get(v, 0) >= 1 and not (spread and problem.domain[v] in covered)
        ]
        if not free:
            return
        chosen.append(min(free, key=lambda v: (value(problem, [*chosen, v]), v)))


def _close_what_is_too_many(problem: Problem, chosen: list[str]) -> None:
    """More instances than workers are wanted: close those that cost least delay, never the last of the service."""
    least = 1 if problem.last or problem.workers > 0 else 0
    while len(chosen) > max(problem.workers, least):
        movable = [v for v in chosen if v in problem.current and v not in problem.fixed]
        if not movable:
            return
        rest = [[u for u in chosen if u != v] for v in movable]
        best = min(range(len(movable)), key=lambda i: (value(problem, rest[i]) if rest[i] else 0.0, movable[i]))
        chosen.remove(movable[best])


def best_move(problem: Problem, chosen: Sequence[str]) -> _Move | None:
    """The opening, closing or swap that gains most over the horizon; None where none gains."""
    now, waits = value(problem, chosen), delay(problem, chosen)
    total = float(problem.demand.sum())
    moves: list[_Move] = []

    def consider(after: list[str], opened: str, closed: str, price: float) -> None:
        if feasible(problem, after):
            gain = (now - value(problem, after)) * problem.horizon - price
            saved = (waits - delay(problem, after)) / total if total > 0 else 0.0
            keep = sum(problem.keep[v] for v in after) - sum(problem.keep[v] for v in chosen)
            moves.append(_Move(gain, saved, keep, opened, closed))

    free = [v for v in problem.columns if v not in chosen and problem.room.get(v, 0) >= 1]
    movable = [v for v in chosen if v not in problem.fixed]
    for v in free:
        consider([*chosen, v], v, "", problem.deploy[v])
    for u in movable:
        rest = [x for x in chosen if x != u]
        consider(rest, "", u, problem.deploy[u])
        for v in free:
            consider([*rest, v], v, u, problem.deploy[v] if problem.current else 0.0)
    best = max(moves, key=lambda m: (m.gain, m.opened, m.closed), default=None)
    return best if best is not None and best.gain > 0.0 else None


def split(problem: Problem, chosen: Sequence[str]) -> dict[str, int]:
    """Workers per node: at least one each, the rest by the demand nearest to each, within its room.

    An existing split of the right total stays unless some instance is more than one worker from its share:
    otherwise noise in the demand would shift a worker to and fro every slot.
    """
    if not chosen:
        return {}
    columns = [problem.columns.index(v) for v in chosen]
    nearest = problem.costs[:, columns].argmin(axis=1)
    served = np.array([float(problem.demand[nearest == k].sum()) for k in range(len(chosen))])
    total = max(problem.workers, len(chosen))
    shares = served / served.sum() if served.sum() > 0 else np.full(len(chosen), 1.0 / len(chosen))
    ideal = {v: total * float(s) for v, s in zip(chosen, shares, strict=True)}
    present = {v: problem.current.get(v, 0) for v in chosen}
    settled = sum(present.values()) == total and all(0 < present[v] <= problem.room.get(v, 0) for v in chosen)
    if settled and all(abs(present[v] - max(1.0, ideal[v])) <= 1.0 for v in chosen):
        return present
    workers = {v: 1 for v in chosen}
    for _ in range(total - len(chosen)):
        open_ = [v for v in chosen if workers[v] < problem.room.get(v, 0)]
        if not open_:
            break
        workers[max(open_, key=lambda v: (ideal[v] - workers[v], -chosen.index(v)))] += 1
    return workers
