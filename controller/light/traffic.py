"""What services send one another: where both stand on one node, it crosses no link (docs/mathematics.md, eq. (49))."""

from __future__ import annotations

from typing import NamedTuple

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


def neighbours(model: Model) -> dict[str, tuple[Neighbour, ...]]:
    """Of each service. Gateways are none: no service runs there."""
    weight: dict[str, float] = {}
    pairs: dict[tuple[str, str], list[float]] = {}
    for task in model.tasks:
        service = {s.name: s.service for s in task.stages}
        for stage in task.stages:
            weight[stage.service] = weight.get(stage.service, 0.0) + task.share
            for i in stage.inputs:
                if i.source != INGRESS:
                    sums = pairs.setdefault((service[i.source], stage.service), [0.0, 0.0])
                    sums[0] += task.share
                    sums[1] += task.share * i.bytes
    found: dict[str, list[Neighbour]] = {m.name: [] for m in model.services()}
    for (a, b), (share, size) in pairs.items():
        if share > 0.0:
            per_a, per_b, mean = share / weight[a], share / weight[b], size / share
            found[a].append(Neighbour(b, False, per_a, per_b, mean))
            found[b].append(Neighbour(a, True, per_b, per_a, mean))
    return {m: tuple(rows) for m, rows in found.items()}
