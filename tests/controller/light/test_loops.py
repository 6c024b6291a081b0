"""The innermost loops: against the definitions they stand for, and compiled against plain Python, bit for bit."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from controller.light import layout, loops
from controller.light.index import NO_PATH

SEEDS = range(40)


def dice(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def both(loop, *arguments):
    """The result as called, which is compiled where Numba is, after a check against the plain function."""
    loop.ready()
    kept = [np.array(x) if isinstance(x, np.ndarray) else x for x in arguments]
    compiled, plain = loop(*arguments), loop._function(*kept)
    for a, b in zip(arguments, kept, strict=True):
        if isinstance(a, np.ndarray):
            assert a.tobytes() == b.tobytes()
    assert np.asarray(compiled).tobytes() == np.asarray(plain).tobytes()
    return compiled


def problem(seed: int) -> tuple[layout.Problem, list[int]]:
    """A pool of 3 clusters and 8 columns, some with an instance. Few values, so that gains are often equal."""
    rng = dice(seed)
    n = 8
    current = rng.integers(0, 3, n) * (rng.random(n) < 0.5)
    p = layout.Problem(
        columns=tuple(f"n{i}" for i in rng.permutation(n)), rank=np.arange(n), domain=rng.integers(0, 3, n),
        costs=rng.integers(1, 6, (3, n)) / 100.0, demand=rng.integers(0, 4, 3) * 1.0, current=current,
        fixed=(rng.random(n) < 0.2).tolist(), room=np.maximum(current, rng.integers(0, 4, n)),
        keep=rng.integers(1, 3, n) * 1.0, deploy=rng.integers(1, 5, n) * 1.0, delay=float(rng.integers(1, 50)),
        workers=int(rng.integers(0, 7)), horizon=10.0,
    )  # fmt: skip
    rank = np.argsort(np.argsort(np.array(p.columns)))
    p = layout.Problem(**{**{f: getattr(p, f) for f in p.__dataclass_fields__}, "rank": rank})
    chosen = np.flatnonzero(current).tolist() or [int(np.argmax(p.room))]
    return p, chosen


def by_definition(p: layout.Problem, chosen: list[int]) -> tuple[float, str, str]:
    """(gain, name opened, name closed) of the best change, by the value (26) of every layout one change away."""
    opened = [-1, *(v for v in range(len(p.columns)) if p.room[v] >= 1 and v not in chosen)]
    closed = [-1, *(v for v in chosen if not p.fixed[v])]
    found = [(0.0, "", "")]
    for new, old in itertools.product(opened, closed):
        after = layout.Move(0.0, 0.0, 0.0, new, old).after(chosen)
        if (new < 0 and old < 0) or not layout.feasible(p, after):
            continue
        price = p.deploy[old] if new < 0 else 0.0 if old >= 0 and not p.current.any() else p.deploy[new]
        gain = (layout.value(p, chosen) - layout.value(p, after)) * p.horizon - price
        found.append((round(float(gain), 9), p.columns[new] if new >= 0 else "", p.columns[old] if old >= 0 else ""))
    return max(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_change_is_the_best_of_all(seed):
    p, chosen = problem(seed)
    move = layout.best_move(p, chosen)
    gain, *_ = by_definition(p, chosen)
    if move is None:
        assert gain <= 1e-9
        return
    assert move.gain == pytest.approx(gain, abs=1e-9)
    after = move.after(chosen)
    assert layout.feasible(p, after)
    assert move.saved * p.demand.sum() == pytest.approx(layout.delay(p, chosen) - layout.delay(p, after), abs=1e-9)
    assert move.keep == pytest.approx(p.keep[after].sum() - p.keep[chosen].sum())


def test_of_equal_changes_the_last_name_wins():
    n = 4
    p = layout.Problem(
        columns=("b", "d", "a", "c"), rank=np.array([1, 3, 0, 2]), domain=np.zeros(n, int),
        costs=np.array([[0.5, 0.1, 0.1, 0.1]]), demand=np.ones(1), current=np.array([1, 0, 0, 0]), fixed=[False] * n,
        room=np.ones(n, int), keep=np.ones(n), deploy=np.ones(n), delay=100.0, workers=1, horizon=1.0,
    )  # fmt: skip
    move = layout.best_move(p, [0])
    assert move is not None
    assert (move.opened, move.closed) == (1, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_and_plain_agree_on_the_best_change(seed):
    p, chosen = problem(seed)
    mine = np.array(chosen)
    free = np.array([v for v in range(len(p.columns)) if p.room[v] >= 1 and v not in chosen], dtype=np.int64)
    costs = p.costs * dice(seed).uniform(0.9, 1.1, p.costs.shape)
    both(
        loops.best_change, costs, p.demand, mine, ~np.array(p.fixed)[mine], free, p.room, p.domain, p.rank, p.keep,
        p.deploy, bool(p.current.any()), p.delay, p.horizon, p.workers, layout.spread_wanted(p),
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_the_fastest_of_each_cluster(seed):
    rng = dice(seed)
    n, clusters, most = 30, 4, 3
    able, domain, seconds = rng.random(n) < 0.6, rng.integers(0, clusters, n), rng.integers(1, 5, n) / 7.0
    rank = rng.permutation(n)
    chosen = rng.random(n) < 0.1
    wanted = chosen.copy()
    for g in range(clusters):
        members = [v for v in range(n) if able[v] and domain[v] == g]
        wanted[sorted(members, key=lambda v: (seconds[v], rank[v]))[:most]] = True
    both(loops.fastest, chosen, able, domain, seconds, rank, clusters, most)
    assert (chosen == wanted).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_request_costs(seed):
    rng = dice(seed)
    n, size, sent, rate = 12, 2e6, 5e5, 7.0
    delay, per_byte = rng.uniform(0, 0.02, (n, n)), rng.uniform(1e-9, 1e-8, (n, n))
    delay[0, 5] = np.inf
    sources, nodes, ends = np.array([0, 3]), np.array([5, 1, 7, 8]), np.array([2, 9])
    served, onward = rng.random(4), np.zeros(4)
    both(loops.add_nearest, onward, delay, per_byte, nodes, ends, size, 0.5, NO_PATH)
    ways = delay + size * per_byte
    assert onward == pytest.approx(0.5 * ways[np.ix_(nodes, ends)].min(axis=1))
    into, wide_in, out, wide_out = (rng.uniform(low, low * 2, n) for low in (1e7, 1.2e8, 1e7, 1.2e8))
    got = both(
        loops.request_costs, delay, per_byte, sources, nodes, size, served, onward, into, wide_in, out, wide_out, sent,
        rate, NO_PATH,
    )  # fmt: skip
    wait = 0.0
    for used, width, each in ((into, wide_in, size), (out, wide_out, sent)):
        busy = np.minimum(0.95, (used + rate * each) / width)[nodes]
        wait += each / width[nodes] * busy / (1.0 - busy)
    assert got == pytest.approx(np.minimum(NO_PATH, ways[np.ix_(sources, nodes)]) + served + onward + wait)


def test_without_numba_the_same_runs_in_plain_python(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    loop = loops._Compiled(loops.fastest._function, "void", ())
    loop.ready()
    chosen = np.zeros(3, dtype=bool)
    loop(chosen, np.ones(3, dtype=bool), np.zeros(3, int), np.array([0.3, 0.1, 0.2]), np.arange(3), 1, 2)
    assert chosen.tolist() == [False, True, True]
