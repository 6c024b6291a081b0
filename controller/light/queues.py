"""Virtual queues and the adapted target of each light service (docs/mathematics.md, eq. (24)).

    Z_m ← [Z_m + violations_m − ε_m n_m]⁺

A violation is a wait longer than the service's budget w_m, never an end-to-end miss: a miss caused elsewhere would
buy workers that can't help (mathematics.md §6, trap 2).
"""

from __future__ import annotations

from collections.abc import Sequence

#: ε̃ moves between ε and this multiple of it.
RELAXED = 6.0
#: Step of ε̃ per slot: down at once when violations are too many, up slowly while they are few.
TIGHTEN = 0.6
RELAX = 1.15


def violated(waits: Sequence[float], budget: float) -> int:
    """How many of the waits (s) exceed the budget (s)."""
    return len([w for w in waits if w > budget])


def advance(z: float, violations: int, n: int, epsilon: float) -> float:
    """The virtual queue after a slot with n waits of which `violations` were too long."""
    return max(0.0, z + violations - epsilon * n)


def adapt(relaxed: float, rate: float, epsilon: float) -> float:
    """ε̃ after a slot, from the smoothed measured violation rate: ψ errs on the safe side, this takes it back."""
    if rate > epsilon:
        relaxed *= TIGHTEN
    elif rate < epsilon / 2:
        relaxed *= RELAX
    return min(RELAXED * epsilon, max(epsilon, relaxed))
