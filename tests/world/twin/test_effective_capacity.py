"""Eq. (20), which sizes the light services, against simulated waits: M/G/c with the laws that scenarios have.

What is asserted, at 99.9 % over independent replications (replications.py): for one worker the exponential alone is a
bound (Kingman); for exponential services (20) is exact; for others it is an estimate, held to a factor.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from controller.light import law as laws
from controller.light.capacity import erlang_c, exponent
from controller.model import Law
from tests.world.twin.replications import Floats, agrees, interval, queue, waits

LAWS = {
    "gamma 2": Law("gamma", shape=2.0),
    "gamma 3": Law("gamma", shape=3.0),
    "lognormal 0.5": Law("lognormal", cv=0.5),
    "uniform": Law("uniform", spread=0.5),
}


def points(law: Law) -> Floats:
    """The factor on the work, normalised to mean 1, as the sizing has it."""
    x = np.array(laws.points(law, 4000))
    found: Floats = x / x.mean()
    return found


def tails(law: Law, c: int, rho: float, at: list[float]) -> tuple[Floats, Floats]:
    """(P(W > w), half-width) in units of the mean service time."""
    x = points(law)

    def measure(seed: int) -> Floats:
        w = waits(queue(seed, c * rho, [c], lambda rng, shape: rng.choice(x, shape)))
        return np.array([(w > t).mean() for t in at])

    return interval(measure)


@pytest.mark.parametrize("name", LAWS)
def test_for_one_worker_the_exponential_is_a_bound(name: str) -> None:
    rho, at = 0.6, [0.5, 1.0, 2.0, 4.0]
    mean, half = tails(LAWS[name], 1, rho, at)
    bound = np.exp(-exponent(points(LAWS[name]), rho) * np.array(at))
    assert np.all(mean - half <= bound)


@pytest.mark.parametrize("c", [1, 4])
def test_for_exponential_services_it_is_exact(c: int) -> None:
    rho, at = 0.7, [0.0, 0.3, 0.8]
    decay = c * (1.0 - rho)  # u* = 1 − ρ
    exact = [erlang_c(c, c * rho) * math.exp(-decay * t) for t in at]

    def measure(seed: int) -> Floats:
        w = waits(queue(seed, c * rho, [c], lambda rng, shape: rng.exponential(1.0, shape)))
        return np.array([(w > t).mean() for t in at])

    agrees(measure, exact, narrow=0.35)


@pytest.mark.parametrize("name", ["gamma 2", "uniform", "lognormal 0.5"])
@pytest.mark.parametrize("c", [2, 5])
def test_for_several_workers_it_is_right_within_a_factor_of_two_where_it_is_used(name: str, c: int) -> None:
    """At waits whose probability is around ε = 0.1, the target of the sizing."""
    rho = 0.7
    u, prefactor = exponent(points(LAWS[name]), rho), erlang_c(c, c * rho)
    at = [math.log(prefactor / p) / (c * u) for p in (0.2, 0.1, 0.05) if p < prefactor]
    mean, half = tails(LAWS[name], c, rho, at)
    psi = prefactor * np.exp(-c * u * np.array(at))
    assert np.all(mean - half <= 2.0 * psi) and np.all(mean + half >= psi / 2.0), f"{mean} ± {half}, ψ = {psi}"
