"""Effective capacity against closed forms: exponential, deterministic and Gamma service, Erlang's tables."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.light import law as laws
from controller.light.capacity import Table, erlang_b, erlang_c, exponent, table, violation, violations
from controller.model import Law

EXPONENTIAL = Law("exponential")
FINE = 200_000


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.8, 0.95])
def test_exponential_service_has_exponent_one_minus_rho(rho: float) -> None:
    """M/M/1: E[e^{uX}] = 1/(1 − u), so u* = 1 − ρ. The points stop at a finite quantile, so a little above."""
    assert exponent(laws.points(EXPONENTIAL, FINE), rho) == pytest.approx(1 - rho, rel=0.02)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.9])
def test_deterministic_service_solves_the_md1_equation(rho: float) -> None:
    """M/D/1: ρ (e^u − 1) = u."""
    u = exponent([0.03] * 10, rho)
    assert rho * math.expm1(u) == pytest.approx(u, rel=1e-9)


def test_md1_exponent_at_one_half_is_the_known_root() -> None:
    """e^u = 1 + 2u has the root 1.25643 (the −1 branch of Lambert's W)."""
    assert exponent([1.0], 0.5) == pytest.approx(1.2564312086, rel=1e-9)


def test_exponent_satisfies_effective_bandwidth_equals_effective_capacity() -> None:
    """The same u from the other side: θ = ln E[e^{uX}], E_C = u/θ, E_B = λ (e^θ − 1)/θ: E_B = E_C."""
    x = np.array(laws.points(Law("gamma", shape=2.0), 1000))
    x /= x.mean()
    u = exponent(x.tolist(), 0.6)
    theta = math.log(np.exp(u * x).mean())
    assert 0.6 * math.expm1(theta) / theta == pytest.approx(u / theta, rel=1e-9)


@pytest.mark.parametrize("kind", ["deterministic", "uniform", "exponential", "lognormal", "gamma"])
def test_the_table_agrees_with_the_root(kind: str) -> None:
    law = Law(kind, spread=0.5, shape=2.0, cv=0.7)
    x = laws.points(law, 1000)
    t = table((), law, 0.05)
    for rho in (0.1, 0.3, 0.6, 0.9, 0.97):
        assert t.exponent(rho) == pytest.approx(exponent(x, rho), rel=0.01)


@pytest.mark.parametrize(
    ("p", "a", "c"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541127), (10, 8.0, 0.4091802)]
)
def test_erlang_c_known_values(p: int, a: float, c: float) -> None:
    """C(1, ρ) = ρ; C(2, 1) = 1/3 and C(3, 2) = 4/9 by hand; the others by summing the series below."""
    top = a**p / math.factorial(p) * p / (p - a)
    series = top / (sum(a**k / math.factorial(k) for k in range(p)) + top)
    assert series == pytest.approx(c, rel=1e-6)
    assert erlang_c(p, a) == pytest.approx(c, rel=1e-6)


def test_erlang_is_finite_where_floats_are_not() -> None:
    """B(p, 1) = 1/p!/e but for the sum's tail: 0 below the smallest float; large loads do not overflow."""
    assert math.log(erlang_b(150, 1.0)) == pytest.approx(-math.lgamma(151) - 1.0, rel=1e-12)
    assert erlang_b(2000, 1.0) == 0.0 and erlang_c(2000, 1.0) == 0.0
    assert erlang_c(2000, 1900.0) == pytest.approx(0.0, abs=0.2)
    assert erlang_c(5, 5.0) == 1.0 and erlang_c(5, 0.0) == 0.0


@pytest.mark.parametrize(("p", "demand", "w"), [(1, 8.0, 0.2), (2, 15.0, 0.1), (4, 30.0, 0.05)])
def test_violation_of_an_mmc_queue_is_its_exact_tail(p: int, demand: float, w: float) -> None:
    """M/M/c: P(W > w) = C(c, a) e^{−(c μ − λ) w}, and p u*(a/p)/x̄ = (c − a)/x̄ = c μ − λ with u* = 1 − ρ."""
    rho = tuple(np.linspace(0.01, 1.0, 200).tolist())
    exact = Table(0.1, 1.0, 0, rho, tuple(1 - r for r in rho))
    tail = erlang_c(p, demand * 0.1) * math.exp(-(p / 0.1 - demand) * w)
    assert violation(p, demand, w, exact) == pytest.approx(tail, rel=1e-9)


def test_violation_by_hand() -> None:
    """M/M/2, λ = 10/s, μ = 10/s each, w = 0.1 s: C = 1/3, decay 2·10 − 10 = 10/s: e^{−1}/3 = 0.12263."""
    t = table((), EXPONENTIAL, 0.1, wanted=100_000, z=0.0)
    assert violation(2, 10.0, 0.1, t) == pytest.approx(math.exp(-1) / 3, rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["deterministic", "uniform", "exponential", "lognormal", "gamma"]),
    st.floats(0.5, 80.0),
    st.floats(0.0, 0.3),
)
def test_more_workers_or_more_budget_never_violate_more(kind: str, demand: float, w: float) -> None:
    t = table((), Law(kind, spread=0.3, shape=2.0, cv=0.8), 0.05)
    psi = violations(demand, w, t, 20)
    assert all(0.0 <= x <= 1.0 for x in psi)
    assert all(a >= b - 1e-12 for a, b in pairwise(psi))
    assert all(a >= b - 1e-12 for a, b in zip(psi, violations(demand, w + 0.05, t, 20), strict=True))
    assert all(a <= b + 1e-12 for a, b in zip(psi, violations(demand * 1.1, w, t, 20), strict=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=50), st.floats(0.05, 0.95))
def test_the_exponent_falls_with_the_utilisation(samples: list[float], rho: float) -> None:
    assert exponent(samples, rho) >= exponent(samples, min(0.99, rho + 0.04)) >= 0.0


def test_the_mean_is_inflated_and_the_prior_fades() -> None:
    """No sample: the prior's mean; many: the measured one; in between the bound shrinks like 1/√n."""
    law = Law("exponential")
    none, few = table((), law, 0.05), table([0.1] * 20, law, 0.05)
    many = table([0.1] * 1000, law, 0.05)
    assert none.mean == pytest.approx(0.05 * (1 + 1.645 * none.cv / 10), rel=1e-9)
    assert 0.05 < few.mean < 0.1
    assert many.mean == pytest.approx((100 + 5) / 1100, rel=1e-9) and many.cv == pytest.approx(0.0, abs=1e-9)
    assert (none.n, few.n, many.n) == (0, 20, 1000)


@pytest.mark.parametrize(
    ("law", "mean"),
    [
        (Law(), 1.0), (Law("uniform", spread=0.4), 1.0), (Law("exponential"), 1.0), (Law("lognormal", cv=0.8), 1.0),
        (Law("gamma", shape=3.0, floor=1e-9), 1.5),  # E[1/f] = k/(k − 1)
    ],
)  # fmt: skip
def test_law_means(law: Law, mean: float) -> None:
    assert laws.mean(law) == pytest.approx(mean, rel=0.01)


def test_gamma_mean_with_the_floor_is_the_closed_form() -> None:
    """E[1/max(f, c)] = P(k, kc)/c + k/(k−1) · (1 − P(k−1, kc)), f ~ Gamma(k, 1/k); k = 2, c = 0.1."""
    p2 = 1 - math.exp(-0.2) * 1.2
    expected = p2 / 0.1 + 2.0 * math.exp(-0.2)
    assert laws.mean(Law("gamma", shape=2.0, floor=0.1)) == pytest.approx(expected, rel=1e-3)


def test_gamma_distribution_function_and_quantiles() -> None:
    """Shape 1: 1 − e^{−x}; shape 2: 1 − (1 + x) e^{−x}; quantiles invert them."""
    x = np.array([0.1, 1.0, 5.0, 20.0])
    assert laws.gamma_cdf(1.0, x) == pytest.approx(1 - np.exp(-x), rel=1e-12)
    assert laws.gamma_cdf(2.0, x) == pytest.approx(1 - (1 + x) * np.exp(-x), rel=1e-12)
    q = np.array([0.001, 0.5, 0.999])
    assert laws.gamma_cdf(2.5, laws.gamma_quantiles(2.5, q)) == pytest.approx(q, rel=1e-9)


def test_an_unknown_law_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no kind 'pareto'; allowed: deterministic, uniform"):
        laws.points(Law("pareto"))
