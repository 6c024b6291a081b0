"""Virtual queues keep the violation rate at ε; sizing is the argmin it says it is; budgets by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.light import budget, queues
from controller.light.capacity import table, violations
from controller.light.sizing import PENALTY, by_mean_rate, sizes
from controller.model import Access, Costs, Ingress, Input, Law, Light, Model, Node, Paths, Stage, TaskType
from tests.controller.light.slotsim import PLACED, metro

GAMMA = table((), Law("gamma", shape=2.0), 0.06)
COSTS = Costs(4, 1, 0.5)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=100), st.floats(0.01, 0.5))
def test_the_violation_rate_exceeds_epsilon_by_no_more_than_the_queue_over_n(rows: list, epsilon: float) -> None:
    """Z ≥ Σ violations − ε Σ n always: so a stable queue means the rate is kept."""
    z, bad, all_ = 0.0, 0, 0
    for a, b in rows:
        violations_, n = min(a, b), max(a, b)
        z, bad, all_ = queues.advance(z, violations_, n, epsilon), bad + violations_, all_ + n
        assert z >= 0.0
    assert bad - epsilon * all_ <= z + 1e-9


def test_a_queue_is_stable_below_epsilon_and_grows_above() -> None:
    low = high = 0.0
    for _ in range(1000):
        low, high = queues.advance(low, 8, 100, 0.1), queues.advance(high, 12, 100, 0.1)
    assert low == 0.0 and high == pytest.approx(2000.0)
    assert queues.violated((0.1, 0.2, 0.3), 0.2) == 1


def test_the_adapted_target_moves_between_epsilon_and_six_times_it() -> None:
    relaxed = 0.1
    for _ in range(50):
        relaxed = queues.adapt(relaxed, 0.01, 0.1)
    assert relaxed == pytest.approx(0.6)
    assert queues.adapt(relaxed, 0.07, 0.1) == relaxed, "between ε/2 and ε it rests"
    for _ in range(50):
        relaxed = queues.adapt(relaxed, 0.2, 0.1)
    assert relaxed == pytest.approx(0.1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 150.0), st.floats(0.01, 0.4), st.floats(0.0, 30.0), st.floats(0.05, 0.6))
def test_sizing_is_the_argmin_by_brute_force(demand: float, w: float, z: float, relaxed: float) -> None:
    psi = violations(demand, w, GAMMA, 400)
    value = {
        p: (1 if p == 1 else 2) + 0.5 * p + (1 + z) * demand * s + PENALTY * max(0.0, s - relaxed)
        for p, s in enumerate(psi, 1)
        if s < 1.0
    }
    alone, *several = sizes(GAMMA, np.array([demand, 0.0, demand]), w, COSTS, z, relaxed, 400)
    assert value[alone[0]] == pytest.approx(min(value.values()))
    assert alone[1] == pytest.approx(psi[alone[0] - 1])
    assert several == [(1, 0.0), alone], "each demand by itself"


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 100.0), st.floats(0.02, 0.3))
def test_more_demand_a_longer_queue_or_a_tighter_target_never_take_workers_away(demand: float, w: float) -> None:
    (p, _), (more, _) = sizes(GAMMA, np.array([demand, demand * 1.3]), w, COSTS, 0.0, 0.3, 200)
    assert more >= p
    assert sizes(GAMMA, np.array([demand]), w, COSTS, 20.0, 0.3, 200)[0][0] >= p
    assert sizes(GAMMA, np.array([demand]), w, COSTS, 0.0, 0.1, 200)[0][0] >= p


def test_without_room_sizing_takes_all_there_is() -> None:
    assert sizes(GAMMA, np.array([100.0]), 0.05, COSTS, 0.0, 0.1, 4) == [(4, 1.0)]


def test_by_mean_rate_carries_the_demand_at_the_utilisation_and_no_better() -> None:
    found = by_mean_rate(GAMMA, np.array([0.0, 7.0 / GAMMA.mean, 100.0 / GAMMA.mean]), 0.7, 20)
    assert found == [(1, 0.0), (10, 0.0), (20, 0.0)]


def one_stage(deadline: float) -> Model:
    """One light service on one node next to the gateway: 1 MB over 80 Mbit/s access, 5 ms path each way, no draw."""
    path = Paths({("gw", "n"): 0.005, ("n", "gw"): 0.005}, {("gw", "n"): 0.0, ("n", "gw"): 0.0})
    m = Light("m", 0.1, 1, 1e9, 0.5, COSTS, Law("deterministic"))
    task = TaskType("t", 1.0, deadline, 0.1, (Stage("m", "m", (Input("ingress", 1e6),)),), 0.0)
    return Model((Node("n", "g", 8, 64e9),), (Ingress("gw", "g", 1.0),), (), (m,), (task,), path, Access(80e6), 5.0)


def test_a_budget_by_hand() -> None:
    """T0 = 100 + 5 + 100 + 5 = 210 ms. D = 310: 0.6 · 100 = 60 ms; D = 230: 12 ms, so the least, 0.4 · 100 ms."""
    for deadline, w in ((0.310, 0.060), (0.230, 0.040)):
        model = one_stage(deadline)
        found = budget.budgets(model, model.paths, {"m": 0.1}, {"m": ["n"]}, {})
        assert found["m"] == pytest.approx(w)


def test_core_waits_are_allen_cunneen() -> None:
    """vision: two instances of 2 streams at speed 1.3, 40 ms: p = 4; deterministic but for ± 5 %."""
    waits = budget.core_waits(metro(), {"vision": 65.0}, PLACED.instances)
    a = 65.0 * 0.04 / 1.3
    c = budget.erlang_c(4, a)
    assert waits["vision"] == pytest.approx(c * 0.04 / 1.3 / (4 - a) * (1 + 0.05**2 / 3) / 2, rel=1e-4)
    saturated = budget.core_waits(metro(), {"vision": 1e6}, PLACED.instances)["vision"]
    assert waits["vision"] < saturated < 1.0, "finite however large the load"


def test_the_lattice_is_deterministic_and_even() -> None:
    """Mean and quartile of every coordinate within 1 % of uniform's; E[xy] = 1/4 for any two."""
    points = budget.lattice(512, 7)
    assert np.array_equal(points, budget.lattice(512, 7)) and points.shape == (512, 7)
    assert np.abs(points.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs((points < 0.25).mean(axis=0) - 0.25).max() < 0.01
    assert abs(float((points[:, 0] * points[:, 1]).mean()) - 0.25) < 0.01


def test_the_quantile_of_a_budget_is_that_of_numpy() -> None:
    rows = np.random.Generator(np.random.Philox(1)).gamma(2.0, 0.1, (7, budget.POINTS))
    assert budget._quantile(rows) == pytest.approx(np.quantile(rows, budget.QUANTILE, axis=1), rel=1e-15)
