"""What a solver is asked for and what it answers, whichever it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from controller.placement.matrix import Floats

#: "optimal" means proven to this relative gap; below it solvers differ by their tolerances only.
OPTIMAL_GAP = 1e-6
#: Asked of a solver by default: tighter than OPTIMAL_GAP, so that the two solvers' definitions of a gap don't matter.
DEFAULT_GAP = 1e-7
SEED = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Relative gap; branch-and-bound nodes; seconds (not reproducible)."""

    gap: float = DEFAULT_GAP
    nodes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.gap) or self.gap < 0:
            raise ValueError(f"gap: found {self.gap}, allowed is 0 or more")
        if self.nodes is not None and self.nodes < 1:
            raise ValueError(f"nodes: found {self.nodes}, allowed is 1 (the root) or more")


@dataclass(frozen=True, eq=False)
class Solved:
    """status: "optimal" | "feasible" (a limit was reached; bound is proven) | "infeasible" | "unknown" (a limit was
    reached before any solution). objective is +inf and values empty without a solution; bound −inf when none is known.
    values (columns,); duals (rows,) and reduced (columns,) of a continuous problem, where the back end gives them.
    """

    status: str
    objective: float
    bound: float
    values: Floats = field(default_factory=lambda: np.empty(0))
    duals: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def gap(self) -> float:
        """(objective − bound) / objective; 0 for equal values, nan without a solution."""
        return relative_gap(self.objective, self.bound)


def relative_gap(objective: float, bound: float) -> float:
    """(objective − bound) / |objective|: 0 where they are equal, nan without a solution, +inf without a bound."""
    if not math.isfinite(objective):
        return math.nan
    if objective <= bound:
        return 0.0
    return (objective - bound) / abs(objective) if objective else math.inf


def judged(feasible: bool, objective: float, bound: float, values: Floats) -> Solved:
    """A solver's answer with the status that its own bound supports, whatever it calls itself."""
    if not feasible:
        return Solved("unknown", math.inf, bound)
    bound = min(bound, objective)
    status = "optimal" if relative_gap(objective, bound) <= OPTIMAL_GAP else "feasible"
    return Solved(status, objective, bound, values)
