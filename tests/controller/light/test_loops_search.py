"""The search for a layout: against the definitions it stands for, and compiled against plain Python, bit for bit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from controller.light.loops import search
from tests.controller.light.loops_kit import SEEDS, both, dice


@dataclass(frozen=True)
class Problem:
    """Arguments of `search.arranged`."""

    costs: np.ndarray
    demand: np.ndarray
    current: np.ndarray
    fixed: np.ndarray
    room: np.ndarray
    domain: np.ndarray
    rank: np.ndarray
    keep: np.ndarray
    deploy: np.ndarray
    delay: float
    horizon: float
    workers: int
    last: bool = True


def problem(seed: int) -> tuple[Problem, np.ndarray]:
    """A pool of 3 clusters and 8 columns, some with an instance. Few values, so that gains are often equal."""
    rng = dice(seed)
    n = 8
    current = rng.integers(0, 3, n) * (rng.random(n) < 0.5)
    p = Problem(
        rank=rng.permutation(n), domain=rng.integers(0, 3, n), costs=rng.integers(1, 6, (3, n)) / 100.0,
        demand=rng.integers(0, 4, 3) * 1.0, current=current, fixed=rng.random(n) < 0.2,
        room=np.maximum(current, rng.integers(0, 4, n)), keep=rng.integers(1, 3, n) * 1.0,
        deploy=rng.integers(1, 5, n) * 1.0, delay=float(rng.integers(1, 50)), workers=int(rng.integers(0, 7)),
        horizon=10.0, last=bool(rng.random() < 0.7),
    )  # fmt: skip
    return p, np.flatnonzero(current) if current.any() else np.array([p.room.argmax()])


def delay(p: Problem, chosen) -> float:
    """Σ_g λ_g min_v c_gv: request-seconds per second."""
    return float(p.demand @ p.costs[:, list(chosen)].min(axis=1))


def value(p: Problem, chosen) -> float:
    """J(S) of eq. (26), per slot."""
    return float(p.keep[list(chosen)].sum()) + p.delay * delay(p, chosen)


def clusters_wanted(p: Problem) -> int:
    return min(2, len(set(p.domain[p.room >= 1].tolist())), max(1, p.workers))


def feasible(p: Problem, chosen) -> bool:
    """Room for all workers, at most one instance per worker, clusters spread."""
    if not len(chosen) or len(chosen) > max(1, p.workers) or p.room[list(chosen)].sum() < p.workers:
        return False
    return len(set(p.domain[list(chosen)].tolist())) >= clusters_wanted(p)


def after(chosen, new: int, old: int) -> list[int]:
    return [v for v in chosen if v != old] + ([new] if new >= 0 else [])


def best_change(p: Problem, mine: np.ndarray, free: np.ndarray | None = None, loop=search.best_change):
    if free is None:
        free = np.array([v for v in range(len(p.room)) if p.room[v] >= 1 and v not in mine], dtype=np.int64)
    return loop(
        p.costs, p.demand, mine, ~p.fixed[mine], free, p.room, p.domain, p.rank, p.keep, p.deploy,
        bool(p.current.any()), p.delay, p.horizon, p.workers, clusters_wanted(p),
    )  # fmt: skip


def arranged(p: Problem, changes: int):
    return both(
        search.arranged, p.costs, p.demand, p.current, p.fixed, p.room, p.domain, p.rank, p.keep, p.deploy, p.delay,
        p.horizon, p.workers, p.last, changes,
    )  # fmt: skip


def by_definition(p: Problem, chosen) -> tuple[float, int, int]:
    """(gain, rank opened, rank closed) of the best change, by the value (26) of every layout one change away."""
    opened = [-1, *(v for v in range(len(p.room)) if p.room[v] >= 1 and v not in chosen)]
    closed = [-1, *(v for v in chosen if not p.fixed[v])]
    found = [(0.0, -1, -1)]
    for new, old in itertools.product(opened, closed):
        there = after(chosen, new, old)
        if (new < 0 and old < 0) or not feasible(p, there):
            continue
        price = p.deploy[old] if new < 0 else 0.0 if old >= 0 and not p.current.any() else p.deploy[new]
        gain = (value(p, chosen) - value(p, there)) * p.horizon - price
        found.append((round(float(gain), 9), p.rank[new] if new >= 0 else -1, p.rank[old] if old >= 0 else -1))
    return max(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_change_is_the_best_of_all(seed):
    p, chosen = problem(seed)
    opened, closed, gain, saved = best_change(p, chosen)
    wanted, *_ = by_definition(p, chosen)
    if gain <= 0.0:
        assert wanted <= 1e-9
        return
    assert gain == pytest.approx(wanted, abs=1e-9)
    there = after(chosen, opened, closed)
    assert feasible(p, there)
    assert saved == pytest.approx(delay(p, chosen) - delay(p, there), abs=1e-9)


def test_of_equal_changes_the_last_name_wins():
    n = 4
    p = Problem(
        rank=np.array([1, 3, 0, 2]), domain=np.zeros(n, int), costs=np.array([[0.5, 0.1, 0.1, 0.1]]),
        demand=np.ones(1), current=np.array([1, 0, 0, 0]), fixed=np.zeros(n, bool), room=np.ones(n, int),
        keep=np.ones(n), deploy=np.ones(n), delay=100.0, workers=1, horizon=1.0,
    )  # fmt: skip
    assert best_change(p, np.array([0]))[:2] == (1, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_and_plain_agree_on_the_best_change(seed):
    p, chosen = problem(seed)
    p = replace(p, costs=p.costs * dice(seed).uniform(0.9, 1.1, p.costs.shape))
    best_change(p, chosen, loop=lambda *arguments: both(search.best_change, *arguments))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("changes", [0, 1, 12])
def test_an_arrangement_has_room_for_all_or_all_the_room(seed, changes):
    """What no search may break, whatever it gains."""
    p, _ = problem(seed)
    nodes, given, *_ = arranged(p, changes)
    chosen = nodes.tolist()
    assert len(set(chosen)) == len(chosen)
    assert all(p.room[v] >= 1 or p.current[v] > 0 for v in chosen)
    assert all(v in chosen for v in np.flatnonzero((p.current > 0) & p.fixed)), "what is not ready stays"
    assert (given >= 1).all() and (given <= np.maximum(1, p.room[chosen])).all()
    if given.sum() < p.workers:
        assert given.sum() == p.room[chosen].sum() == p.room[p.room >= 1].sum()
    stuck = (p.fixed & (p.current > 0)).sum() >= p.workers
    if p.workers > 0 and chosen and not stuck:
        assert len(set(p.domain[chosen].tolist())) >= clusters_wanted(p)
    if not p.last and p.workers == 0:
        assert set(chosen) == set(np.flatnonzero((p.current > 0) & p.fixed).tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_each_change_gains_what_the_best_one_does_and_no_more_is_made_than_allowed(seed):
    p, _ = problem(seed)
    forced = arranged(p, 0)[0]
    nodes, _, opened, closed, gain, _ = arranged(p, 1)
    best, *_ = by_definition(p, forced) if len(forced) else (0.0, -1, -1)
    assert gain == pytest.approx(best, abs=1e-9)
    assert sorted(nodes.tolist()) == sorted(after(forced, opened, closed))


@pytest.mark.parametrize("seed", SEEDS)
def test_forced_openings_lack_least(seed):
    """Step by step: each is the column after which J(S) less the price of the others is least."""
    p, _ = problem(seed)
    start = np.flatnonzero(p.current)
    mine = np.full(len(p.room), -1)
    mine[: len(start)] = start
    wanted = clusters_wanted(p)
    n = both(
        search.open_needed, mine, len(start), p.costs, p.demand, p.room, p.domain, p.rank, p.keep, p.delay, p.workers,
        wanted,
    )  # fmt: skip
    chosen = start.tolist()
    for v in mine[len(start) : n].tolist():
        covered = set(p.domain[chosen].tolist())
        lacks = len(covered) < wanted
        assert lacks or not chosen or p.room[chosen].sum() < p.workers, "nothing was opened that was not needed"
        open_ = [u for u in range(len(p.room)) if p.room[u] >= 1 and u not in chosen]
        open_ = [u for u in open_ if p.domain[u] not in covered] if lacks else open_
        worth = {u: p.keep[u] + p.delay * delay(p, [*chosen, u]) for u in open_}
        assert worth[v] == pytest.approx(min(worth.values()))
        chosen.append(v)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("most", "clusters"), [(1, 1), (2, 2), (3, 2)])
def test_surplus_that_costs_least_delay_is_closed_and_clusters_stay_covered_if_they_can(seed, most, clusters):
    p, _ = problem(seed)
    start = np.flatnonzero(p.current)
    mine = start.copy()
    n = both(
        search.close_surplus, mine, len(mine), p.costs, p.demand, p.current, p.fixed, p.domain, p.rank, p.keep, p.delay,
        most, clusters,
    )  # fmt: skip
    chosen = start.tolist()
    while len(chosen) > most and not p.fixed[chosen].all():
        rest = {v: [u for u in chosen if u != v] for v in chosen if not p.fixed[v]}
        covered = {v: len(set(p.domain[rest[v]].tolist())) >= clusters for v in rest}
        worth = {
            v: (not covered[v], round(p.delay * delay(p, rest[v]) - p.keep[v], 9), p.rank[v]) for v in rest
        }  # fmt: skip
        chosen.remove(min(worth, key=worth.__getitem__))
    assert mine[:n].tolist() == chosen


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_follow_the_demand_nearest_to_them(seed):
    """No worker would lack less where another stands; a split that is nearly right stays."""
    p, chosen = problem(seed)
    room = np.maximum(p.room, 1)
    given = both(search.split, chosen, p.costs, p.demand, p.current, room, p.workers)
    nearest = np.array([chosen[k] for k in p.costs[:, chosen].argmin(axis=1)])
    served = np.array([p.demand[nearest == v].sum() for v in chosen])
    total = max(p.workers, len(chosen))
    ideal = total * (served / served.sum() if served.sum() else np.full(len(chosen), 1 / len(chosen)))
    present = p.current[chosen]
    if present.sum() == total and (present > 0).all() and (abs(present - np.maximum(1.0, ideal)) <= 1.0).all():
        assert given.tolist() == present.tolist()
        return
    assert given.sum() == min(total, room[chosen].sum())
    for k, j in itertools.permutations(range(len(chosen)), 2):
        if given[k] > 1 and given[j] < room[chosen[j]]:
            assert given[k] - 1 - ideal[k] <= given[j] - ideal[j] + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_of_too_many_openings_those_that_gain_most_alone_are_tried(seed):
    p, chosen = problem(seed)
    free = [v for v in range(len(p.room)) if p.room[v] >= 1 and v not in chosen]
    triples = 2 * len(p.demand) * len(chosen)
    got = both(search.worth_opening, p.costs, p.demand, chosen, p.room, p.keep, p.deploy, p.delay, p.horizon, triples)
    worth = {
        v: (p.keep[v] + p.delay * delay(p, [*chosen, v])) * p.horizon + p.deploy[v]
        for v in free
    }  # fmt: skip
    assert len(got) == min(2, len(free)) and sorted(got.tolist()) == got.tolist()
    assert sorted(worth[v] for v in got.tolist()) == pytest.approx(sorted(worth.values())[: len(got)])


@pytest.mark.parametrize("seed", SEEDS)
def test_several_pools_are_arranged_each_by_itself(seed):
    """Two pools of the same nodes' names, the second due first; not ready instances keep a pool as it is."""
    problems = [problem(seed)[0], problem(seed + 1000)[0]]
    ours = [replace(p, keep=p.keep * 0 + 2.0, deploy=p.deploy * 0 + 6.0, delay=3.0, last=False) for p in problems]
    first, begin, due = np.array([0, 3, 6]), np.array([0, 8, 16]), np.array([1, 0])
    p, q = (ours[k] for k in due)
    nodes, by_column = np.arange(16), ("domain", "current", "fixed", "room", "rank")
    mine, given, start, opened, closed, gain, saved = both(
        search.arranged_each, np.concatenate([p.costs.ravel(), q.costs.ravel()]),
        np.concatenate([ours[0].demand, ours[1].demand]), np.arange(6), first, due, begin, nodes,
        *(np.concatenate([getattr(x, name) for x in (p, q)]) for name in by_column), np.full(16, 2.0), 1.0, 3.0, 3.0,
        10.0, np.array([x.workers for x in ours]), 1, np.array([1, 1]),
    )  # fmt: skip
    for k, x in enumerate((replace(p, last=True), q)):
        own, each, new, old, worth, seconds = arranged(x, 0 if x.fixed.any() else 1)
        a, b = start[k], start[k + 1]
        assert (mine[a:b] - 8 * k).tolist() == own.tolist() and given[a:b].tolist() == each.tolist()
        assert [opened[k], closed[k]] == [v + 8 * k if v >= 0 else -1 for v in (new, old)]
        assert (gain[k], saved[k]) == (worth, seconds)
