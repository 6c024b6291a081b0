"""How many workers a pool gets: drift plus penalty (docs/mathematics.md, eq. (25)).

    p_G = argmin_p  V (c_mt i(p) + c_pl p) + (z₀ + Z_m) λ_G ψ(p) + 10³ [ψ(p) − ε̃_m]⁺

i(p): instances it takes at the least, 1 for p = 1 and 2 above (two clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from controller.light.capacity import Table, each_violation
from controller.model import Costs

#: Weight of exceeding ε̃, in cost units.
PENALTY = 1e3


@dataclass(frozen=True, slots=True)
class Size:
    """Workers p, their predicted violation probability ψ(p), the objective's value; short: ε̃ is out of reach."""

    p: int
    psi: float
    objective: float
    short: bool


def by_mean_rate(capacity: Table, demand: float, utilisation: float, limit: int) -> Size:
    """The fewest workers whose mean rate carries the demand at `utilisation`: no tail, no budget."""
    a = demand * capacity.mean
    p = max(1, math.ceil(a / utilisation - 1e-9))
    return Size(min(p, max(1, limit)), 0.0, 0.0, p > limit)


def size(
    capacity: Table,
    demand: float,
    budget: float,
    costs: Costs,
    z: float,
    relaxed: float,
    limit: int,
    v: float = 1.0,
    z0: float = 1.0,
) -> Size:
    """The best p in 1 … limit for demand λ_G (per s) and budget w (s). limit < 1 is taken as 1."""
    limit = max(1, limit)
    # ψ = 1 up to the stability limit: of equally bad sizes the larger loses less, so those below it need no look.
    skip = min(limit, max(1, int(demand * capacity.mean))) - 1
    best, best_psi, least = 1, 1.0, float("inf")
    for p, psi in zip(range(skip + 1, limit + 1), each_violation(demand, budget, capacity, skip), strict=False):
        operation = v * (costs.keep * (1 if p == 1 else 2) + costs.parallel * p)
        if psi >= 1.0:
            best, best_psi, least = p, psi, operation + (z0 + z) * demand + PENALTY * (1.0 - relaxed)
            continue
        if operation >= least and best_psi < 1.0:
            break  # cost alone exceeds the best from here on
        objective = operation + (z0 + z) * demand * psi + PENALTY * max(0.0, psi - relaxed)
        if objective < least:
            best, best_psi, least = p, psi, objective
    return Size(best, best_psi, least, best_psi > relaxed)
