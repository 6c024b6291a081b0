"""Rows that cut no placement off and bring the relaxation nearer to one (docs/mathematics.md §5, eq. (38) to (40))."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from controller.placement.matrix import Floats, Ints
from controller.placement.program import Program
from controller.placement.tables import Tables

#: Covers are looked for among at most so many services of a node: 2¹⁰ subsets.
COVERED = 10
#: A cover is added when the relaxation exceeds it by this.
VIOLATED = 1e-3

#: (node, services, how many of them the node can hold at most)
Cover = tuple[int, tuple[int, ...], int]


def carried(p: Program) -> None:
    """Eq. (38): instances carry what is not left unserved. Implied by (11) and (12), but here it is one row."""
    t = p.tables
    terms = [(p.y_of[0], p.y, t.cap[p.y_of]), (p.s_of[0], p.s, t.demand[p.s_of])]
    p.rows.add("carried", t.total, np.inf, len(t.services), terms)


def count(p: Program) -> None:
    """Eq. (39): no fewer instances than N−1 needs of the fastest nodes."""
    p.rows.add("count", fewest(p.tables), np.inf, len(p.tables.services), [(p.y_of[0], p.y, 1.0)])


def fewest(t: Tables) -> Ints:
    """(m,): the least number of instances of which all but the fastest carry S_m, and at least r_m."""
    ranked = -np.sort(-t.cap, axis=1)
    left = np.cumsum(ranked, axis=1) - ranked[:, :1]
    short = left < t.survive[:, None] * (1 - 1e-9)
    found: Ints = np.maximum(short.sum(axis=1) + (t.survive > 0), t.least)
    return found


def covers(p: Program, found: list[Cover]) -> None:
    """Eq. (40): of services that don't fit on a node together, one at least is not there."""
    sizes = [len(services) for _, services, _ in found]
    row = np.repeat(np.arange(len(found)), sizes)
    column = np.array([p.y_at[m, v] for v, services, _ in found for m in services], np.int64)
    there = column >= 0
    limit = np.array([most for _, _, most in found], float)
    p.rows.add("covers", -np.inf, limit, len(found), [(row[there], column[there], 1.0)])


def violated(t: Tables, y: Floats) -> list[Cover]:
    """The covers (40) that y (m, v) breaks, at most one per node: the one that it breaks most."""
    found: list[Cover] = []
    known: dict[tuple[float, ...], list[tuple[tuple[int, ...], int]]] = {}
    for v in np.nonzero((y > VIOLATED).sum(axis=0) > 1)[0].tolist():
        kind = (*t.room[:, v].tolist(), *t.holds[:, v].tolist())
        if kind not in known:
            known[kind] = _covers(t, v)
        excess = [(float(y[list(services), v].sum()) - most, services, most) for services, most in known[kind]]
        worst = max(excess, default=(0.0, (), 0))
        if worst[0] > VIOLATED:
            found.append((v, worst[1], worst[2]))
    return found


def _covers(t: Tables, v: int) -> list[tuple[tuple[int, ...], int]]:
    """Minimal covers of a node, each with the services that need at least as much as its largest one put in."""
    able = np.nonzero(t.holds[:, v])[0].tolist()[:COVERED]
    room = t.room[:, v] * (1 + 1e-6)
    found: list[tuple[int, ...]] = []
    for size in range(2, len(able) + 1):
        for services in combinations(able, size):
            if not any(set(c) <= set(services) for c in found) and (t.need[:, services].sum(axis=1) > room).any():
                found.append(services)
    return [(_extended(t, services, able, room), len(services) - 1) for services in found]


def _extended(t: Tables, services: tuple[int, ...], able: list[int], room: Floats) -> tuple[int, ...]:
    """The cover and what needs as much of the *one* resource it exceeds as any of it: exchanging them keeps it full."""
    over = np.nonzero(t.need[:, services].sum(axis=1) > room)[0].tolist()
    more = [[m for m in able if m not in services and t.need[k, m] >= t.need[k, services].max()] for k in over]
    return tuple(sorted((*services, *max(more, key=len))))
