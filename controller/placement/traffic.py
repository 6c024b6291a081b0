"""Core-to-core traffic with the light services contracted (docs/mathematics.md §2, eq. (10) and (17))."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class Distances:
    """Sums over the node pairs of two domains that have a path: delay (g, h) s, per_byte (g, h) s per byte, pairs."""

    delay: NDArray[np.float64]
    per_byte: NDArray[np.float64]
    pairs: NDArray[np.float64]

    def net(self, size: float) -> NDArray[np.float64]:
        """net(g, h, b) (g, h) in seconds: mean of eq. (1) over the nodes of two domains, 0 for a node to itself.

        Pairs without a path are left out of the mean; infinite where no pair has one.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self.delay + size * self.per_byte) / self.pairs
        return np.where(self.pairs > 0, mean, np.inf)


def distances(model: Model, domain: NDArray[np.int64]) -> Distances:
    """Path costs summed by domain; domain (v,): index of g(v), 0 … G − 1."""
    at = {v.name: g for v, g in zip(model.nodes, domain.tolist(), strict=True)}
    count = int(domain.max()) + 1
    pairs = [key for key in model.paths.delay if key[0] in at and key[1] in at]
    cell = np.array([at[a] * count + at[b] for a, b in pairs], np.int64)

    def summed(values: Mapping[tuple[str, str], float]) -> NDArray[np.float64]:
        each = np.fromiter((values[key] for key in pairs), float, len(pairs))
        return np.bincount(cell, each, count * count).reshape(count, count).astype(float)

    found = np.bincount(cell, minlength=count * count).reshape(count, count).astype(float)
    found[np.diag_indices(count)] += np.bincount(domain, minlength=count)
    return Distances(summed(model.paths.delay), summed(model.paths.per_byte), found)
