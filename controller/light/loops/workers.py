"""The size of a pool: eq. (25) over p, with ψ(p) of eq. (20) from a table of u*."""

from __future__ import annotations

import math

import numpy as np

from controller.light.law import Array, Whole
from controller.light.loops.compiled import FLOATS, WHOLES, compiled, several


@compiled("float64", FLOATS, FLOATS, "float64")
def exponent(known: Array, u: Array, rho: float) -> float:
    """u*(ρ) by linear interpolation of the table; 0 from ρ = 1 on. known: ρ, ascending."""
    if rho >= 1.0:
        return 0.0
    if rho <= known[0]:
        return float(u[0])
    i, high = 0, len(known)
    while i < high:
        middle = (i + high) // 2
        if known[middle] < rho:
            i = middle + 1
        else:
            high = middle
    left, right = known[i - 1], known[i]
    return float(u[i - 1] + (u[i] - u[i - 1]) * (rho - left) / (right - left))


@compiled("float64", FLOATS, FLOATS, "float64", "float64", "float64", "float64", "int64")
def exceeding(known: Array, u: Array, mean: float, budget: float, a: float, b: float, p: int) -> float:
    """ψ(p), eq. (20), for the offered load a (erlangs) and b = ErlangB(p, a); mean, budget: s."""
    rho = a / p
    if rho <= 0.0:
        return 0.0
    if a >= p:
        return 1.0
    waits = min(1.0, b / (1.0 - rho * (1.0 - b)))
    return min(1.0, waits * math.exp(-p * exponent(known, u, rho) * budget / mean))


@compiled(
    several("int64", "float64"), FLOATS, FLOATS, "float64", "float64", "float64", "float64", "float64", "float64",
    "float64", "float64", "float64", "int64",
)  # fmt: skip
def sized(
    known: Array, u: Array, mean: float, demand: float, budget: float, v: float, keep: float, parallel: float,
    violation: float, relaxed: float, penalty: float, limit: int,
) -> tuple[int, float]:  # fmt: skip
    """(p, ψ(p)) of eq. (25), 1 ≤ p ≤ limit; the fewest of equally good ones.

    known, u: u* over ρ; mean, budget: s; demand: per s; keep, parallel: c_mt and c_pl; violation: (z₀ + Z) λ;
    penalty: of ψ above `relaxed`.
    """
    a = demand * mean
    # ψ = 1 up to the stability limit: of equally bad sizes the larger loses less, so those below it need no look.
    skip = min(limit, max(1, int(a))) - 1
    best, best_psi, least = 1, 1.0, math.inf
    b = 1.0
    for p in range(1, limit + 1):
        ab = a * b
        b = ab / (p + ab)
        if p <= skip:
            continue
        psi = exceeding(known, u, mean, budget, a, b, p)
        operation = v * (keep * (1 if p == 1 else 2) + parallel * p)
        if psi >= 1.0:
            best, best_psi, least = p, psi, operation + violation + penalty * (1.0 - relaxed)
            continue
        if operation >= least and best_psi < 1.0:
            break  # cost alone exceeds the best from here on
        objective = operation + violation * psi + penalty * max(0.0, psi - relaxed)
        if objective < least:
            best, best_psi, least = p, psi, objective
    return best, best_psi


@compiled(
    several(WHOLES, FLOATS), FLOATS, FLOATS, "float64", FLOATS, "float64", "float64", "float64", "float64", "float64",
    "float64", "float64", "int64",
)  # fmt: skip
def sizes(
    known: Array, u: Array, mean: float, demands: Array, budget: float, v: float, keep: float, parallel: float,
    violation: float, relaxed: float, penalty: float, limit: int,
) -> tuple[Whole, Array]:  # fmt: skip
    """(p, ψ(p)) of `sized` for each of the demands. violation: z₀ + Z."""
    best, psi = np.empty(len(demands), np.int64), np.empty(len(demands))
    for k in range(len(demands)):
        best[k], psi[k] = sized(
            known, u, mean, demands[k], budget, v, keep, parallel, violation * demands[k], relaxed, penalty, limit
        )
    return best, psi
