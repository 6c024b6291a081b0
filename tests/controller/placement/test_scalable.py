"""The path for large instances: its bound against brute force, its placements against every constraint."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import instance
from controller.model import Model
from controller.placement import (
    DIRECT,
    Infeasible,
    PlacementParameters,
    apart,
    place,
    program,
    relaxation,
    search,
    strength,
)
from controller.placement.solver import solve
from controller.placement.tables import Tables, tables
from tests.controller.instances import e12
from tests.controller.placement.oracle import optimum_without_traffic, violations

DEFAULTS = PlacementParameters()


def six_by_three(seed: int, load: float = 60.0) -> Model:
    """Six nodes of the widened reference, its first three core services and the types that need no other."""
    model, _ = instance(6, 5, seed)
    kept = {"vision", "llm", "audio"}
    light = {m.name for m in model.light}
    tasks = tuple(n for n in model.tasks if all(s.service in kept | light for s in n.stages))
    vision = replace(model.tasks[2], stages=model.tasks[2].stages[:2])
    return replace(model, core=tuple(m for m in model.core if m.name in kept), tasks=(*tasks, vision), load=load)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("backend", ["highs", "cbc", "scalable"])
def test_all_placements_of_six_nodes_and_three_services(seed: int, backend: str) -> None:
    model, parameters = six_by_three(seed), replace(DEFAULTS, beta_per_ms=0.0)
    best = optimum_without_traffic(model, parameters)
    found = place(model, parameters, backend)
    assert found.objective == pytest.approx(best, rel=1e-6)
    assert found.bound <= best * (1 + 1e-9)
    assert not violations(model, parameters, found.instances, found.flows)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(1, 10_000),
    clusters=st.integers(2, 4),
    load=st.floats(5.0, 150.0),
    beta=st.floats(0.0, 1.0),
    sigma=st.floats(0.0, 2.0),
)
def test_no_placement_breaks_a_constraint_and_no_bound_is_above_the_optimum(
    seed: int, clusters: int, load: float, beta: float, sigma: float
) -> None:
    model = replace(e12(seed, clusters), load=load)
    parameters = replace(DEFAULTS, beta_per_ms=beta, sigma=sigma)
    try:
        whole = place(model, parameters, "highs", gap=1e-4)
    except Infeasible:
        with pytest.raises(Infeasible):
            place(model, parameters, "scalable")
        return
    found = place(model, parameters, "scalable")
    for p in (whole, found):
        assert not violations(model, parameters, p.instances, p.flows)
        assert p.bound <= p.objective
        assert p.gap == pytest.approx((p.objective - p.bound) / p.objective)
    assert found.bound <= whole.objective * (1 + 1e-7)
    assert whole.bound <= found.objective * (1 + 1e-7)


def relaxed(model: Model, parameters: PlacementParameters) -> tuple[Tables, program.Costs, relaxation.Relaxation]:
    t = tables(model, parameters)
    folded = relaxation.folded(t, program.costs(t))
    return t, folded, relaxation.relax(t, folded)


def test_the_bound_of_prices_is_that_of_the_whole_relaxation() -> None:
    """Priced pair by pair it ends where the linear program on all pairs ends."""
    t, c, found = relaxed(*instance(48, 5, 3))
    whole = solve(relaxation.pieces(t, c, t.holds, found.covers).matrix(relaxed=True))
    assert found.bound == pytest.approx(whole.objective, rel=2e-5)
    assert found.bound <= whole.objective * (1 + 1e-9)


def test_any_prices_give_a_bound() -> None:
    model, parameters = e12(4), DEFAULTS
    t = tables(model, parameters)
    c = relaxation.folded(t, program.costs(t))
    p = relaxation.pieces(t, c, t.holds, [])
    optimum = place(model, parameters).objective
    rng = np.random.Generator(np.random.Philox(1))
    for _ in range(50):
        bound, _ = relaxation.lagrangian(p, rng.normal(0.0, 5.0, p.rows.count))
        assert bound <= optimum


def test_a_pair_that_is_ruled_out_is_in_no_better_placement() -> None:
    """Forcing one into the program costs at least the bound and its penalty, eq. (44)."""
    model = e12(5)
    t, c, found = relaxed(model, DEFAULTS)
    p = relaxation.pieces(t, c, t.holds, [])
    matrix = p.matrix()
    for m, v in ((0, 3), (1, 7), (4, 11), (2, 2)):
        lower = np.array(matrix.lower)
        lower[p.y_at[m, v]] = 1.0
        forced = solve(replace(matrix, lower=lower))
        assert found.bound + found.penalty[m, v] <= forced.objective + 1e-6


@pytest.mark.parametrize("seed", [6, 7, 8])
def test_services_apart_give_a_bound_that_is_no_worse(seed: int) -> None:
    model = e12(seed)
    t, c, found = relaxed(model, DEFAULTS)
    cut, services = apart.apart(t, c, found)
    optimum = place(model).objective
    assert found.bound <= cut.bound <= apart.sharper(cut, services) <= optimum * (1 + 1e-9)


def test_flow_covers_bring_the_bound_nearer() -> None:
    """Where a service has many instances and every ingress sees few of them, much of the gap is theirs."""
    t, c, found = relaxed(*instance(100, 5, 1))
    cut, services = apart.apart(t, c, found)
    assert all(x.flows for x in services)
    assert cut.bound >= found.bound * 1.002


def test_a_pair_that_is_ruled_out_with_flow_covers_is_in_no_better_placement() -> None:
    """Eq. (44) with the worth of pairs under the prices of (51)."""
    model = e12(5)
    t, c, found = relaxed(model, DEFAULTS)
    cut, _ = apart.apart(t, c, found)
    p = relaxation.pieces(t, c, t.holds, [])
    matrix = p.matrix()
    for m, v in zip(*np.nonzero(cut.penalty > 0.5 * t.price), strict=True):
        lower = np.array(matrix.lower)
        lower[p.y_at[m, v]] = 1.0
        assert cut.bound + cut.penalty[m, v] <= solve(replace(matrix, lower=lower)).objective + 1e-6


def test_searching_never_loses_what_it_began_with() -> None:
    t, c, found = relaxed(*instance(24, 5, 2))
    cut, services = apart.apart(t, c, found)
    y = search.rounded(t, c, cut)
    assert y is not None
    first = search.served(t, c, y)
    more = search.mended(t, c, first)
    flows = apart.together(services)
    last = search.improved(t, c, cut, flows, more)
    assert last.value <= more.value <= first.value
    assert search.served(t, c, last.y).value == pytest.approx(last.value, rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_strengthening_cuts_the_optimum_off(seed: int) -> None:
    """Eq. (38) to (40) leave the optimum where it is, with every cover there is."""
    t = tables(e12(seed), DEFAULTS)
    c = program.costs(t)
    p = program.assemble(t, c, program.everything(t, c))
    plain = solve(p.matrix()).objective
    strength.carried(p)
    strength.count(p)
    strength.covers(p, strength.violated(t, np.ones(t.holds.shape)))
    strong = solve(p.matrix())
    assert strong.objective == pytest.approx(plain, rel=1e-6)


def test_a_cover_is_what_does_not_fit() -> None:
    t = tables(e12(1), DEFAULTS)
    for v, services, most in strength.violated(t, np.ones(t.holds.shape)):
        smallest = np.sort(t.need[:, services], axis=1)[:, : most + 1].sum(axis=1)
        assert (smallest > t.room[:, v]).any()


def test_the_same_instance_gives_the_same_placement_and_bound() -> None:
    model, parameters = instance(20, 5, 1)
    assert place(model, parameters, "scalable") == place(model, parameters, "scalable")


def test_large_instances_take_the_scalable_path() -> None:
    model, parameters = instance(40, 5, 1)
    t = tables(model, parameters)
    size = program.everything(t, program.costs(t))
    assert sum(int(mask.sum()) for mask in (size.y, size.z, size.w)) > DIRECT
    found = place(model, parameters)
    assert found.status in ("optimal", "feasible")
    assert math.isfinite(found.bound)
    assert found.gap <= 0.02
    assert not violations(model, parameters, found.instances, found.flows)


def test_what_does_not_fit_is_said_at_any_size() -> None:
    model, parameters = instance(40, 5, 1)
    crowded = replace(model, core=tuple(replace(m, memory=47e9) for m in model.core))
    with pytest.raises(Infeasible, match=r"GB memory too little"):
        place(replace(crowded, nodes=crowded.nodes[:36], load=5.0), parameters, "scalable")
