"""Flow covers (docs/mathematics.md §8, eq. (51)): what instances that are whole can't do for some ingresses together.

The relaxation opens the part of an instance that is used. Where a few instances C carry nearly all of the demand of
some ingresses S and would have λ to spare if they were whole, closing one of them costs all it carries beyond λ: the
others have no more than that to take over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from controller.placement.matrix import Floats, Ints
from controller.placement.program import Program
from controller.placement.tables import Mask, Tables

#: Ingresses of one cover at most; sets grow from every ingress, one at a time.
LARGEST = 10
#: A cover is added when the relaxation exceeds it by this share of the demand of S.
VIOLATED = 1e-3
#: Shares of an instance or of demand below this are none.
NONE = 1e-9


@dataclass(frozen=True)
class FlowCover:
    """Σ_{o∈S, v∈nodes} Λ_mo z_mov − Σ_{v∈nodes} closing_v y_mv ≤ most, 1/s. ingresses: S; nodes: C ∪ L."""

    service: int
    ingresses: Ints
    nodes: Ints
    closing: Floats
    most: float


def rows(p: Program, found: Sequence[FlowCover]) -> None:
    """Eq. (51). Columns that are not in the program are 0 and drop out."""
    z_at = np.full(p.tables.serves.shape, -1)
    z_at[p.z_of] = p.z
    row, column, value = [], [], []
    for i, f in enumerate(found):
        z, y = z_at[f.service][np.ix_(f.ingresses, f.nodes)], p.y_at[f.service, f.nodes]
        demand = np.broadcast_to(p.tables.demand[f.service, f.ingresses][:, None], z.shape)
        row.append(np.full((z >= 0).sum() + (y >= 0).sum(), i))
        column += [z[z >= 0], y[y >= 0]]
        value += [demand[z >= 0], -f.closing[y >= 0]]
    terms = [(np.concatenate(row), np.concatenate(column), np.concatenate(value))]
    p.rows.add("flow covers", -np.inf, np.array([f.most for f in found]), len(found), terms)


def violated(t: Tables, y: Floats, z: Floats) -> list[FlowCover]:
    """The flow covers of all services that y (m, v) and z (m, o, v) break, those that are looked for."""
    return [f for m in range(len(t.services)) for f in _of_service(t, m, y[m], z[m])]


def _of_service(t: Tables, m: int, y: Floats, z: Floats) -> Iterator[FlowCover]:
    """Per set of ingresses the covers by the nodes least closed, and by those least idle."""
    nodes = np.nonzero(y > NONE)[0]
    demand, part = t.demand[m], y[nodes]
    flow, serves = demand[:, None] * z[:, nodes], t.serves[m][:, nodes]
    known: set[tuple[bytes, bytes]] = set()
    for chosen in _growing(flow, z[:, nodes]):
        total, carried = chosen @ demand, chosen @ flow
        able = np.minimum(t.cap[m, nodes], chosen @ (demand[:, None] * serves))
        for idle in (1.0 - part, able - carried):
            ratio = np.where(carried > NONE, idle / np.maximum(NONE, able), np.inf)
            for more in (0, 1):
                cover = _first(ratio, able, total, more)
                closing, within, excess = _lifted(cover, able, carried, total, part)
                for i in np.nonzero(excess > VIOLATED * total)[0].tolist():
                    key = (chosen[i].tobytes(), cover[i].tobytes())
                    if key not in known:
                        known.add(key)
                        most = float(total[i] - closing[i][cover[i]].sum())
                        yield FlowCover(m, np.nonzero(chosen[i])[0], nodes[within[i]], closing[i][within[i]], most)


def _growing(flow: Floats, z: Floats) -> Iterator[Mask]:
    """(o, o): from every ingress on, set by set, the ingress added that is served most by the nodes of the set."""
    everyone = np.arange(len(flow))
    chosen = np.eye(len(flow), dtype=bool)
    for size in range(1, min(LARGEST, len(flow)) + 1):
        yield chosen
        if size < len(flow):
            shared = np.where(chosen, -1.0, (chosen @ flow) @ z.T)
            chosen = chosen.copy()
            chosen[everyone, shared.argmax(axis=1)] = True


def _first(ratio: Floats, able: Floats, total: Floats, more: int) -> Mask:
    """(sets, v): C, the nodes of least ratio that carry more than S asks for, and so many more; none if all don't."""
    order = np.argsort(ratio, axis=1, kind="stable")
    usable = np.isfinite(ratio)
    together = np.cumsum(np.take_along_axis(np.where(usable, able, 0.0), order, axis=1), axis=1)
    last = (together <= total[:, None] * (1 + 1e-9)).sum(axis=1) + more
    rank = np.argsort(order, axis=1, kind="stable")
    enough = last < usable.sum(axis=1)
    return np.asarray((rank <= last[:, None]) & usable & enough[:, None])


def _lifted(cover: Mask, able: Floats, carried: Floats, total: Floats, part: Floats) -> tuple[Floats, Mask, Floats]:
    """(closing, C ∪ L (sets, v), by how much y and z break the cover (sets,), 1/s): L is every node that adds to it."""
    spare = np.where(cover, able, 0.0).sum(axis=1) - total
    largest = np.where(cover, able, 0.0).max(axis=1, initial=0.0)
    taller = np.where(cover, able, np.maximum(able, largest[:, None]))
    closing = np.maximum(0.0, taller - spare[:, None])
    added = carried - closing * part
    within: Mask = np.asarray(cover | (added > NONE))
    excess = np.where(within, added, 0.0).sum(axis=1) + np.where(cover, closing, 0.0).sum(axis=1) - total
    return closing, within, np.where((spare > 1e-6 * total) & (largest > spare), excess, 0.0)
