"""What services send one another: where both stand on one node, it crosses no link (docs/mathematics.md, eq. (49))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controller.light.demand import Edges
from controller.model import INGRESS, Model


class Neighbour(NamedTuple):
    """Another service that sends to this one (`before`) or gets what it sends on.

    mine, its: transfers per request of this service, and of the other; size: mean bytes of one.
    """

    service: str
    before: bool
    mine: float
    its: float
    size: float


def neighbours(model: Model, edges: Mapping[str, Edges]) -> dict[str, tuple[Neighbour, ...]]:
    """Of each service. edges: `demand.edges` of each. Gateways are none: no service runs there."""
    visits: dict[str, float] = {}
    for task in model.tasks:
        for stage in task.stages:
            visits[stage.service] = visits.get(stage.service, 0.0) + task.share
    found: dict[str, list[Neighbour]] = {m: [] for m in edges}
    for a in visits:
        for b, size, share in edges[a][1]:
            if b != INGRESS and share > 0.0:
                back = share * visits[a] / visits[b]
                found[a].append(Neighbour(b, False, share, back, size))
                found[b].append(Neighbour(a, True, back, share, size))
    return {m: tuple(rows) for m, rows in found.items()}
