"""What jitter looks like: the three laws, standardised to mean 0 and deviation 1, as quantiles and as distributions.

    normal    N(0, 1), cut at four deviations
    uniform   on [−√3, √3]
    pareto    Pareto with α = 3 between its least value and ten times that: most frames a little early, few very late

Both backends draw from these, so a law means the same in userspace and in the kernel. Correlation ρ is that of a
Gaussian sequence g_t = ρ g_{t−1} + √(1 − ρ²) N(0, 1) of which Φ(g_t) is the quantile: the law itself stays exact.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from statistics import NormalDist

LAWS = ("normal", "uniform", "pareto")
CUT = 4.0  # deviations of a normal law
_ALPHA, _MOST = 3.0, 10.0  # Pareto's exponent and its largest value over its least
_SPREAD = math.sqrt(3.0)
_NORMAL = NormalDist()


def _pareto_moments() -> tuple[float, float, float]:
    """Share of the untruncated law kept, mean and deviation of the truncated one with least value 1."""
    kept = 1 - _MOST**-_ALPHA
    first, second = ((_ALPHA / (_ALPHA - k)) * (1 - _MOST ** (k - _ALPHA)) / kept for k in (1, 2))
    return kept, first, math.sqrt(second - first**2)


_KEPT, _MEAN, _DEVIATION = _pareto_moments()


def quantile(law: str, u: float) -> float:
    """The value that a share `u` of all draws stays below, in deviations; 0 < u < 1."""
    if law == "uniform":
        return _SPREAD * (2 * u - 1)
    if law == "pareto":
        return ((1 - u * _KEPT) ** (-1 / _ALPHA) - _MEAN) / _DEVIATION
    return min(CUT, max(-CUT, _NORMAL.inv_cdf(u)))


def distribution(law: str, x: float) -> float:
    """The share of draws below `x` deviations."""
    if law == "uniform":
        return min(1.0, max(0.0, (x / _SPREAD + 1) / 2))
    if law == "pareto":
        value = min(_MOST, max(1.0, x * _DEVIATION + _MEAN))
        return (1 - value**-_ALPHA) / _KEPT
    return _NORMAL.cdf(x) if abs(x) < CUT else float(x > 0)


@functools.cache
def mean_difference(law: str) -> float:
    """Of two draws, in deviations: 2 ∫ (2u − 1) Q(u) du, by the midpoints of 20,000 steps."""
    steps = 20_000
    middles = ((i + 0.5) / steps for i in range(steps))
    return sum((2 * u - 1) * quantile(law, u) for u in middles) * 2 / steps


def source(law: str, correlation: float, seed: str) -> Callable[[], float]:
    """Draws, in deviations, from a stream of their own."""
    draw = random.Random(seed)
    if correlation == 0.0 and law == "normal":
        gauss = draw.gauss
        return lambda: min(CUT, max(-CUT, gauss(0.0, 1.0)))
    if correlation == 0.0:
        uniform = draw.random
        return lambda: quantile(law, uniform())
    return _Correlated(law, correlation, draw)


class _Correlated:
    def __init__(self, law: str, correlation: float, draw: random.Random) -> None:
        self._law, self._rho, self._fresh = law, correlation, math.sqrt(1 - correlation**2)
        self._gauss = draw.gauss
        self._state = self._gauss(0.0, 1.0)

    def __call__(self) -> float:
        g = self._state = self._rho * self._state + self._fresh * self._gauss(0.0, 1.0)
        if self._law == "normal":
            return min(CUT, max(-CUT, g))
        return quantile(self._law, (1 + math.erf(g / math.sqrt(2))) / 2)
