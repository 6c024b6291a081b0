"""What somebody else does to a running testbed is noticed at the next look, and named; what we do is not news.

Real containers, switches and namespaces: two sites, two nodes each; every change is made by the tools a person has.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.base import Event
from testbed.world.live import capabilities, ovs
from testbed.world.live.docker_hosts import DockerHosts, Limits
from testbed.world.live.drift import GRACE_S, Watch
from testbed.world.live.names import mac
from testbed.world.live.network import Network
from tests.world.live import hosts_kit

pytestmark = pytest.mark.live
NODE, TRUNK = Shape(50e6), Shape(20e6, 0.002)


def two_sites() -> Topology:
    sites = tuple(Site(f"s{i}", f"c{i}") for i in (1, 2))
    nodes = tuple(Host(f"n{i}", f"s{(i + 1) // 2}", f"c{(i + 1) // 2}", "big") for i in range(1, 5))
    links = [Link("s1--s2", "s1", "s2", TRUNK, TRUNK)]
    links += [Link(f"{n.name}--{n.site}", n.name, n.site, NODE, NODE, "node") for n in nodes]
    return Topology("two", sites, nodes, (), tuple(links))


@dataclass
class Bed:
    hosts: DockerHosts
    network: Network
    watch: Watch
    told: list[Event] = field(default_factory=list)

    def look(self) -> list[str]:
        """ "name: what: expected → found" of the drift found now; each must make the run invalid."""
        events = self.watch.look(1.0)
        self.told += events
        drift = [e.data for e in events if e.kind == "drift"]
        assert len([e for e in events if e.kind == "invalid"]) == len(drift)
        return [f"{d['name']}: {d['what']}: {d['expected']} → {d['found']}" for d in drift]

    def over(self) -> list[str]:
        return [f"{e.data['name']}: {e.data['what']}" for e in self.told if e.kind == "drift_over"]

    def pod(self, node: str) -> list[str]:
        return ["nsenter", f"--net={self.network.namespaces[node]}"]

    def settle(self) -> None:
        """Until a change of ours is old news."""
        for _ in range(2):
            time.sleep(GRACE_S + 0.1)
            assert self.look() == []


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def until_told(bed: Bed, wanted: Callable[[str], bool]) -> list[str]:
    """What looks find until one line is as wanted: the kernel tells at once, a daemon within the second."""
    found: list[str] = []
    end = time.monotonic() + 2.0
    while not any(map(wanted, found)):
        assert time.monotonic() < end, found
        found += bed.look()
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with hosts_kit.run() as hosts:
        topology = two_sites()
        pods = hosts.start_pods({n.name: Limits() for n in topology.nodes})
        network = Network(hosts.names, topology, pods, {}, hosts.ledger, capabilities.probe(), 0.0, seed=1)
        watch = Watch(network, hosts)
        try:
            network.build()
            watch.begin()
            assert watch.look(0.0) == []
            yield Bed(hosts, network, watch)
        finally:
            watch.close()
            network.detach()
            hosts.close()
            network.stop()


def test_a_pod_has_its_own_network_and_no_capability(bed: Bed) -> None:
    spaces = {pod.netns for pod in bed.hosts.pods.values()}
    assert len(spaces) == 4
    for pod in bed.hosts.pods.values():
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines())
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


def test_nothing_is_told_while_only_traffic_flows(bed: Bed) -> None:
    assert bed.network.net is not None
    bed.network.net.get("n1").cmd("ping -c20 -i0.02 10.77.0.4")
    assert bed.look() == []


def test_our_own_changes_are_not_drift(bed: Bed) -> None:
    """A cut and its end, on a node's link and on a trunk; another rate."""
    for link in ("n1--s1", "s1--s2"):
        assert bed.network.set_link_state(link, up=False)[0]
        assert bed.look() == []
        assert bed.network.set_link_state(link, up=True)[0]
        assert bed.look() == []
    with bed.network.own("n2--s1"):
        bed.network.backend("n2--s1").change("n2--s1", "both", Shape(10e6))
    assert bed.look() == []
    with bed.network.own("n2--s1"):
        bed.network.backend("n2--s1").change("n2--s1", "both", NODE)
    bed.settle()


def test_a_rate_changed_by_tc_is_named_with_both_values(bed: Bed) -> None:
    alter = ["tc", "class", "change", "dev", "n3-eth0", "parent", "1:", "classid", "1:1", "htb"]
    run(*bed.pod("n3"), *alter, "rate", "5mbit")
    assert bed.look() == ["host n3: class 1:1 n3-eth0: htb rate 50000000 bit/s → htb rate 5000000 bit/s"]
    assert bed.look() == [], "told once"
    run(*bed.pod("n3"), *alter, "rate", "50mbit")
    assert bed.look() == []
    assert bed.over()[-1] == "host n3: class 1:1 n3-eth0", "and that it is over"


def test_a_queue_added_by_tc_on_a_switch_port(bed: Bed) -> None:
    port = bed.network.interfaces_of("n3--s2").pop()
    run("tc", "qdisc", "add", "dev", port, "root", "handle", "9:", "tbf", "rate", "1mbit", "burst", "5k", "limit", "9k")
    assert any(line.startswith(f"the host: queueing discipline 9: {port}: None → tbf") for line in bed.look())
    run("tc", "qdisc", "del", "dev", port, "root")
    bed.look()


def test_a_link_taken_down_by_hand(bed: Bed) -> None:
    port = bed.network.interfaces_of("n4--s2").pop()
    run("ip", "link", "set", "dev", port, "down")
    found = until_told(bed, lambda line: "n4-eth0" in line)
    assert any(line.startswith(f"the host: interface {port}: up, ") and " → down, " in line for line in found)
    assert any("host n4: interface n4-eth0: up, " in line and "without carrier" in line for line in found)
    run("ip", "link", "set", "dev", port, "up")
    end = time.monotonic() + 3.0
    while f"the host: interface {port}" not in bed.over() or "host n4: interface n4-eth0" not in bed.over():
        bed.look()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)  # path control takes the way back
    bed.look()


def test_an_address_and_a_neighbour(bed: Bed) -> None:
    run(*bed.pod("n3"), "ip", "address", "add", "10.77.9.9/16", "dev", "n3-eth0")
    run(*bed.pod("n3"), "ip", "neigh", "del", "10.77.0.1", "dev", "n3-eth0")
    assert set(bed.look()) >= {
        "host n3: address 10.77.9.9/16 n3-eth0: None → there",
        f"host n3: neighbour 10.77.0.1: {mac(0)} → None",
    }
    run(*bed.pod("n3"), "ip", "address", "del", "10.77.9.9/16", "dev", "n3-eth0")
    run(*bed.pod("n3"), *f"ip neigh replace 10.77.0.1 lladdr {mac(0)} dev n3-eth0 nud permanent".split())
    assert bed.look() == []


def test_flows_deleted_added_and_changed(bed: Bed) -> None:
    bridge = bed.network.bridges[0].name
    told = f"switch s1: frames to {mac(3)}: output port"
    ovs.run_ofctl("mod-flows", bridge, f"dl_dst={mac(3)},actions=drop")
    looks = [bed.look() for _ in bed.network.bridges]  # one switch in turn
    assert any(line.startswith(told) for lines in looks for line in lines)
    ovs.run_ofctl("del-flows", bridge, f"dl_dst={mac(2)}")
    assert f"switch s1: frames to {mac(2)}: output port 1 → output port None" in bed.look()
    ovs.run_ofctl("add-flow", bridge, "priority=7,tcp,actions=drop")
    assert any("switch s1: flow " in line and "None → there" in line for line in bed.look())
    ovs.run_ofctl("del-flows", bridge, "tcp")
    bed.network.control.restart()
    bed.network.control.wait_connected()
    for _ in bed.network.bridges:
        bed.look()
    assert bed.network.verify() == []


def test_a_container_paused_and_one_that_died(bed: Bed) -> None:
    name = bed.hosts.names.container("n1")
    run("docker", "pause", name)
    assert bed.look() == ["node n1: its container: running → paused"]
    run("docker", "unpause", name)
    assert bed.look() == []
    service = bed.hosts.start_service("a", "n2", hosts_kit.BURN)
    run("docker", "pause", service.container)
    assert bed.look() == ["service a: its container: running → paused"]
    run("docker", "unpause", service.container)
    bed.hosts.remove(["a"])
    assert bed.look() == []


def test_a_port_and_an_interface_removed(bed: Bed) -> None:
    """Near the end: Open vSwitch would be deaf on a port made again."""
    port = bed.network.interfaces_of("n4--s2").pop()
    bridge = bed.network.bridges[1].name
    run("ovs-vsctl", "--timeout=10", "del-port", bridge, port)
    assert f"bridge {bridge}: port {port}: there → missing" in until_told(bed, lambda line: f"port {port}" in line)
    run(*bed.pod("n3"), "ip", "link", "del", "dev", "i-n3-eth0")
    assert any(line.startswith("host n3: interface i-n3-eth0: up, ") and line.endswith("→ None") for line in bed.look())


def test_a_node_whose_container_died(bed: Bed) -> None:
    """The last one."""
    run("docker", "kill", bed.hosts.names.container("n2"))
    assert "node n2: its container: running → dead" in until_told(bed, lambda line: "node n2" in line)
