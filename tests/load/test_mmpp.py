"""The moments of MMPP arrivals against their closed forms, at 99.9 % with fixed seeds.

With rates λ₁, λ₂ left at σ₁, σ₂ per second and a stationary start, counts N(t) over [0, t] have mean λ̄ t and, with
s = σ₁ + σ₂, an index of dispersion (Heffes and Lucantoni 1986)

    Var N / E N = 1 + 2 σ₁ σ₂ (λ₁ − λ₂)² / (s² (λ₁ σ₂ + λ₂ σ₁)) · (1 − (1 − e^{−s t}) / (s t))

N given the path of the intensity is Poisson with mean Λ = ∫λ, so the second term is Var Λ / E Λ.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from testbed.load.shapes import intensities
from testbed.load.tasks import TaskSource
from testbed.scenario.model import Arrivals, Mmpp
from tests.load.builders import model

SEEDS = 4000
NORMAL = 3.291  # two-sided 99.9 %
RATE = 20.0


def closed_form(p: Mmpp, rate: float, t: float) -> tuple[float, float]:
    """(mean, index of dispersion) of counts over [0, t]."""
    one, two, leave_one, leave_two = rate * p.low, rate * p.high, 1 / p.mean_low, 1 / p.mean_high
    s = leave_one + leave_two
    weighted = one * leave_two + two * leave_one
    part = 1.0 - (1.0 - math.exp(-s * t)) / (s * t)
    return weighted / s * t, 1.0 + 2 * leave_one * leave_two * (one - two) ** 2 / (s**2 * weighted) * part


@pytest.mark.parametrize(
    "p", [Mmpp(), Mmpp(low=0.2, high=3.0, mean_low="1 s", mean_high="500 ms")], ids=["reference", "bursty"]
)
@pytest.mark.parametrize("t", [0.5, 5.0, 40.0])
def test_mean_and_dispersion_of_the_intensity(p: Mmpp, t: float) -> None:
    arrivals = Arrivals(law="mmpp", rate="20 /s", mmpp=p)
    area = np.array([intensities(arrivals, 1.0, {"gw": 1.0}, t, seed)["gw"].integral(t) for seed in range(SEEDS)])
    mean, dispersion = closed_form(p, RATE, t)
    assert abs(area.mean() - mean) <= NORMAL * area.std() / math.sqrt(SEEDS)
    deviations = (area - area.mean()) ** 2
    variance, error = deviations.mean(), deviations.std() / math.sqrt(SEEDS)
    assert abs(variance / mean - (dispersion - 1.0)) <= NORMAL * error / mean
    assert NORMAL * error <= 0.2 * variance  # or it would say nothing


def test_counts_given_the_intensity_are_poisson() -> None:
    """(N − Λ)² / Λ has mean 1, and N − Λ mean 0; over 1,500 seeds of the tasks themselves."""
    found, t = [], 6.0
    weights = {"gw1": 0.5, "gw2": 0.5}
    for seed in range(1500):
        shapes = intensities(Arrivals(law="mmpp", rate="20 /s"), 1.0, weights, t, seed)
        source = TaskSource(model(), weights, seed, t, shapes)
        batch = source.until(t)
        for k, name in enumerate(weights):
            area = shapes[name].integral(t)
            found.append((float(np.count_nonzero(batch.ingress == k)) - area) / math.sqrt(area))
    z = np.array(found)
    assert abs(z.mean()) <= NORMAL / math.sqrt(len(z))
    assert abs((z**2).mean() - 1.0) <= NORMAL * (z**2).std() / math.sqrt(len(z))


def test_the_counts_of_the_two_ingresses_are_independent() -> None:
    """Their phases are drawn apart: no correlation of their intensities."""
    weights = {"gw1": 0.5, "gw2": 0.5}
    pairs = []
    for seed in range(SEEDS):
        shapes = intensities(Arrivals(law="mmpp", rate="20 /s"), 1.0, weights, 4.0, seed)
        pairs.append([shapes[name].integral(4.0) for name in weights])
    correlation = float(np.corrcoef(np.array(pairs).T)[0, 1])
    assert abs(correlation) <= NORMAL / math.sqrt(SEEDS)
