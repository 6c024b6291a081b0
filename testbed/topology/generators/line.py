"""Sites in a row: s1–s2–…–sN."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.topology.generators.base import Chain, assemble, chain_domains
from testbed.topology.model import Topology


class Parameters(Chain):
    """sites: N ≥ 1."""


def build(parameters: Parameters, kinds: Sequence[str], seed: int) -> Topology:
    pairs = [(i, i + 1) for i in range(parameters.sites - 1)]
    return assemble("line", parameters, chain_domains(parameters), pairs, kinds, seed)
