"""From a relaxation to a placement: rounding, then neighbourhoods solved as integer programs (mathematics.md §5).

All on the program without traffic (41); a placement is kept as y (m, v) and z (m, o, v).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.placement.flowcover import FlowCover
from controller.placement.matrix import Floats, Matrix
from controller.placement.outcome import Solved
from controller.placement.program import Costs, Program
from controller.placement.relaxation import Relaxation, pieces
from controller.placement.solver import solve
from controller.placement.tables import Mask, Tables

#: Pairs per service that rounding may use beside the relaxation's, those of the least penalty.
LIKELIEST = 30
#: Triples (m, o, v) of a neighbourhood, where a node is seen by many ingresses.
TRIPLES = 2_000
#: Branch-and-bound nodes of one neighbourhood, and of the rounding.
NODES = 20
#: A pair whose penalty exceeds this share of an instance's price is not tried in a neighbourhood.
LIKELY = 0.3
#: Sweeps: how many services change together, pairs (m, v) of a neighbourhood, and the relative gap of its program, were
#: it the whole one. Alone services are quickest, in pairs they can change places; a loose gap comes first: it takes a
#: quarter of the time for nearly all of the gain.
SWEEPS = ((1, 120, 2e-2), (1, 160, 1e-2), (2, 120, 1e-2), (1, 160, 1e-2), (1, 200, 1e-2))
#: A sweep but the first is left when so many neighbourhoods in a row gain less than this share together.
PATIENCE, WORTH = 12, 2e-5
#: Times that instances are added where demand is unserved.
MENDS = 6


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


def improved(t: Tables, c: Costs, relaxed: Relaxation, flows: Sequence[FlowCover], best: Candidate) -> Candidate:
    """All sweeps through neighbourhoods, from another corner each time."""
    near = _domain_distance(t)
    for turn, (width, pairs, gap) in enumerate(SWEEPS):
        values = [best.value]
        for services, region in _neighbourhoods(t, near, turn, width, pairs):
            free: Mask = t.holds & region & services[:, None]
            if not ((relaxed.y > 1e-6) | best.y)[free].any():
                continue
            best = _resolved(t, c, relaxed, flows, best, free, gap)
            values.append(best.value)
            if turn and len(values) > PATIENCE and values[-1 - PATIENCE] - best.value <= WORTH * abs(best.value):
                break
    return best


def _neighbourhoods(t: Tables, near: Floats, turn: int, width: int, pairs: int) -> Iterator[tuple[Mask, Mask]]:
    """(services (m,), nodes (v,)): so many services at a time on nodes near one another."""
    count, nodes = len(t.services), len(t.domain)
    seen = t.serves.any(axis=0).sum() / nodes  # ingresses that a node may serve
    size = max(4, min(pairs, int(TRIPLES / seen)) // width)
    left = np.ones(nodes, bool)
    while left.any():
        rest = np.nonzero(left)[0]
        centre = int(rest[turn * (len(rest) - 1) // (len(SWEEPS) - 1)])
        order = np.lexsort(((np.arange(nodes) - centre) % nodes, near[t.domain[centre]][t.domain]))
        region = np.zeros(nodes, bool)
        region[order[:size]] = True
        left &= ~region
        for first in range(0, count, width):
            services = np.zeros(count, bool)
            services[first : first + width] = True
            yield services, region


def _domain_distance(t: Tables) -> Floats:
    """(g, h): how far apart, s: the mean difference of what ingresses see of the two domains."""
    domains = len(t.domains)
    seen = np.stack([t.late[0][:, t.domain == g].min(axis=1) for g in range(domains)])
    seen = np.where(np.isfinite(seen), seen, 1e3)
    return np.array(np.abs(seen[:, None, :] - seen[None, :, :]).mean(axis=2))


def _resolved(
    t: Tables, c: Costs, relaxed: Relaxation, flows: Sequence[FlowCover], best: Candidate, free: Mask, gap: float
) -> Candidate:
    """The pairs of `free` and the z of all who may be served there are solved again; everything else as it is."""
    likely: Mask = np.asarray(relaxed.penalty <= LIKELY * np.median(t.price))
    y: Mask = np.asarray(best.y | (free & likely))
    touched: Mask = np.asarray((t.serves & free[:, None, :]).any(axis=2))
    z = (best.z > 0) | (t.serves & touched[:, :, None] & y[:, None, :])
    covers = [cover for cover in relaxed.covers if free[:, cover[0]].any()]
    inside = [f for f in flows if free[f.service, f.nodes].any() and touched[f.service, f.ingresses].all()]
    p = pieces(t, c, y, covers, z, inside)
    matrix = _frozen(p, p.matrix(), best, free, touched)
    solved = solve(matrix, gap=gap * free.sum() / free.size, nodes=NODES, start=p.values(best.y, best.z))
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
