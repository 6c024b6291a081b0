"""Effective capacity of a light service (docs/mathematics.md, eq. (18) to (20)).

X: service times normalised to mean 1; x̄: their mean, inflated by (1 + z·cv/√n); a = λ x̄: offered load; ρ = a/p.

    u*(ρ) solves ρ (E[e^{uX}] − 1) = u
    ψ(p) = ErlangC(p, a) · exp(−p u*(a/p) w / x̄)  ≈  P(W > w)

For p = 1 the exponential alone is a bound (Kingman), the product an estimate; for p > 1 it is asymptotic.
ρ(u) = u / (E[e^{uX}] − 1) falls in u, so a table of it over a grid of u is a table of u* over ρ: no root finding
in a slot. `exponent` finds the root itself and is what the table is tested against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from controller.light import law as laws
from controller.light import loops
from controller.model import Law

#: The table ends at this utilisation; below it u* is taken as constant, which understates it.
LEAST_RHO = 0.02
GRID = 96
ROOT = math.isqrt(GRID - 1) + 1
#: e^{uX} is evaluated up to this exponent: beyond it floats overflow.
LARGEST_EXPONENT = 600.0
#: The prior weighs as much as this many measured samples in the mean.
PRIOR_WEIGHT = 100


@dataclass(frozen=True)
class Table:
    """u* over ρ for one service. mean: x̄ inflated, s; cv of X; n: samples measured; rho ascending with u."""

    mean: float
    cv: float
    n: int
    rho: tuple[float, ...]
    u: tuple[float, ...]

    @cached_property
    def arrays(self) -> tuple[laws.Array, laws.Array]:
        """rho and u for loops."""
        return np.array(self.rho), np.array(self.u)

    def exponent(self, rho: float) -> float:
        """u*(ρ) by linear interpolation; 0 from ρ = 1 on."""
        return loops.exponent(*self.arrays, rho)


def table(samples: Sequence[float], prior: Law, prior_mean: float, wanted: int = 1000, z: float = 1.645) -> Table:
    """The table of a service from its last service-time samples (s), completed to `wanted` by the prior's points.

    The prior gives the shape that is still missing and counts as PRIOR_WEIGHT samples in the mean: a heavy tail
    is not known from 200 samples (mathematics.md §6, trap 4).
    """
    measured = np.asarray(samples[-wanted:], dtype=float)
    n = len(measured)
    missing = max(wanted - n, 0)
    # Thinned from one grid: quantiles of a Gamma law are dear, and `missing` is another number each time.
    grid = laws.grid(prior, wanted)
    filling = grid[((np.arange(missing) + 0.5) * wanted / max(missing, 1)).astype(int)]
    own = measured / measured.mean() if n else measured
    x = np.concatenate([own, filling / filling.mean() if len(filling) else filling])
    x /= x.mean()
    mean = (float(measured.sum()) + PRIOR_WEIGHT * prior_mean) / (n + PRIOR_WEIGHT)
    cv = float(x.std())
    mean *= 1.0 + z * cv / math.sqrt(n + PRIOR_WEIGHT)
    rho, u = _curve(x)
    return Table(mean, cv, n, rho, u)


def _curve(x: laws.Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(ρ ascending, u*) on GRID points, from LEAST_RHO (or the largest exponent) up to ρ = 1, u = 0."""
    most = LARGEST_EXPONENT / float(x.max())
    top = 1.0
    while top < most and _rho(x, top) > LEAST_RHO:
        top *= 1.5
    step = min(top, most) / (GRID - 1)
    grid = step * np.arange(1.0, GRID)
    # e^{kδx} = e^{iδx} e^{jRδx} with k = i + R j: two short tables and one product of matrices instead of n · GRID
    # exponentials.
    fine = np.exp(np.outer(step * np.arange(1.0, ROOT + 1), x))
    coarse = np.exp(np.outer(step * ROOT * np.arange(0.0, ROOT), x))
    moments = (coarse @ fine.T).ravel()[: GRID - 1] / len(x)
    rho = (grid / (moments - 1.0))[::-1].tolist()
    return (*rho, 1.0), (*grid[::-1].tolist(), 0.0)


def _rho(x: laws.Array, u: float) -> float:
    return float(u / np.mean(np.expm1(u * x)))


def exponent(samples: Sequence[float], rho: float) -> float:
    """u*(ρ) of the samples normalised to mean 1, by bisection to 1e-12 relative; 0 where ρ ≥ 1."""
    if rho <= 0.0:
        raise ValueError(f"utilisation must be positive, found {rho}")
    if rho >= 1.0:
        return 0.0
    x = np.asarray(samples, dtype=float)
    x = x / x.mean()
    most = LARGEST_EXPONENT / float(x.max())
    low, high = 0.0, min(1.0, most)
    while _rho(x, high) > rho:
        if high >= most:
            return most
        low, high = high, min(2.0 * high, most)
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _rho(x, middle) > rho:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def erlang_b(p: int, a: float) -> float:
    """Loss probability, M/M/p/p, by B_k = a B_{k−1} / (k + a B_{k−1}): all terms positive, so no cancellation."""
    b = 1.0
    for k in range(1, p + 1):
        b = a * b / (k + a * b)
    return b


def erlang_c(p: int, a: float) -> float:
    """Probability that an arrival waits, M/M/p with offered load a (erlangs); 1 when a ≥ p, 0 when a = 0."""
    if a <= 0.0:
        return 0.0
    if a >= p:
        return 1.0
    return _c(erlang_b(p, a), a / p)


def _c(b: float, rho: float) -> float:
    """ErlangC from ErlangB: C = B / (1 − ρ (1 − B))."""
    return min(1.0, b / (1.0 - rho * (1.0 - b)))


def violation(p: int, demand: float, budget: float, capacity: Table) -> float:
    """ψ(p) = P(W > w): demand λ per s, budget w in s; 1 when the p workers can't carry the demand."""
    return violations(demand, budget, capacity, p)[-1]


def violations(demand: float, budget: float, capacity: Table, limit: int) -> list[float]:
    """ψ(1) … ψ(limit) in one pass of the recursion."""
    a, b = demand * capacity.mean, 1.0
    found: list[float] = []
    for p in range(1, limit + 1):
        b = a * b / (p + a * b)
        found.append(loops.exceeding(*capacity.arrays, capacity.mean, budget, a, b, p))
    return found
