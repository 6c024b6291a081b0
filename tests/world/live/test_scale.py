"""As large as two cores take: sixty nodes in the ordinary suite, a hundred when there is time; up, verified, gone."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.live import capabilities
from testbed.world.live.docker_hosts import Limits
from testbed.world.live.drift import Watch
from testbed.world.live.names import address
from testbed.world.live.network import Network
from tests.world.live import hosts_kit

pytestmark = pytest.mark.live


def edge(nodes: int, sites: int) -> Topology:
    """Sites in a ring of trunks; node i at site i modulo their number; all links shaped."""
    node, trunk = Shape(20e6), Shape(50e6, 0.001)
    switches = tuple(Site(f"s{i}", f"c{i}") for i in range(sites))
    hosts = tuple(Host(f"n{i}", f"s{i % sites}", f"c{i % sites}", "small") for i in range(nodes))
    ring = ((f"s{i}", f"s{(i + 1) % sites}") for i in range(sites))
    links = [Link(f"{a}--{b}", a, b, trunk, trunk) for a, b in ring]
    links += [Link(f"{h.name}--{h.site}", h.name, h.site, node, node, "node") for h in hosts]
    return Topology(f"edge{nodes}", switches, hosts, (), tuple(links))


@pytest.mark.parametrize(("nodes", "sites"), [(60, 6), pytest.param(100, 10, marks=pytest.mark.long)])
def test_so_many_nodes_with_shaped_links(nodes: int, sites: int) -> None:
    topology = edge(nodes, sites)
    with hosts_kit.run() as hosts:  # asserts at its end that nothing is left
        pods = hosts.start_pods({h.name: Limits(0.5, 64e6) for h in topology.nodes})
        assert len({p.netns for p in pods.values()} | {os.stat("/proc/self/ns/net").st_ino}) == nodes + 1
        network = Network(hosts.names, topology, pods, {}, hosts.ledger, capabilities.probe(), 0.0, seed=1)
        watch = Watch(network, hosts)
        try:
            network.build()
            assert hosts.verify({}) == []
            watch.begin()
            last = address(nodes - 1)
            ping = ["nsenter", f"--net={network.namespaces['n0']}", "ping", "-c5", "-i0.02", "-W2", last]
            out = subprocess.run(ping, capture_output=True, text=True, check=False).stdout
            assert re.search(r"5 received", out), out
            assert watch.look(0.0) == [], "traffic is not drift"
            assert network.verify() == []
        finally:
            watch.close()
            network.detach()
            hosts.close()
            network.stop()
