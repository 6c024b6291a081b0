"""Jitter's laws against their closed forms and against SciPy; fixed seeds, confidence stated."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from testbed.world.live.links import jitter

NUMBER = 20_000


@pytest.mark.parametrize("law", jitter.LAWS)
def test_quantile_and_distribution_are_each_others_inverse(law: str) -> None:
    for u in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert jitter.distribution(law, jitter.quantile(law, u)) == pytest.approx(u)
    assert jitter.distribution(law, -50.0) == 0.0
    assert jitter.distribution(law, 50.0) == 1.0


@pytest.mark.parametrize("law", jitter.LAWS)
@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_draws_have_mean_zero_deviation_one_and_the_law(law: str, correlation: float) -> None:
    """Mean within four standard errors, widened for the correlation; Kolmogorov–Smirnov at 99.9 % on every 20th draw,
    which a correlation of 0.7 leaves all but independent (0.7^20 = 0.0008)."""
    draw = jitter.source(law, correlation, "11/x/ab/jitter")
    values = [draw() for _ in range(NUMBER)]
    widened = math.sqrt((1 + correlation) / (1 - correlation))
    assert statistics.mean(values) == pytest.approx(0.0, abs=4 * widened / math.sqrt(NUMBER))
    assert statistics.stdev(values) == pytest.approx(1.0, abs=0.04 * widened)
    apart = values[::20]
    found = stats.kstest(apart, np.vectorize(lambda x: jitter.distribution(law, x)))
    assert found.pvalue > 0.001


@pytest.mark.parametrize("law", jitter.LAWS)
def test_successive_draws_correlate_as_asked(law: str) -> None:
    """Of the ranks, Spearman's ρ of a Gaussian copula is 6/π asin(ρ/2) whatever the law."""
    draw = jitter.source(law, 0.7, "3/x/ab/jitter")
    values = [draw() for _ in range(NUMBER)]
    found = stats.spearmanr(values[:-1], values[1:]).statistic
    assert found == pytest.approx(6 / math.pi * math.asin(0.35), abs=0.03)


def test_a_seed_gives_the_same_draws_again() -> None:
    one, two, other = (jitter.source("pareto", 0.0, seed) for seed in ("a", "a", "b"))
    assert [one() for _ in range(5)] == [two() for _ in range(5)] != [other() for _ in range(5)]
