"""Metro clusters: one site per cluster with its nodes, trunks between the sites in a full mesh or a ring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from testbed.topology.generators.base import Common, assemble
from testbed.topology.model import Topology


class Parameters(Common):
    """clusters ≥ 1; mesh: which sites are joined."""

    clusters: Annotated[int, Field(ge=1, le=50)]
    mesh: Literal["full_mesh", "ring"] = "full_mesh"


def build(parameters: Parameters, kinds: Sequence[str], seed: int) -> Topology:
    n = parameters.clusters
    pairs = list(combinations(range(n), 2))
    if parameters.mesh == "ring" and n > 3:
        pairs = [(i, j) for i, j in pairs if j - i in (1, n - 1)]
    return assemble("metro", parameters, [f"c{i + 1}" for i in range(n)], pairs, kinds, seed)
