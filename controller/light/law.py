"""Points of a service-time distribution: deterministic quadrature in place of dice.

A `controller.model.Law` multiplies work (or, "gamma", divides it by a floored rate factor). `points` returns the
(i + ½)/n quantiles of that factor, ascending: the mean of g over them is E[g(X)] by the midpoint rule in
probability. Nothing here is random, so the same model always gives the same first decision.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from controller.model import Law

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
KINDS = ("deterministic", "uniform", "exponential", "lognormal", "gamma")


@lru_cache(maxsize=256)
def points(law: Law, n: int = 1000) -> tuple[float, ...]:
    """n quantiles of the factor on the work, ascending, at probabilities (i + ½)/n."""
    q = (np.arange(n) + 0.5) / n
    if law.kind == "deterministic":
        x = np.ones(n)
    elif law.kind == "uniform":
        x = 1.0 - law.spread + 2.0 * law.spread * q
    elif law.kind == "exponential":
        x = -np.log1p(-q)
    elif law.kind == "lognormal":
        sigma = math.sqrt(math.log1p(law.cv**2))
        normal = NormalDist()
        x = np.exp(sigma * np.array([normal.inv_cdf(p) for p in q.tolist()]) - sigma**2 / 2)
    elif law.kind == "gamma":
        x = 1.0 / np.maximum(gamma_quantiles(law.shape, q) / law.shape, law.floor)
        x = np.sort(x)
    else:
        raise ValueError(f"law: there is no kind {law.kind!r}; allowed: {', '.join(KINDS)}")
    return tuple(x.tolist())


@lru_cache(maxsize=256)
def grid(law: Law, n: int = 1000) -> Array:
    """`points` as an array; not to be written to."""
    values = np.array(points(law, n))
    values.flags.writeable = False
    return values


@lru_cache(maxsize=256)
def mean(law: Law) -> float:
    """E of the factor on the work: above 1 for "gamma", since E[1/f] > 1/E[f]."""
    return float(np.mean(points(law, 4000)))


@lru_cache(maxsize=256)
def squared_cv(law: Law) -> float:
    """Variance over squared mean of the factor on the work."""
    x = grid(law)
    return float(x.var() / x.mean() ** 2)


def gamma_quantiles(shape: float, q: Array) -> Array:
    """Quantiles of Gamma(shape, scale 1) by bisection on the regularised incomplete gamma function."""
    low = np.zeros_like(q)
    high = np.full_like(q, shape + 12.0 * math.sqrt(shape) + 30.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = gamma_cdf(shape, middle) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def gamma_cdf(shape: float, x: Array) -> Array:
    """P(shape, x) = xᵏ e⁻ˣ / Γ(k+1) · Σ xⁿ / ((k+1)…(k+n)); all terms positive, so no cancellation."""
    term = np.ones_like(x)
    total = np.ones_like(x)
    n = 0
    while n < 10_000:
        n += 1
        term = term * x / (shape + n)
        total += term
        if np.all(term <= 1e-16 * total):
            break
    with np.errstate(divide="ignore"):
        logarithm = shape * np.log(x) - x - math.lgamma(shape + 1)
    return np.minimum(np.exp(logarithm) * total, 1.0)
