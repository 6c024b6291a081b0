"""A tree: the root s1, `fanout` sites below each site, `depth` levels below the root; nodes at the leaves.

Each subtree below the root is one cluster; the root belongs to the first. The gateway of a cluster is at its
middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from testbed.topology.generators.base import MOST_SITES, Common, assemble
from testbed.topology.model import Topology


class Parameters(Common):
    """depth ≥ 1 levels below the root, fanout ≥ 1 sites below each site."""

    depth: Annotated[int, Field(ge=1, le=10)]
    fanout: Annotated[int, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _not_too_many(self) -> Any:
        sites = sum(self.fanout**level for level in range(self.depth + 1))
        if sites > MOST_SITES:
            raise ValueError(f"depth {self.depth} and fanout {self.fanout} make {sites} sites, at most {MOST_SITES}")
        return self


def build(parameters: Parameters, kinds: Sequence[str], seed: int) -> Topology:
    pairs: list[tuple[int, int]] = []
    domains, level = ["c1"], [0]
    for depth in range(parameters.depth):
        below: list[int] = []
        for parent in level:
            for _ in range(parameters.fanout):
                child = len(domains)
                domains.append(f"c{len(below) + 1}" if depth == 0 else domains[parent])
                pairs.append((parent, child))
                below.append(child)
        level = below
    return assemble("tree", parameters, domains, pairs, kinds, seed, with_nodes=level)
