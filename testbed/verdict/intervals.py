"""One-sided confidence bounds and p-values for the mean over runs. The run is the sample, never the task.

Two methods, and the more cautious of both decides: Student's t, and the bias-corrected and accelerated bootstrap

    α* = Φ(z₀ + (z₀ + z_α) / (1 − a (z₀ + z_α)))                            (Efron and Tibshirani 1993, eq. 14.10)

whose bound is the α*-quantile of the bootstrap means; z₀ from the share of those below the mean, a from the
jackknife. Resampled means of n runs spread too little, by √((n−1)/n) and by the difference between normal and t, so α
is first expanded to α' = Φ(√(n/(n−1)) t_{n−1,α})                           (Hesterberg 2015, "expanded percentile").
Beyond all resampled means the bootstrap says no more than where they end, however far the threshold lies. There Hall's
(1992) cubic transformation of t carries on, never bolder than the end of the means:

    g(T) = ((1 + γT/3)³ − 1) / γ + γ/(6n),   √n g(T) ~ t_{n−1},   T = (x̄ − μ)/s, γ the skewness

A p-value is the α at which the bound meets the threshold, solved in closed form. With fewer runs than BCA_LEAST there
are too few distinct resamples to say anything about a tail, and t decides alone. Resamples come from a fixed Philox
stream: the same values give the same bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 20_000
BCA_LEAST = 5
_NORMAL = NormalDist()
_KEY = 0x5AFE
_SYMMETRIC = 1e-6  # |γ| under which the transformation is t itself, to rounding


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one measure, one per run, and the means of their resamples (empty below BCA_LEAST)."""

    values: Array
    means: Array  # sorted

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """At least one finite value; ValueError otherwise."""
        x: Array = np.asarray(values, dtype=float)
        if x.size == 0 or not np.isfinite(x).all():
            raise ValueError(f"an interval needs finite values, found {list(values)}")
        if x.size < BCA_LEAST or np.ptp(x) == 0.0:
            return cls(x, np.empty(0))
        rng = np.random.Generator(np.random.Philox(key=_KEY))
        draws = rng.integers(x.size, size=(RESAMPLES, x.size))
        return cls(x, np.sort(x[draws].mean(axis=1)))

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def p_above(self, threshold: float) -> float:
        """p-value of "the mean is at most `threshold`": small means that it lies above. 1.0 where nothing is known."""
        t = _t_p(self.values, threshold)
        return t if self.means.size == 0 else max(t, _expanded_p(self, threshold))

    def p_below(self, threshold: float) -> float:
        """p-value of "the mean is at least `threshold`": small means that it lies below."""
        return _negated(self).p_above(-threshold)

    def lower(self, confidence: float) -> float:
        """One-sided lower bound of the mean; -inf where one run alone says nothing about spread."""
        alpha = 1.0 - confidence
        t = _t_bound(self.values, alpha)
        if self.means.size == 0:
            return t
        if alpha < _expanded_p(self, self.means[0]):
            return min(t, self.means[0], _hall_bound(self.values, alpha))
        return min(t, bca_bound(self, _expanded(alpha, self.values.size)))

    def upper(self, confidence: float) -> float:
        """One-sided upper bound of the mean."""
        return -_negated(self).lower(confidence)


def _negated(s: Sample) -> Sample:
    return Sample(-s.values, -s.means[::-1])


def _spread(x: Array) -> float:
    """Standard error of the mean."""
    return float(x.std(ddof=1) / math.sqrt(x.size)) if x.size > 1 else math.inf


def _t_bound(x: Array, alpha: float) -> float:
    from scipy.special import stdtrit  # late: 0.1 s that other words need not pay

    error = _spread(x)
    return float(x.mean() + stdtrit(x.size - 1, alpha) * error) if math.isfinite(error) else -math.inf


def _t_p(x: Array, threshold: float) -> float:
    from scipy.special import stdtr

    error = _spread(x)
    if not math.isfinite(error):
        return 1.0
    if error == 0.0:  # every run says the same
        return 0.0 if x.mean() > threshold else 1.0
    return float(stdtr(x.size - 1, -(x.mean() - threshold) / error))


def _expanded(alpha: float, n: int) -> float:
    """α': what a bootstrap of n values has to be asked for so that α is what it gives."""
    from scipy.special import stdtrit

    return _NORMAL.cdf(math.sqrt(n / (n - 1)) * float(stdtrit(n - 1, alpha)))


def _expanded_p(s: Sample, threshold: float) -> float:
    """The p-value of the expanded bound: the inverse of `_expanded` of the plain one's; Hall's beyond the means."""
    from scipy.special import stdtr

    n, p = s.values.size, _bca_p(s, max(threshold, s.means[0]))
    if 0.0 < p < 1.0:
        p = float(stdtr(n - 1, math.sqrt((n - 1) / n) * _NORMAL.inv_cdf(p)))
    return p if threshold >= s.means[0] else min(p, _hall_p(s.values, threshold))


def _skewness(x: Array) -> float:
    """γ, the sample skewness with its small-sample correction (x of at least three values, not all the same)."""
    n, z = x.size, (x - x.mean()) / x.std(ddof=1)
    return float(n / ((n - 1) * (n - 2)) * (z**3).sum())


def _hall_p(x: Array, threshold: float) -> float:
    """p-value of "the mean is at most `threshold`" by Hall's transformation (Hall 1992, J. R. Stat. Soc. B 54, 3)."""
    from scipy.special import stdtr

    n, skewness = x.size, _skewness(x)
    t = float((x.mean() - threshold) / x.std(ddof=1))
    g = t if abs(skewness) < _SYMMETRIC else ((1.0 + skewness * t / 3.0) ** 3 - 1.0) / skewness + skewness / (6 * n)
    return float(stdtr(n - 1, -math.sqrt(n) * g))


def _hall_bound(x: Array, alpha: float) -> float:
    """The threshold at which `_hall_p` is alpha: the transformation is monotone, so its inverse is a cube root."""
    from scipy.special import stdtrit

    n, skewness = x.size, _skewness(x)
    g = -float(stdtrit(n - 1, alpha)) / math.sqrt(n)
    if abs(skewness) < _SYMMETRIC:
        t = g
    else:
        t = 3.0 * (float(np.cbrt(1.0 + skewness * (g - skewness / (6 * n)))) - 1.0) / skewness
    return float(x.mean() - t * x.std(ddof=1))


def _bca(s: Sample) -> tuple[float, float]:
    """(z₀, a): bias correction and acceleration."""
    below = (np.count_nonzero(s.means < s.mean) + 0.5 * np.count_nonzero(s.means == s.mean)) / s.means.size
    total, n = s.values.sum(), s.values.size
    left_out = (total - s.values) / (n - 1)
    away = left_out.mean() - left_out
    acceleration = float((away**3).sum() / (6.0 * (away**2).sum() ** 1.5))
    return _z(below, s.means.size), acceleration


def _z(share: float, n: int) -> float:
    """Φ⁻¹ of a share of n draws; none and all count as half a draw from the end."""
    return _NORMAL.inv_cdf(min(max(share, 0.5 / n), 1.0 - 0.5 / n))


def bca_bound(s: Sample, alpha: float) -> float:
    """The plain BCa lower bound at level alpha, not expanded."""
    z0, a = _bca(s)
    z = z0 + _NORMAL.inv_cdf(alpha)
    share = _NORMAL.cdf(z0 + z / (1.0 - a * z))
    return float(np.quantile(s.means, share))


def _bca_p(s: Sample, threshold: float) -> float:
    z0, a = _bca(s)
    w = _z(float(np.searchsorted(s.means, threshold, side="right")) / s.means.size, s.means.size) - z0
    if 1.0 + a * w <= 0.0:  # beyond the transformation's pole: as far in that direction as can be
        return 1.0 if w > 0.0 else 0.0
    return _NORMAL.cdf(w / (1.0 + a * w) - z0)
