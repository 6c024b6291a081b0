"""The innermost loops but the search: against their definitions, and compiled against plain Python, bit for bit."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from controller.light.capacity import table
from controller.light.index import NO_PATH
from controller.light.loops import groups, places, stages, workers
from controller.light.loops.compiled import Compiled
from controller.model import Law
from tests.controller.light.loops_kit import SEEDS, both, dice


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
    both(places.fastest, chosen, able, domain, seconds, rank, clusters, most)
    assert (chosen == wanted).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_candidates_are_what_runs_and_the_fastest_with_room(seed):
    rng = dice(seed)
    n, clusters, most, cpu_each, memory_each, mean, contention = 24, 3, 2, 0.5, 0.7, 0.04, 0.6
    at = rng.integers(0, n, 9)
    asked, ready, alive = rng.integers(0, 4, 9), rng.random(9) < 0.7, rng.random(n) < 0.9
    have, fixed = np.zeros(n, int), np.zeros(n, bool)
    for v, w, is_ready in reversed(list(zip(at, asked, ready, strict=True))):
        have[v] = max(1, w)
        fixed[v] |= not is_ready
    light_cpu = rng.integers(0, 5, n) * 1.0
    cpu, memory, speed = light_cpu * rng.random(n), rng.uniform(0, 4, n), rng.choice([0.5, 1.0, 2.0], n)
    domain, rank = rng.integers(0, clusters, n), rng.permutation(n)
    columns, where, room, now, held, seconds, total = both(
        places.candidates, at, asked, ready, alive, cpu, memory, light_cpu, speed, domain, rank, cpu_each,
        memory_each, mean, contention, clusters, most, 400,
    )  # fmt: skip
    taken = np.array([1.0 - c / of if of > 0 else 1.0 for c, of in zip(cpu, light_cpu, strict=True)])
    every = mean / speed * (1.0 + contention * taken**2)
    fits = have + np.floor(np.minimum(cpu / cpu_each, memory / memory_each) + 1e-9).astype(int)
    wanted = set(np.flatnonzero(alive & (have > 0)).tolist())
    for g in range(clusters):
        able = [v for v in range(n) if alive[v] and have[v] == 0 and fits[v] >= 1 and domain[v] == g]
        wanted |= set(sorted(able, key=lambda v: (every[v], rank[v]))[:most])
    assert columns.tolist() == sorted(wanted)
    assert seconds == pytest.approx(every[columns])
    assert room.tolist() == np.maximum(1, fits[columns]).tolist()
    assert (now == have[columns]).all() and (held == fixed[columns]).all() and (where == domain[columns]).all()
    assert total.tolist() == [room[where == g].sum() for g in range(clusters)]


def test_workers_without_memory_find_the_room_their_cpu_leaves():
    one, none, nobody = np.ones(1), np.zeros(1, int), np.zeros(0, int)
    found = both(
        places.candidates, nobody, nobody, nobody > 0, none == 0, 3 * one, one, 4 * one, one, none, none, 0.5, 0.0,
        0.1, 0.0, 1, 3, 400,
    )  # fmt: skip
    assert found[2].tolist() == [6]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_pool_is_offered(seed):
    """Its clusters' columns only; links are filled to their share, or stretched until all fit, or not looked at."""
    rng = dice(seed)
    n, size, sent, busy, share, held = 12, 2e6, 5e5, 8.0, 0.5, 1.5
    delay, per_byte = rng.uniform(0, 0.02, (n, n)), rng.uniform(1e-9, 1e-8, (n, n))
    columns = np.array([1, 3, 4, 6, 7, 9, 11])
    domain, room = np.array([0, 0, 1, 1, 2, 2, 2]), rng.integers(1, 6, 7)
    current = np.minimum(room, rng.integers(0, 3, 7))
    fixed, seconds = rng.random(7) < 0.2, rng.random(7)
    into, wide_in, out, wide_out = (rng.uniform(low, low * 2, n) for low in (2e7, 1.2e8, 2e7, 1.2e8))
    wanted, rate = int(rng.integers(0, 16)), float(rng.uniform(0, 90))
    stretches = np.array([1.0, 2.0])
    ends, homes, shares = np.array([5, 4, 2, 8]), np.array([0, 1, 2, 2]), np.array([1.0, 1.0, 0.3, 0.7])
    mine, its, rows = np.array([4e5, 3e6]), np.array([2.0, 3.0]), np.array([2, 0])
    flows = rng.uniform(0, 4e6, (3, n)) * (rng.random((3, n)) < 0.5)
    into[7] = 1.4e8  # full: fewer workers do not fit where more do, whose neighbour's bytes stay
    flows[0, 7] = 1e9
    theirs = its[:, None] * flows[rows]
    members, first = np.array([2, 0, 1]), np.array([0, 2, 3])

    def offered(*due: int) -> tuple:
        return both(
            places.offers, columns, domain, room, current, fixed, seconds, members, first, np.array(due),
            np.array([rate, 40.0]), np.array([wanted, 3]), ends, homes, shares, delay, per_byte, into, wide_in, out,
            wide_out, mine, its, rows, flows, size, sent, busy, share, held, stretches, NO_PATH,
        )  # fmt: skip

    nodes, where, fits, now, kept, begin, costs = offered(0)
    together, other = offered(0, 1), offered(1)
    assert begin.tolist() == [0, len(nodes)] and together[5].tolist() == [0, 5, 7] and other[5].tolist() == [0, 2]
    for k in (0, 1, 2, 3, 4, 6):
        assert together[k].tolist() == [*offered(0)[k].tolist(), *other[k].tolist()], "each pool by itself"
    own = np.flatnonzero(domain != 1)
    assert nodes.tolist() == columns[own].tolist() and where.tolist() == domain[own].tolist()
    assert now.tolist() == current[own].tolist() and kept.tolist() == fixed[own].tolist()
    limits = [room[own]]
    if wanted:
        each = max(rate / wanted, busy) * np.arange(1, 7)[:, None]
        home = np.minimum(mine[0] * each, theirs[0, nodes]) + np.minimum(mine[1] * each, theirs[1, nodes])
        wider = np.where(now > 0, held, 1.0)
        free = wider * (share * wide_in - into)[nodes], wider * (share * wide_out - out)[nodes]
        fit = [(each * size - home <= s * free[0]) & (each * sent - home <= s * free[1]) for s in stretches]
        counts = np.arange(1, 7)[:, None]
        limits = [(counts * (x & (counts <= room[own]))).max(axis=0) for x in fit] + limits
    assert fits.tolist() == next(x for x in limits if x is limits[-1] or x.sum() >= wanted).tolist()
    used = rate / max(1, wanted)
    assert costs.reshape(2, -1) == pytest.approx(
        places.priced.plain(
            delay, per_byte, np.array([5, 2, 8]), np.array([1, 0, 0]), np.array([1.0, 0.3, 0.7]), 2, nodes, size,
            seconds[own], into, wide_in, out, wide_out, mine, its, rows, flows, sent, used, NO_PATH,
        )
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_request_costs(seed):
    rng = dice(seed)
    n, size, sent, rate = 12, 2e6, 5e5, 7.0
    delay, per_byte = rng.uniform(0, 0.02, (n, n)), rng.uniform(1e-9, 1e-8, (n, n))
    delay[0, 5] = np.inf
    nodes, ends = np.array([5, 1, 7, 8]), np.array([2, 9])
    sources, rows, shares = np.array([0, 3, 5]), np.array([0, 1, 1]), np.array([1.0, 0.3, 0.7])
    onward = rng.random(4)
    served = onward.copy()
    both(places.add_nearest, onward, delay, per_byte, nodes, ends, size, 0.5, NO_PATH)
    ways = delay + size * per_byte
    assert onward == pytest.approx(served + 0.5 * ways[np.ix_(nodes, ends)].min(axis=1))
    before, weights = onward.copy(), np.array([3.0, 0.0, 1.0])
    both(places.add_return, onward, delay, per_byte, nodes, 9, weights, size, 0.5, NO_PATH)
    assert onward == pytest.approx(before + 0.5 * ways[nodes, 9:] @ weights / 4.0)
    both(places.add_return, onward, delay, per_byte, nodes, 9, 0.0 * weights, size, 0.5, NO_PATH)
    assert onward == pytest.approx(before + 0.5 * ways[nodes, 9:] @ weights / 4.0), "nobody asks: nothing is added"
    into, wide_in, out, wide_out = (rng.uniform(low, low * 2, n) for low in (1e7, 1.2e8, 1e7, 1.2e8))
    mine, its, beside, flows = np.array([3e5, 2e9]), np.array([1e6, 1e9]), np.array([1, 0]), np.zeros((3, n))
    flows[1, 1] = flows[0, 8] = 1.0
    got = both(
        places.priced, delay, per_byte, sources, rows, shares, 2, nodes, size, onward, into, wide_in, out, wide_out,
        mine, its, beside, flows, sent, rate, NO_PATH,
    )  # fmt: skip
    home = np.array([0.0, 1e6, 0.0, 1e9])
    wait = 0.0
    for used, width, each in ((into, wide_in, size), (out, wide_out, sent)):
        busy = np.clip((used[nodes] + rate * each - home) / width[nodes], 0.0, 0.95)
        wait += each / width[nodes] * (1.0 / (1.0 - busy) ** 2 - 1.0)
    way = np.minimum(NO_PATH, ways[np.ix_(sources, nodes)])
    mean = np.array([way[0], 0.3 * way[1] + 0.7 * way[2]])
    assert got == pytest.approx(mean + onward + wait)
    assert wait[3] == 0.0, "a link that carries less than nothing more is free, and no gain"


def test_the_price_of_a_link_is_what_one_more_request_makes_all_wait():
    """λ W = (b/C) λ ρ / (1 − ρ) of M/M/1, differentiated by λ; way, service and the other direction cost none."""
    size, width, none, zero = 2e6, 1.25e8, np.zeros(1), np.zeros((1, 1))
    here, wide = np.array([0]), np.array([width])

    def price(rate: float) -> float:
        found = both(
            places.priced, zero, zero, here, here, np.ones(1), 1, here, size, none, none, wide, none, wide, none, none,
            here, zero, 0.0, rate, NO_PATH,
        )  # fmt: skip
        return float(found[0, 0])

    def waited(rate: float) -> float:
        busy = rate * size / width
        return rate * size / width * busy / (1.0 - busy)

    for rate in (5.0, 25.0, 50.0):
        step = 1e-4
        assert price(rate) == pytest.approx((waited(rate + step) - waited(rate - step)) / (2 * step), rel=1e-5)


def test_as_much_stays_as_both_have_there():
    """10 requests per s at each of three nodes, half of which go on to a neighbour that has 0, 2 and 9 there."""
    around = np.array([50.0]), np.array([100.0]), np.array([1]), np.array([[7.0, 7.0, 7.0], [0.0, 2.0, 9.0]])
    assert [both(places.staying, *around, v, 10.0) for v in range(3)] == [0.0, 200.0, 500.0]
    assert both(places.staying, *around, 2, 2.0) == 100.0
    assert both(places.staying, np.zeros(0), np.zeros(0), np.zeros(0, int), around[3], 2, 2.0) == 0.0
    into, out = np.full(3, 1e3), np.full(3, 1e3)
    both(places.carry, into, out, np.array([10.0, 0.0, 10.0]), *around, 70.0, 60.0)
    assert into.tolist() == [1700.0, 1000.0, 1200.0] and out.tolist() == [1600.0, 1000.0, 1100.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_of_senders_are_those_of_their_clusters_requests(seed):
    rng = dice(seed)
    n, clusters, others = 9, 4, float(rng.choice([0.0, 0.6, 1.0]))
    sent, domain = rng.random(n) * (rng.random(n) < 0.5), rng.integers(0, 3, n)
    ends, homes, shares = both(places.senders, sent, others, domain, np.arange(20, 20 + clusters))
    got = {(int(g), int(e)): float(x) for e, g, x in zip(ends, homes, shares, strict=True)}
    for g in range(clusters):
        total = sent[domain == g].sum()
        wanted = {(g, 20 + g): 1.0 - others if total else 1.0}
        wanted |= {(g, v): others * sent[v] / total for v in range(n) if domain[v] == g and sent[v] > 0}
        assert {k: x for k, x in got.items() if k[0] == g} == pytest.approx(wanted)
    assert sum(got.values()) == pytest.approx(clusters)


@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_and_plain_agree_on_a_size(seed):
    """That it is the argmin: test_queues_and_sizing.py."""
    rng = dice(seed)
    t = table(rng.gamma(2.0, 0.03, 400).tolist(), Law("gamma", shape=2.0), 0.06)
    demand, rho = float(rng.choice([0.0, rng.uniform(0, 300)])), float(rng.uniform(0, 1.1))
    assert both(workers.exponent, *t.arrays, rho) == t.exponent(rho)
    arguments = (t.mean, demand, 0.05, 3.0, 1.0, 0.5, 2.0 * demand, 0.1, 1e3, int(rng.integers(1, 60)))
    both(workers.sized, *t.arrays, *arguments)


@pytest.mark.parametrize("seed", SEEDS)
def test_several_sizes_are_those_of_each(seed):
    rng = dice(seed)
    t = table(rng.gamma(2.0, 0.03, 400).tolist(), Law("gamma", shape=2.0), 0.06)
    demands = rng.uniform(0, 300, 3)
    p, psi = both(workers.sizes, *t.arrays, t.mean, demands, 0.05, 3.0, 1.0, 0.5, 2.0, 0.1, 1e3, 60)
    each = [workers.sized(*t.arrays, t.mean, x, 0.05, 3.0, 1.0, 0.5, 2.0 * x, 0.1, 1e3, 60) for x in demands]
    assert list(zip(p, psi, strict=True)) == each


@pytest.mark.parametrize("seed", SEEDS)
def test_pools_are_led_by_the_largest_demand_and_know_what_stands_there(seed):
    rng = dice(seed)
    n, nodes, instances = 7, 12, 9
    demand, near = rng.integers(0, 4, n) * 1.0, rng.random((n, n)) < 0.3
    by_name, domain = rng.permutation(n), rng.integers(0, n, nodes)
    at, asked, backlog = (rng.integers(0, most, instances) for most in (nodes, 4, 6))
    members, first, stands, of = both(groups.pools, demand, near, by_name, domain, at, asked, backlog)
    wanted: list[list[int]] = []
    order = sorted(range(n), key=lambda g: (-demand[g], by_name.tolist().index(g)))
    for g in order:
        if not any(g in pool for pool in wanted):
            free = [k for k in order if not any(k in pool for pool in wanted)]
            wanted.append([g, *(k for k in free if near[g, k] and k != g)])
    assert [members[a:b].tolist() for a, b in itertools.pairwise(first)] == wanted
    for k, pool in enumerate(wanted):
        own = [i for i in range(instances) if domain[at[i]] in pool]
        assert [i for i in range(instances) if of[i] == k] == own
        assert stands[k].tolist() == [
            sum(asked[i] for i in own),
            sum(max(0, backlog[i] - asked[i]) for i in own),
            len({domain[at[i]] for i in own}),
            len({at[i] for i in own}) < len(own),
        ]


def test_a_stage_begins_when_its_last_input_is_there():
    rng = dice(1)
    n, points = 6, 5
    delay, per_byte = rng.uniform(0, 0.02, (n, n)), rng.uniform(1e-9, 1e-8, (n, n))
    delay[0, 4] = np.inf
    senders, ends, seconds = np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([0.01, 0.0, 0.01])
    chosen = both(stages.nearest, delay, per_byte, senders, ends, 1e6, seconds)
    ways = (delay + 1e6 * per_byte)[np.ix_(senders, ends)] + seconds
    assert chosen.tolist() == ways.argmin(axis=1).tolist()
    begin, here = np.full((3, points), -np.inf), ends[chosen]
    sent = [rng.random((3, points)) for _ in range(2)]
    for x, size in zip(sent, (1e6, 2e6), strict=True):
        both(stages.reach, begin, x, senders, delay, here, per_byte, size)
    arrivals = [x + (delay + size * per_byte)[senders, here][:, None] for x, size in zip(sent, (1e6, 2e6), strict=True)]
    assert begin == pytest.approx(np.maximum(*arrivals))
    factors = rng.random(points)
    both(stages.serve, begin, 0.5, seconds, factors)
    assert begin == pytest.approx(np.maximum(*arrivals) + 0.5 + seconds[:, None] * factors)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_service_takes_is_not_free_for_the_next(seed):
    rng = dice(seed)
    n, requests, cpu_each, memory_each = 9, 12.0, 0.5, 0.25
    cpu, memory = rng.uniform(10, 20, n), rng.uniform(10, 20, n)
    before = cpu.copy(), memory.copy()
    at, there = rng.permutation(n)[:4], rng.permutation(n)[:3]
    wanted, now = rng.integers(1, 5, 4), rng.integers(1, 5, 3)
    flow = both(places.take, cpu, memory, at, wanted, there, now, requests, cpu_each, memory_each)
    had = dict(zip(there.tolist(), now.tolist(), strict=True))
    for v in range(n):
        w = dict(zip(at.tolist(), wanted.tolist(), strict=True)).get(v, 0)
        more = max(0, w - had.get(v, 0))
        assert flow[v] == pytest.approx(requests * w / wanted.sum())
        assert cpu[v] == pytest.approx(before[0][v] - more * cpu_each)
        assert memory[v] == pytest.approx(before[1][v] - more * memory_each)


def test_without_numba_the_same_runs_in_plain_python(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    loop = Compiled(places.fastest.plain, "void", ())
    loop.ready()
    chosen = np.zeros(3, dtype=bool)
    loop(chosen, np.ones(3, dtype=bool), np.zeros(3, int), np.array([0.3, 0.1, 0.2]), np.arange(3), 1, 2)
    assert chosen.tolist() == [False, True, True]
