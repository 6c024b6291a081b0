"""Services apart (docs/mathematics.md §5 and §8, eq. (45) and (51)): a bound that sees that instances are whole.

With nodes (13) and covers (40) at their prices services don't know of each other. Each is a program of its own, a fifth
or an eighth as large, and its relaxation takes flow covers in a fraction of the time that the whole one would take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.placement import flowcover
from controller.placement.flowcover import FlowCover
from controller.placement.matrix import Floats
from controller.placement.program import Costs, Program
from controller.placement.relaxation import Relaxation, lagrangian, missing, pieces, spread
from controller.placement.solver import solve
from controller.placement.tables import FEW, Tables

#: Triples (o, v) up to which a service takes flow covers: with more, all see all, and there is little to gain for much.
FLOWS = 20_000
#: Rounds of violated flow covers, and the relative gain of one below which another is not begun.
ROUNDS, WORTH = 12, 1e-4
#: A pair is in a service's program from the start when its penalty is below this share of its price.
NEAR = 0.25
#: A flow cover whose price is below this only makes the program longer.
FREE = 1e-9


@dataclass(frozen=True)
class Alone:
    """A service's program: tables and costs with it alone, the flow covers that hold there, the bound by them."""

    tables: Tables
    costs: Costs
    flows: list[FlowCover]
    bound: float


def apart(t: Tables, c: Costs, relaxed: Relaxation) -> tuple[Relaxation, list[Alone]]:
    """The relaxation with flow covers, at the prices of the one without, service by service."""
    if not np.isfinite(relaxed.bound) or t.serves.sum(axis=(1, 2)).max() > FLOWS:
        return relaxed, []
    bound, services = relaxed.rent, list[Alone]()
    y, z, penalty = relaxed.y.copy(), relaxed.z.copy(), relaxed.penalty.copy()
    for m in range(len(t.services)):
        one = slice(m, m + 1)
        alone = alone_of(t, relaxed.price, one)
        costs = replace(c, z=c.z[one], s=c.s[one], w=c.w[:0], edges=(), source=c.source[:0], target=c.target[:0])
        likely = (relaxed.y[one] > 0) | (relaxed.penalty[one] <= NEAR * alone.price)
        found, y[one], z[one], penalty[one], flows = _cut(alone, costs, likely & alone.holds)
        bound += found
        services.append(Alone(alone, costs, flows, found))
    if bound <= relaxed.bound:
        return relaxed, services
    return replace(relaxed, bound=bound, y=y, z=z, penalty=penalty), services


def _cut(t: Tables, c: Costs, y: np.ndarray) -> tuple[float, Floats, Floats, Floats, list[FlowCover]]:
    """(bound, y, z, penalty, the flow covers that cost something) of one service from the pairs y (1, v) on."""
    best, flows = -np.inf, list[FlowCover]()
    for _ in range(ROUNDS):
        p = pieces(t, c, y, [], flows=flows)
        solved = solve(p.matrix(relaxed=True))
        if solved.status != "optimal":  # these pairs don't fit together: no better bound from here
            return -np.inf, np.zeros(y.shape), np.zeros(t.serves.shape), np.zeros(y.shape), []
        bound, worth = lagrangian(p, solved.duals)
        ys = spread(p.y_of, solved.values[p.y], t.holds.shape)
        zs = spread(p.z_of, solved.values[p.z], t.serves.shape)
        absent = missing(worth, y)
        gained, best = bound - best, max(best, bound)
        flows = _binding(p, flows, solved.duals)
        if not absent.any() and gained <= WORTH * abs(best):
            break
        y = y | absent
        flows = flows + flowcover.violated(t, ys, zs)
    return best, ys, zs, np.maximum(0.0, worth) - (best - bound), flows


def _binding(p: Program, flows: list[FlowCover], duals: Floats) -> list[FlowCover]:
    if not flows:
        return []
    return [f for f, dual in zip(flows, duals[p.rows.blocks["flow covers"]].tolist(), strict=True) if dual < -FREE]


def sharper(relaxed: Relaxation, services: list[Alone]) -> float:
    """Eq. (45) with the root node's bound, where a solver finds cuts of its own, of services served from everywhere."""
    return max(relaxed.bound, relaxed.rent + sum(_root(x) if x.tables.most[0] <= FEW else x.bound for x in services))


def _root(x: Alone) -> float:
    program = pieces(x.tables, x.costs, x.tables.holds, [], flows=x.flows)
    return max(x.bound, solve(program.matrix(), nodes=1).bound)


def together(services: list[Alone]) -> list[FlowCover]:
    """The flow covers of all services, each under its number among them."""
    return [replace(flow, service=m) for m, x in enumerate(services) for flow in x.flows]


def alone_of(t: Tables, price: Floats, one: slice) -> Tables:
    """The tables of some services, at other prices."""
    names = ("demand", "holds", "cap", "least", "most", "spread", "survive", "late", "score", "serves")
    return replace(t, services=t.services[one], price=price[one], **{name: getattr(t, name)[one] for name in names})
