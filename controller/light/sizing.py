"""How many workers a pool gets: drift plus penalty (docs/mathematics.md, eq. (25)).

    p_G = argmin_p  V (c_mt i(p) + c_pl p) + (z₀ + Z_m) λ_G ψ(p) + 10³ [ψ(p) − ε̃_m]⁺

i(p): instances it takes at the least, 1 for p = 1 and 2 above (two clusters).
"""

from __future__ import annotations

import math

from controller.light import loops
from controller.light.capacity import Table
from controller.light.law import Array
from controller.model import Costs

#: Weight of exceeding ε̃, in cost units.
PENALTY = 1e3


def by_mean_rate(capacity: Table, demands: Array, utilisation: float, limit: int) -> list[tuple[int, float]]:
    """The fewest workers whose mean rate carries each demand at `utilisation`, with ψ = 0: no tail, no budget."""
    least = [math.ceil(a / utilisation - 1e-9) for a in (demands * capacity.mean).tolist()]
    return [(min(max(1, p), max(1, limit)), 0.0) for p in least]


def sizes(
    capacity: Table,
    demands: Array,
    budget: float,
    costs: Costs,
    z: float,
    relaxed: float,
    limit: int,
    v: float = 1.0,
    z0: float = 1.0,
) -> list[tuple[int, float]]:
    """The best p in 1 … limit and its ψ(p), for each demand λ_G (per s) and budget w (s). limit < 1 is taken as 1."""
    p, psi = loops.sizes(
        *capacity.arrays, capacity.mean, demands, budget, v, costs.keep, costs.parallel, z0 + z, relaxed, PENALTY,
        max(1, limit),
    )  # fmt: skip
    return list(zip(p.tolist(), psi.tolist(), strict=True))
