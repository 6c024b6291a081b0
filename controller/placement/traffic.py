"""Core-to-core traffic with the light services contracted (docs/mathematics.md §2, eq. (10) and (17))."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from controller.model import INGRESS, Model, TaskType


@dataclass(frozen=True, slots=True)
class Edge:
    """e: `share` of all tasks send `bytes` from core service `source` to core service `target`."""

    share: float
    source: str
    target: str
    bytes: float


def edges(model: Model, shares: dict[str, float]) -> tuple[Edge, ...]:
    """Contracted edges of all task types that occur, in the order of their stages."""
    core = {m.name for m in model.core}
    return tuple(e for n in model.tasks if shares[n.name] > 0 for e in _contract(n, shares[n.name], core))


def _contract(task: TaskType, share: float, core: set[str]) -> list[Edge]:
    """Edges between core stages that a path through light stages alone joins.

    Size of an edge: the least on the path (the lights may stand on either side), the largest of several paths'.
    """
    service = {s.name: s.service for s in task.stages}
    found: list[Edge] = []
    # Per stage: core stage whose output reaches it → bytes that have to cross, were it to stand elsewhere.
    reaching: dict[str, dict[str, float]] = {}
    for stage in task.stages:
        here: dict[str, float] = {}
        for i in stage.inputs:
            if i.source == INGRESS:
                continue
            if service[i.source] in core:
                here[i.source] = max(here.get(i.source, 0.0), i.bytes)
            else:
                for origin, size in reaching[i.source].items():
                    here[origin] = max(here.get(origin, 0.0), min(size, i.bytes))
        reaching[stage.name] = here
        if stage.service in core:
            found += [Edge(share, service[origin], stage.service, size) for origin, size in here.items()]
    return found


def distances(model: Model) -> Callable[[str, str, float], float]:
    """net(g, h, b) in seconds: mean of eq. (1) over the nodes of two domains, 0 for a node to itself.

    Pairs without a path are left out of the mean; infinite where no pair has one.
    """
    members: dict[str, list[str]] = {}
    for v in model.nodes:
        members.setdefault(v.domain, []).append(v.name)

    @cache
    def net(g: str, h: str, size: float) -> float:
        times = [model.paths.net(a, b, size) for a in members[g] for b in members[h]]
        finite = [t for t in times if t < float("inf")]
        return sum(finite) / len(finite) if finite else float("inf")

    return net
