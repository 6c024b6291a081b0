"""The program against brute force, and every constraint where it binds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model import INGRESS, Core, Costs, Ingress, Model, Node, TaskType
from controller.placement import METHODS, Infeasible, PlacementParameters, place
from controller.placement import program as constraints
from controller.placement.program import CONSTRAINTS, Program, build
from controller.placement.solver import solve
from tests.controller.instances import GB, MILLI, dag, e12, full_mesh, small
from tests.controller.placement.oracle import ALL, optimum

DEFAULTS = PlacementParameters()


def one_service(nodes: tuple[Node, ...], load: float, work_ms: float = 40.0) -> Model:
    """One core service on nodes of the west and others, one ingress per domain, all 10 ms apart."""
    domains = tuple(dict.fromkeys(v.domain for v in nodes))
    ingresses = tuple(Ingress(f"gw-{g}", g, 1 / len(domains)) for g in domains)
    trunks = {frozenset((g, h)): 10 * MILLI for g in domains for h in domains if g != h}
    return replace(
        small(),
        nodes=nodes,
        ingresses=ingresses,
        core=(Core("vision", work_ms * MILLI, 4, 8 * GB, 2, 2, Costs(20, 4)),),
        tasks=(TaskType("look", 1.0, 0.3, 0.1, dag({"vision": {INGRESS: 0.5}}), 1e5),),
        paths=full_mesh(nodes, ingresses, trunks, 1 * MILLI, 1e9, 1e10),
        load=load,
    )


def nodes(**domain: str) -> tuple[Node, ...]:
    return tuple(Node(name, g, 16, 24 * GB) for name, g in domain.items())


@pytest.mark.parametrize("backend", METHODS)
@pytest.mark.parametrize(
    "changed",
    [{}, {"plan_load": 10.0}, {"plan_load": 1.0}, {"beta_per_ms": 2.0}, {"sigma": 2.0}, {"r": 1}],
    ids=str,
)
def test_the_optimum_is_that_of_brute_force(changed: dict[str, float], backend: str) -> None:
    parameters = replace(DEFAULTS, **changed)
    found = place(small(), parameters, backend)
    assert found.status == "optimal" or backend == "scalable"  # which leaves out w, and may not close the last gap
    assert found.bound <= found.objective
    assert found.objective == pytest.approx(optimum(small(), parameters), rel=1e-6)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """small() with other sizes, prices, speeds, weights and load."""
    model = small()
    factor = st.floats(0.5, 2.0)
    weight = draw(st.floats(0.05, 0.95))
    return replace(
        model,
        nodes=tuple(
            replace(v, speed=v.speed * draw(factor), price=v.price * draw(factor), memory=draw(st.integers(8, 40)) * GB)
            if v.name == "n2"
            else replace(v, speed=v.speed * draw(factor), price=v.price * draw(factor))
            for v in model.nodes
        ),
        ingresses=(replace(model.ingresses[0], weight=weight), replace(model.ingresses[1], weight=1 - weight)),
        core=tuple(replace(m, work=m.work * draw(factor)) for m in model.core),
        load=draw(st.floats(1.0, 80.0)),
    )


@settings(max_examples=25, deadline=None)
@given(model=models(), beta=st.floats(0.0, 2.0))
def test_any_small_instance_is_solved_to_the_optimum_of_brute_force_or_has_none(model: Model, beta: float) -> None:
    parameters = replace(DEFAULTS, beta_per_ms=beta)
    best = optimum(model, parameters)
    if math.isinf(best):
        with pytest.raises(Infeasible, match=r"too (few|little)"):
            place(model, parameters)
        return
    found = place(model, parameters)
    assert found.objective == pytest.approx(best, rel=1e-6)
    assert found.bound <= found.objective
    for m in model.core:
        for o in model.ingresses:
            carried = sum(found.flows.get((m.name, o.name, v.name), 0.0) for v in model.nodes)
            assert carried <= 1 + 1e-6
        lost = 1 - sum(
            o.weight * found.flows.get((m.name, o.name, v.name), 0.0) for o in model.ingresses for v in model.nodes
        )
        assert found.unserved.get(m.name, 0.0) == pytest.approx(lost, abs=1e-4)


def solved_without(model: Model, parameters: PlacementParameters, dropped: Callable[[Program], None] | None) -> float:
    program = build(model, parameters, [c for c in CONSTRAINTS if c is not dropped])
    return solve(program.matrix()).objective


def dear(v: Node) -> Node:
    return replace(v, price=20.0)


#: name → an instance and parameters where the constraint keeps the optimum from a cheaper placement.
BINDING: dict[str, tuple[Model, PlacementParameters]] = {
    "capacity": (small(), replace(DEFAULTS, plan_load=10.0)),
    "resources": (small(), replace(DEFAULTS, alpha=1.0)),
    # one domain, so that diversity asks for one instance only: r = 2 is what makes it two
    "sparsity": (one_service(nodes(a="west", b="west"), load=1.0), replace(DEFAULTS, sigma=0.0)),
    # both instances would stand in the west, were the dear east not asked for
    "diversity": (
        one_service((*nodes(a="west", b="west"), dear(nodes(c="east")[0])), load=1.0),
        replace(DEFAULTS, alpha=1.0),
    ),
    "survival": (small(), replace(DEFAULTS, sigma=2.0)),
    "flows": (small(), replace(DEFAULTS, beta_per_ms=2.0)),
}


@pytest.mark.parametrize("name", BINDING)
def test_each_constraint_binds_somewhere(name: str) -> None:
    model, parameters = BINDING[name]
    whole = solved_without(model, parameters, None)
    without = solved_without(model, parameters, getattr(constraints, name))
    assert without < whole - 1e-3
    assert whole == pytest.approx(optimum(model, parameters), rel=1e-6)
    assert without == pytest.approx(optimum(model, parameters, ALL - {name}), rel=1e-6)


def test_coverage_makes_demand_count() -> None:
    assert solved_without(small(), DEFAULTS, constraints.coverage) < solved_without(small(), DEFAULTS, None) - 1


def test_the_upper_side_of_sparsity_binds() -> None:
    """Delay so dear that every domain would have an instance; N_m = r + 1 = 3 allows three of the five."""
    model = one_service(nodes(a="a", b="b", c="c", d="d", e="e"), load=1.0)
    parameters = replace(DEFAULTS, alpha=4000.0)
    assert len(place(model, parameters).instances["vision"]) == 3
    program = build(model, parameters, [c for c in CONSTRAINTS if c is not constraints.sparsity])
    assert solve(program.matrix()).values[program.y].sum() == pytest.approx(5)


def test_diversity_spreads_over_domains_and_only_then() -> None:
    model, parameters = BINDING["diversity"]
    assert place(model, parameters).instances["vision"] in (("a", "c"), ("b", "c"))
    assert place(model, replace(parameters, r=1)).instances["vision"] == ("a", "b")  # N−1 asks for two, any two


def test_after_the_loss_of_any_node_the_nominal_load_is_carried() -> None:
    """cap = 0.75 · 2 / 0.04 = 37.5 requests/s a node; 60/s survive one crash on three nodes, not on two."""
    model = one_service(nodes(a="a", b="b", c="a", d="b"), load=60.0)
    assert len(place(model, replace(DEFAULTS, plan_load=1.0)).instances["vision"]) == 3
    assert len(place(model, replace(DEFAULTS, plan_load=1.0, sigma=0.5)).instances["vision"]) == 2


def test_capacity_is_rho_of_the_streams_and_the_rest_is_unserved() -> None:
    """Two nodes carry 75 requests/s; of 100 planned a quarter has nobody."""
    model = one_service(nodes(a="a", b="b"), load=100 / 3)
    found = place(model)
    assert found.unserved == pytest.approx({"vision": 0.25})
    assert "vision: 25.0% of its planned demand is left unserved" in found.explanation


def test_the_constant_is_part_of_objective_and_bound() -> None:
    """An instance by hand: one node, one ingress. Price 4.2, and α (1 − q) with q = 1 − L/d by eq. (8), (9)."""
    model = one_service(nodes(a="a"), load=10.0)
    found = place(model, replace(DEFAULTS, plan_load=1.0))
    late, limit = 0.001 + 8 * 0.5e6 / 1e9 + 1.05 * 0.040, 0.3 - 4 / 150
    assert found.objective == pytest.approx(4.2 + 40 * late / limit)
    assert (found.bound, found.gap, found.status) == (pytest.approx(found.objective), pytest.approx(0), "optimal")


def test_the_reference_scenario_is_solved_to_optimality_within_few_nodes() -> None:
    model = e12(6)
    found = place(model, nodes=200)
    assert found.status == "optimal"
    assert place(model, backend="cbc").objective == pytest.approx(found.objective, rel=1e-6)
    domain = {v.name: v.domain for v in model.nodes}
    for hosts in found.instances.values():
        assert len({domain[v] for v in hosts}) >= 2
    for v in model.nodes:
        held = [m for m in model.core if v.name in found.instances[m.name]]
        assert sum(m.cpu for m in held) <= 0.6 * v.cpu + 1e-9
        assert sum(m.memory for m in held) <= v.memory
