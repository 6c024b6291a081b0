"""From a relaxation to a placement: rounding, then neighbourhoods solved as integer programs (mathematics.md §5).

All on the program without traffic (41); a placement is kept as y (m, v) and z (m, o, v).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from controller.placement.matrix import Floats, Matrix
from controller.placement.outcome import Solved
from controller.placement.program import Costs, Program
from controller.placement.relaxation import Relaxation, pieces
from controller.placement.solver import solve
from controller.placement.tables import Mask, Tables

#: Pairs per service that rounding may use beside the relaxation's, those of the least penalty.
LIKELIEST = 30
#: Pairs (m, v) of a neighbourhood: enough for instances to change places, few enough to be solved at its root.
PAIRS = 120
#: Triples (m, o, v) of a neighbourhood, where a node is seen by many ingresses.
TRIPLES = 2_000
#: Branch-and-bound nodes of one neighbourhood, and of the rounding.
NODES = 20
#: A pair whose penalty exceeds this share of an instance's price is not tried in a neighbourhood.
LIKELY = 0.5
#: Neighbourhoods solved in all; the first sweep, of one service at a time, is always finished.
TRIES = 20
#: How many services change together, in this order: alone they are quickest, in pairs they can change places.
WIDTHS = (1, 2, 1)
#: Relative gap of a neighbourhood's program, were it the whole one.
NEAR = 4e-3
#: Times that instances are added where demand is unserved.
MENDS = 6
#: Rounds through all neighbourhoods, and the relative gain below which another is not begun.
ROUNDS, WORTH = 2, 1e-3


@dataclass(frozen=True)
class Candidate:
    """A placement: value without traffic, y (m, v), z (m, o, v)."""

    value: float
    y: Mask
    z: Floats


def rounded(t: Tables, c: Costs, relaxed: Relaxation) -> Mask | None:
    """The placement nearest to the relaxation that meets the constraints on y; None if there is none at all.

    Near: Σ (1/2 − ȳ) y is least, demand that can't be carried counting as in (10).
    """
    rank = relaxed.penalty.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    likely = (relaxed.y > 1e-6) | (rank < LIKELIEST)
    for allowed in (likely & t.holds, t.holds):
        p = pieces(t, c, allowed, [], np.zeros(t.serves.shape, bool))
        matrix = p.matrix()
        cost = np.zeros(p.count)
        cost[p.y] = (1.0 - 2.0 * relaxed.y[p.y_of]) * t.price[p.y_of]
        cost[p.s] = p.costs.s[p.s_of]
        lower = np.array(matrix.row_lower)
        lower[p.rows.blocks["coverage"]] = 0.0  # nothing is served here; s is bounded by (38) alone
        solved = solve(replace(matrix, cost=cost, row_lower=lower), gap=1e-3, nodes=NODES)
        if len(solved.values):
            return of_solved(p, solved).y
    return None


def served(t: Tables, c: Costs, y: Mask) -> Candidate:
    """The best z for this placement."""
    p = pieces(t, c, y, [])
    matrix = p.matrix(relaxed=True)
    lower = np.array(matrix.lower)
    lower[p.y] = 1.0
    solved = solve(replace(matrix, lower=lower))
    return Candidate(solved.objective, y, _z(p, solved.values))


def mended(t: Tables, c: Costs, best: Candidate) -> Candidate:
    """Instances added where demand is left unserved, the most useful first, as long as they pay and fit."""
    for _ in range(MENDS):
        y = _with_more(t, c, best)
        if (y == best.y).all():
            break
        better = served(t, c, y)
        if better.value >= best.value:
            break
        best = better
    return best


def _with_more(t: Tables, c: Costs, best: Candidate) -> Mask:
    y = best.y.copy()
    room = t.room - t.need @ y
    left = t.demand * np.maximum(0.0, 1.0 - best.z.sum(axis=2))
    for m in np.argsort(-left.sum(axis=1), kind="stable").tolist():
        worth = c.s[m].sum() / t.total[m]
        while left[m].sum() > 1e-9 and y[m].sum() < t.most[m]:
            able = t.holds[m] & ~y[m] & (t.need[:, [m]] <= room + 1e-9).all(axis=0)
            taken = np.minimum(t.cap[m], left[m] @ t.serves[m])
            gain = np.where(able, worth * taken - t.price[m], -np.inf)
            v = int(np.argmax(gain))
            if gain[v] <= 0:
                break
            y[m, v] = True
            room[:, v] -= t.need[:, m]
            spare = t.cap[m, v]
            for o in np.argsort(
                np.where(t.serves[m, :, v], c.z[m, :, v] / np.maximum(1e-12, c.s[m]), np.inf), kind="stable"
            ):
                if spare <= 0 or not t.serves[m, o, v]:
                    break
                given = min(spare, left[m, o])
                left[m, o] -= given
                spare -= given
    return y


def of_solved(p: Program, solved: Solved) -> Candidate:
    """What a solver found on a program without traffic."""
    y = np.zeros(p.tables.holds.shape, bool)
    y[p.y_of] = solved.values[p.y] > 0.5
    return Candidate(solved.objective, y, _z(p, solved.values))


def _z(p: Program, values: Floats) -> Floats:
    z = np.zeros(p.tables.serves.shape)
    z[p.z_of] = np.clip(values[p.z], 0.0, 1.0)
    return z


def improved(t: Tables, c: Costs, relaxed: Relaxation, best: Candidate) -> Candidate:
    """Sweep through neighbourhoods of all widths until no width gains anything worth another round."""
    near, tries, swept = _domain_distance(t), 0, False
    for _ in range(ROUNDS):
        before = best.value
        for width in WIDTHS:
            for services, region in _neighbourhoods(t, near, width):
                free: Mask = t.holds & region & services[:, None]
                if (tries < TRIES or not swept) and ((relaxed.y > 1e-6) | best.y)[free].any():
                    tries += 1
                    best = _resolved(t, c, relaxed, best, free)
            swept = True
        if before - best.value <= WORTH * abs(best.value):
            break
    return best


def _neighbourhoods(t: Tables, near: Floats, width: int) -> Iterator[tuple[Mask, Mask]]:
    """(services (m,), nodes (v,)): so many services at a time on nodes near one another, PAIRS pairs together."""
    count, nodes = len(t.services), len(t.domain)
    turns = range(0, count, width)
    seen = t.serves.any(axis=0).sum() / nodes  # ingresses that a node may serve
    size = max(4, min(PAIRS, int(TRIPLES / seen)) // width)
    left = np.ones(nodes, bool)
    while left.any():
        centre = int(np.nonzero(left)[0][0 if width % 4 == 1 else -1])
        turn = (np.arange(nodes) - centre) % nodes
        order = np.lexsort((turn, near[t.domain[centre]][t.domain]))
        region = np.zeros(nodes, bool)
        region[order[:size]] = True
        left &= ~region
        for first in turns:
            services = np.zeros(count, bool)
            services[first : first + width] = True
            yield services, region


def _domain_distance(t: Tables) -> Floats:
    """(g, h): how far apart, s: the mean difference of what ingresses see of the two domains."""
    domains = len(t.domains)
    seen = np.stack([t.late[0][:, t.domain == g].min(axis=1) for g in range(domains)])
    seen = np.where(np.isfinite(seen), seen, 1e3)
    return np.array(np.abs(seen[:, None, :] - seen[None, :, :]).mean(axis=2))


def _resolved(t: Tables, c: Costs, relaxed: Relaxation, best: Candidate, free: Mask) -> Candidate:
    """The pairs of `free` and the z of all who may be served there are solved again; everything else as it is."""
    likely: Mask = np.asarray(relaxed.penalty <= LIKELY * np.median(t.price))
    y: Mask = np.asarray(best.y | (free & likely))
    touched: Mask = np.asarray((t.serves & free[:, None, :]).any(axis=2))
    z = (best.z > 0) | (t.serves & touched[:, :, None] & y[:, None, :])
    covers = [cover for cover in relaxed.covers if free[:, cover[0]].any()]
    p = pieces(t, c, y, covers, z)
    matrix = _frozen(p, p.matrix(), best, free, touched)
    gap = NEAR * free.sum() / free.size
    solved = solve(matrix, gap=gap, nodes=NODES, start=p.values(best.y, best.z))
    if not len(solved.values) or solved.objective >= best.value - 1e-9 * abs(best.value):
        return best
    return of_solved(p, solved)


def _frozen(p: Program, matrix: Matrix, best: Candidate, free: Mask, touched: Mask) -> Matrix:
    lower, upper = np.array(matrix.lower), np.array(matrix.upper)
    lower[p.y[~free[p.y_of]]] = 1.0
    still = ~touched[p.z_of[:2]]
    kept = tuple(axis[still] for axis in p.z_of)
    lower[p.z[still]] = upper[p.z[still]] = best.z[kept]
    return replace(matrix, lower=lower, upper=upper)
