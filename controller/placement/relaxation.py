"""A proven bound for a program of any size (docs/mathematics.md §5, eq. (41) to (44)).

Traffic is charged to the service it arrives at, at the price of the nearest origin (41): no placement gets dearer, and
the variables w are gone. The linear relaxation of what is left is solved on some of the pairs (m, v) first; its prices
give a Lagrangian bound for *all* of them (43), and name the pairs that are missing. Whoever is still not among them
costs at least the bound and a penalty (44): above the best placement known, no better one uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.placement import flowcover, program, strength
from controller.placement.flowcover import FlowCover
from controller.placement.matrix import Floats
from controller.placement.program import CONSTRAINTS, Columns, Costs, Program
from controller.placement.solver import solve
from controller.placement.strength import Cover
from controller.placement.tables import Mask, Tables

#: Rounds of missing pairs and violated covers. The bound is proven after any number of them.
ROUNDS = 40
#: Rows that cut off fractions alone, all of them ≤.
CUTS = ("covers", "flow covers")
#: Relative distance of bound and relaxation at which there is nothing left to gain.
NEAR = 1e-5
#: Pairs per service to begin with, and to add in a round.
FIRST, MORE = 40, 40


@dataclass(frozen=True)
class Relaxation:
    """bound: for the whole program. y (m, v), z (m, o, v): of the relaxation. penalty (m, v): eq. (44), ≥ 0.

    price (m, v): of an instance, what it takes of nodes (13) and covers (40) included; rent: what these are worth.
    """

    bound: float
    y: Floats
    z: Floats
    penalty: Floats
    covers: list[Cover]
    price: Floats
    rent: float


def folded(t: Tables, c: Costs) -> Costs:
    """Eq. (41): every w dropped, its least cost charged to the z it feeds."""
    z = c.z.copy()
    for k, target in enumerate(c.target.tolist()):
        least = c.w[k].min(axis=1)
        z[target] += np.where(np.isfinite(least), least, 0.0)[:, t.domain]
    return replace(c, z=z)


def pieces(
    t: Tables,
    c: Costs,
    y: Mask,
    found: list[Cover],
    z: Mask | None = None,
    flows: Sequence[FlowCover] = (),
) -> Program:
    """The program without traffic on the pairs of y, strengthened."""
    columns = Columns(y, (t.serves if z is None else z) & y[:, None, :], np.zeros((0, 1, 1, 1), bool))
    p = program.assemble(t, c, columns, [f for f in CONSTRAINTS if f is not program.flows])
    strength.carried(p)
    strength.count(p)
    if found:
        strength.covers(p, found)
    if flows:
        flowcover.rows(p, flows)
    return p


def relax(t: Tables, c: Costs) -> Relaxation:
    """The best bound of all rounds, with the y, z and penalties of the last. c: folded costs."""
    y, found, best = _first(t, c), list[Cover](), -np.inf
    for _ in range(ROUNDS):
        p = pieces(t, c, y, found)
        solved = solve(p.matrix(relaxed=True))
        if solved.status != "optimal":  # these pairs don't fit together: all, then
            if (y == t.holds).all():
                break
            y = t.holds.copy()
            continue
        bound, worth = lagrangian(p, solved.duals)
        best = max(best, bound)
        cut = strength.violated(t, spread(p.y_of, solved.values[p.y], y.shape))
        p_covers = list(found)
        if not cut and solved.objective - best <= NEAR * abs(solved.objective):
            break
        found += [cover for cover in cut if cover not in found]
        y = y | missing(worth, y)
    if not np.isfinite(best):  # nothing fits, or the rounds went by: no bound, and nothing to go by
        nothing = np.zeros(t.holds.shape)
        return Relaxation(best, nothing, np.zeros(t.serves.shape), nothing, [], t.price, 0.0)
    price, rent = _rents(p, solved.duals)
    ys = spread(p.y_of, solved.values[p.y], y.shape)
    zs = spread(p.z_of, solved.values[p.z], t.serves.shape)
    penalty = np.maximum(0.0, worth) - (best - bound)
    return Relaxation(best, ys, zs, penalty, p_covers, price, rent)


def _rents(p: Program, duals: Floats) -> tuple[Floats, float]:
    """(price (m, v) of an instance with what it takes of (13) and (40), what all of these together are worth)."""
    t, blocks = p.tables, p.rows.blocks
    price, rent = t.price.copy(), 0.0
    for i, kind in enumerate(program.RESOURCES):
        dual = np.minimum(0.0, duals[blocks[kind]])
        price -= np.outer(t.need[i], dual)
        rent += float((dual * t.room[i]).sum())
    if "covers" in blocks:
        dual = np.minimum(0.0, duals[blocks["covers"]])
        price[p.y_of] -= _priced(p, "covers", dual)[p.y]
        rent += float((dual * np.concatenate(p.rows.upper)[blocks["covers"]]).sum())
    return price, rent


def _priced(p: Program, block: str, dual: Floats) -> Floats:
    """(columns,): Σ over the rows of a block of their dual and coefficient."""
    row, column, value = (np.concatenate([x[i] for x in p.rows.triplets]) for i in range(3))
    rows = p.rows.blocks[block]
    mine = (row >= rows.start) & (row < rows.stop)
    return np.bincount(column[mine], dual[row[mine] - rows.start] * value[mine], p.count).astype(float)


def spread(of: tuple[np.ndarray, ...], values: Floats, shape: tuple[int, ...]) -> Floats:
    full = np.zeros(shape)
    full[of] = values
    return full


def _first(t: Tables, c: Costs) -> Mask:
    """Pairs to begin with: per service those that serve most of the demand best, in every domain and of every node."""
    gain = np.where(t.serves, (c.s[:, :, None] - c.z), 0.0)
    reach = np.minimum(1.0, t.cap / np.maximum(1e-9, np.where(t.serves, t.demand[:, :, None], 0.0).sum(axis=1)))
    worth = np.where(t.holds, gain.sum(axis=1) * reach - t.price, -np.inf)
    chosen = np.zeros(t.holds.shape, bool)
    for m in range(len(worth)):
        chosen[m, np.argsort(-worth[m], kind="stable")[:FIRST]] = True
        for g in range(len(t.domains)):
            members = np.nonzero(t.domain == g)[0]
            chosen[m, members[np.argsort(-worth[m, members], kind="stable")[:2]]] = True
    return chosen & t.holds


def missing(worth: Floats, y: Mask) -> Mask:
    """Of the pairs not in the program those with the most negative worth, so many per service."""
    more = np.zeros(y.shape, bool)
    for m in range(len(worth)):
        absent = np.where(y[m], 0.0, worth[m])
        for v in np.argsort(absent, kind="stable")[:MORE]:
            more[m, v] = absent[v] < -1e-9
    return more


def lagrangian(p: Program, duals: Floats) -> tuple[float, Floats]:
    """(bound (43), worth (m, v) of y_mv = 1 by (42)) from prices of the rows; valid for any prices.

    All rows are priced but (11)'s z ≤ y, (12): they hold within a pair (m, v), which is solved exactly, absent or not.
    """
    t, blocks = p.tables, p.rows.blocks
    price = {name: duals[rows] for name, rows in blocks.items()}
    served = np.zeros(t.demand.shape)
    served[p.s_of] = price["coverage"]
    for name, sign in (
        ("survival", 1),
        ("carried", 1),
        ("count", 1),
        ("diversity", 1),
        ("largest", 1),
        ("presence", -1),
    ):
        price[name] = sign * np.maximum(0.0, sign * price[name])
    for name in program.RESOURCES:
        price[name] = np.minimum(0.0, price[name])
    cuts = [name for name in CUTS if name in price]
    for name in cuts:
        price[name] = np.minimum(0.0, price[name])
    y, z = _priced_y(p, price), p.costs.z
    if "flow covers" in price:
        z = z.copy()
        z[p.z_of] -= _priced(p, "flow covers", price["flow covers"])[p.z]
    # s: what is left unserved counts in (38); u, t: bounded columns of their own.
    s = p.costs.s[p.s_of] - price["coverage"] - price["carried"][p.s_of[0]] * t.demand[p.s_of]
    presence = price["presence"].reshape(len(t.services), -1)
    u = -presence - price["diversity"][:, None]
    largest = np.bincount(p.y_of[0], price["largest"], len(t.services))
    tall = (price["survival"] - largest) * t.cap.max(axis=1)
    worth = y + _served(t, z, served)
    many = price["sparsity"]
    constant = price["coverage"].sum() + (np.maximum(0, many) * t.least + np.minimum(0, many) * t.most).sum()
    constant += (price["diversity"] * t.spread + price["survival"] * t.survive + price["carried"] * t.total).sum()
    constant += (price["count"] * strength.fewest(t)).sum()
    constant += sum((price[k] * t.room[i]).sum() for i, k in enumerate(program.RESOURCES))
    for name in cuts:
        constant += (price[name] * np.concatenate(p.rows.upper)[blocks[name]]).sum()
    free = sum(np.minimum(0.0, x).sum() for x in (s, u, tall, worth[t.holds]))
    return float(constant + free), np.where(t.holds, worth, np.inf)


def _priced_y(p: Program, price: dict[str, Floats]) -> Floats:
    """Reduced cost of every y (m, v), those not in the program included."""
    t = p.tables
    presence = price["presence"].reshape(len(t.services), -1)
    y = t.price - price["sparsity"][:, None] - price["count"][:, None] + presence[:, t.domain]
    y -= (price["survival"] + price["carried"])[:, None] * t.cap
    for i, kind in enumerate(program.RESOURCES):
        y -= np.outer(t.need[i], price[kind])
    y[p.y_of] += price["largest"] * t.cap[p.y_of]
    for name in CUTS:
        if name in price:
            y[p.y_of] -= _priced(p, name, price[name])[p.y]
    return y


def _served(t: Tables, cost: Floats, served: Floats) -> Floats:
    """(m, v): least Σ_o (cost − price) z within capacity and 0 ≤ z ≤ 1: the best of the demand first, eq. (42)."""
    gain = np.where(t.serves, served[:, :, None] - cost, 0.0)
    size = np.where(t.serves, t.demand[:, :, None], 0.0)
    found = np.zeros(t.cap.shape)
    for m in range(len(t.services)):
        value = np.maximum(0.0, gain[m])
        ratio = np.divide(value, size[m], out=np.zeros_like(value), where=size[m] > 0)
        order = np.argsort(-ratio, axis=0, kind="stable")
        amount = np.take_along_axis(size[m], order, axis=0)
        before = np.cumsum(amount, axis=0) - amount
        part = np.clip(np.divide(t.cap[m] - before, amount, out=np.zeros_like(amount), where=amount > 0), 0.0, 1.0)
        found[m] = -(np.take_along_axis(value, order, axis=0) * part).sum(axis=0)
    return found
