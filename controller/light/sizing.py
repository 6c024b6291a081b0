"""How many workers a pool gets: drift plus penalty (docs/mathematics.md, eq. (25)).

    p_G = argmin_p  V (c_mt i(p) + c_pl p) + (z₀ + Z_m) λ_G ψ(p) + 10³ [ψ(p) − ε̃_m]⁺

i(p): instances it takes at the least, 1 for p = 1 and 2 above (two clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from controller.light import loops
from controller.light.capacity import Table
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
    p, psi, objective = loops.sized(
        *capacity.arrays, capacity.mean, demand, budget, v, costs.keep, costs.parallel, (z0 + z) * demand, relaxed,
        PENALTY, max(1, limit),
    )  # fmt: skip
    return Size(p, psi, objective, psi > relaxed)
