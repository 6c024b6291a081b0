"""The path for instances that no solver takes whole (docs/mathematics.md §5): bound, placement, proof where it closes.

Relaxation → flow covers → rounding → neighbourhoods → the integer program restricted to the relaxation's support and
the placement found. Where the pairs that could still be in a better placement (44) are few, that program is the *whole*
one, and its bound is the whole program's. Every step is limited by nodes and counts, never by a clock.
"""

from __future__ import annotations

import numpy as np

from controller.placement import program
from controller.placement.apart import apart, sharper, together
from controller.placement.outcome import Limits, Solved, relative_gap
from controller.placement.program import Columns, Costs, Program
from controller.placement.relaxation import Relaxation, folded, pieces, relax
from controller.placement.search import Candidate, improved, mended, of_solved, rounded, served
from controller.placement.solver import solve
from controller.placement.tables import Mask, Tables

#: Pairs up to which the restricted program is worth a solver, columns up to which the whole one is without what (44)
#: rules out.
RESTRICTED, PROVABLE = 100, 6_000
#: Branch-and-bound nodes of either.
NODES, PROOF_NODES = 20, 20
#: Pairs of ingress and node up to which a service has a program of its own solved at its root.
SHARPENED = 2_600


def place_large(t: Tables, c: Costs, limits: Limits) -> tuple[Program, Solved]:
    """The placement as a program on its own columns with their values; bound and gap are the whole program's."""
    f = folded(t, c)
    relaxed, services = apart(t, f, relax(t, f))
    y = rounded(t, f, relaxed)
    if y is None:
        return program.assemble(t, c, _around(t, c, t.holds & False)), Solved("infeasible", np.inf, np.inf)
    best = _restricted(t, f, relaxed, mended(t, f, served(t, f, y)))
    best = _restricted(t, f, relaxed, improved(t, f, relaxed, together(services), best))
    bound = relaxed.bound
    if t.serves.sum(axis=(1, 2)).max() <= SHARPENED:
        bound = sharper(relaxed, services)
    best, bound = _proven(t, f, relaxed, best, bound, limits)
    p, solved = _whole(t, c, best.y)
    bound = min(bound, solved.objective)
    status = "optimal" if relative_gap(solved.objective, bound) <= max(limits.gap, 1e-6) else "feasible"
    return p, Solved(status, solved.objective, bound, solved.values)


def _restricted(t: Tables, c: Costs, relaxed: Relaxation, best: Candidate) -> Candidate:
    """The integer program on the support of the relaxation and the placement found, from that placement on."""
    keep = best.y | (relaxed.y > 1e-6)
    if keep.sum() > RESTRICTED:
        return best
    p = pieces(t, c, keep, relaxed.covers)
    solved = solve(p.matrix(), gap=1e-4, nodes=NODES, start=p.values(best.y, best.z))
    return of_solved(p, solved) if solved.objective < best.value else best


def _proven(
    t: Tables, c: Costs, relaxed: Relaxation, best: Candidate, bound: float, limits: Limits
) -> tuple[Candidate, float]:
    """The best placement and a bound for the whole program, by the program without the pairs that (44) rules out."""
    keep = best.y | (t.holds & (relaxed.penalty <= best.value - relaxed.bound))
    p = pieces(t, c, keep, relaxed.covers)
    if p.count > PROVABLE:
        return best, bound
    nodes = min(limits.nodes or PROOF_NODES, PROOF_NODES)
    solved = solve(p.matrix(), gap=limits.gap, nodes=nodes, start=p.values(best.y, best.z))
    bound = max(bound, min(best.value, solved.bound))
    return (of_solved(p, solved) if solved.objective < best.value else best), bound


def _whole(t: Tables, c: Costs, y: Mask) -> tuple[Program, Solved]:
    """Everything continuous for this placement, traffic included: the exact value of (10)."""
    p = program.assemble(t, c, _around(t, c, y))
    matrix = p.matrix(relaxed=True)
    np.asarray(matrix.lower)[p.y] = 1.0
    return p, solve(matrix)


def _around(t: Tables, c: Costs, y: Mask) -> Columns:
    """The columns of a placement: its y, the z on them, the w between their domains."""
    z = t.serves & y[:, None, :]
    here = np.stack([z[:, :, t.domain == g].any(axis=2) for g in range(len(t.domains))], axis=2)
    w = here[c.source][:, :, :, None] & here[c.target][:, :, None, :] & np.isfinite(c.w)
    return Columns(y, z, w)
