"""Sites in a circle: s1–s2–…–sN–s1. Every site survives one cut trunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from testbed.topology.generators.base import MOST_SITES, Chain, assemble, chain_domains
from testbed.topology.model import Topology


class Parameters(Chain):
    """sites: N ≥ 3."""

    sites: Annotated[int, Field(ge=3, le=MOST_SITES)]


def build(parameters: Parameters, kinds: Sequence[str], seed: int) -> Topology:
    n = parameters.sites
    pairs = [(i, i + 1) for i in range(n - 1)] + [(0, n - 1)]
    return assemble("ring", parameters, chain_domains(parameters), pairs, kinds, seed)
