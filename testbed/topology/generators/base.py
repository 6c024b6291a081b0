"""What every generator shares: sites s1, s2, … with their nodes n1, n2, … and one gateway per cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from testbed.topology import derive
from testbed.topology.model import Host, Link, Site, Topology
from testbed.topology.shapes import GATEWAY_LINK, NODE_LINK, Part, Strict, TrunkPart, link, shape
from testbed.topology.streams import stream

MOST_SITES = 1000


class Common(Strict):
    """Keys of every generator. nodes: kinds at each site that has any; left out: one node each, dealt by degree."""

    nodes: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    trunks: TrunkPart = TrunkPart()
    node: Part = Part()
    gateway: Part = Part()


class Chain(Common):
    """Keys of line and ring. per_cluster: so many neighbouring sites form one cluster."""

    sites: Annotated[int, Field(ge=1, le=MOST_SITES)]
    per_cluster: Annotated[int, Field(ge=1)] = 1


def chain_domains(parameters: Chain) -> list[str]:
    """Cluster of each site: c1 for the first per_cluster of them, and so on."""
    return [f"c{i // parameters.per_cluster + 1}" for i in range(parameters.sites)]


def assemble(
    name: str,
    parameters: Common,
    domains: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    kinds: Sequence[str],
    seed: int,
    with_nodes: Sequence[int] | None = None,
) -> Topology:
    """The network of sites 0..n−1 in `domains`, trunks on `pairs`, nodes at `with_nodes` (default: everywhere)."""
    sites = [Site(f"s{i}", domain) for i, domain in enumerate(domains, start=1)]
    trunks = [_trunk(sites[i].name, sites[j].name, parameters.trunks, seed) for i, j in pairs]
    hosts: list[Host] = []
    for i in range(len(sites)) if with_nodes is None else with_nodes:
        for kind in parameters.nodes or (None,):
            hosts.append(Host(f"n{len(hosts) + 1}", sites[i].name, sites[i].domain, kind))
    nodes = derive.dealt(hosts, kinds, derive.degrees(sites, trunks))
    ingresses = derive.ingress_hosts(derive.middle_sites(sites, trunks))
    links = [
        *trunks,
        *derive.host_links(nodes, shape(NODE_LINK, parameters.node), "node"),
        *derive.host_links(ingresses, shape(GATEWAY_LINK, parameters.gateway), "gateway"),
    ]
    return Topology(name, tuple(sites), tuple(nodes), tuple(ingresses), tuple(links))


def _trunk(a: str, b: str, part: TrunkPart, seed: int) -> Link:
    """A delay given as a range is drawn once per seed and pair."""
    low, high = part.delay
    delay = low if low == high else float(stream(seed, "trunk-delay", f"{a}--{b}").uniform(low, high))
    return link(a, b, part.shape(delay))
