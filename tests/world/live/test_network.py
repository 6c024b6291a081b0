"""The network of a run on real namespaces, real Open vSwitch and a real os-ken: three sites in a triangle.

The pods are namespaces held by a sleeping process; what the network needs of a pod is nothing else.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mininet.cli import CLI
from mininet.log import lg

from testbed.errors import CannotRun
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.live import capabilities, ovs, wiring
from testbed.world.live.docker_hosts import Pod
from testbed.world.live.ledger import Ledger
from testbed.world.live.names import Names, address, mac
from testbed.world.live.network import Network

pytestmark = pytest.mark.live
FAST, TRUNK = Shape(50e6), Shape(20e6, 0.002)


def until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> object:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def triangle() -> Topology:
    """Trunks s1--s2 and s2--s3 of 2 ms, s1--s3 of 6 ms, so s1 reaches s3 over s2. Two nodes a site, a gateway at s1."""
    nodes = tuple(Host(f"n{i}", f"s{(i + 1) // 2}", f"c{(i + 1) // 2}", "big") for i in range(1, 7))
    gateway = Host("gw1", "s1", "c1")
    slow = Shape(20e6, 0.006)
    links = (
        Link("s1--s2", "s1", "s2", TRUNK, TRUNK),
        Link("s2--s3", "s2", "s3", TRUNK, TRUNK),
        Link("s1--s3", "s1", "s3", slow, slow),
        *(Link(f"{n.name}--{n.site}", n.name, n.site, FAST, FAST, "node") for n in nodes),
        Link("gw1--s1", "gw1", "s1", FAST, FAST, "gateway"),
    )
    return Topology("triangle", tuple(Site(f"s{i}", f"c{i}") for i in (1, 2, 3)), nodes, (gateway,), links)


class Beds:
    """Networks on namespaces with a sleeping process in each, as a pod has one; ended by pid."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.networks: list[Network] = []

    def make(self, topology: Topology) -> Network:
        """A network that is not built yet."""
        run_id = secrets.token_hex(4)
        names = Names(run_id)
        ledger = Ledger(run_id, Path(names.folder))
        network = Network(names, topology, self._pods(topology), {}, ledger, capabilities.probe(), 0.0, seed=1)
        self.networks.append(network)
        return network

    def _pods(self, topology: Topology) -> dict[str, Pod]:
        here = os.stat("/proc/self/ns/net").st_ino
        found = {}
        for host in (*topology.nodes, *topology.ingresses):
            process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
            self.processes.append(process)
            found[host.name] = Pod(host.name, "", process.pid, 0, "")
        for pod in found.values():
            until(lambda p=pod: os.stat(f"/proc/{p.pid}/ns/net").st_ino != here, "namespace")  # type: ignore[misc]
        return found

    def close(self) -> None:
        try:
            for network in self.networks:
                network.stop()
                shutil.rmtree(network.names.folder)
        finally:
            for process in self.processes:
                process.kill()
                process.wait()


def left_over(network: Network) -> list[str]:
    """What carries the run's prefix, and ledger entries without an end."""
    prefix = network.names.prefix
    bridges = subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True, check=True).stdout.split()
    found = [n for n in (*bridges, *os.listdir("/sys/class/net")) if n.startswith(prefix)]
    return found + [str(e) for e in network.ledger.pending()]


@pytest.fixture(scope="module")
def bed() -> Iterator[Network]:
    beds = Beds()
    try:
        network = beds.make(triangle())
        network.build()
        yield network
    finally:
        beds.close()


def host_ip(network: Network, name: str) -> str:
    return address([h.name for h in network.hosts].index(name))


def ping(network: Network, a: str, b: str, count: int = 1) -> int:
    """Echo replies received."""
    assert network.net is not None
    out = network.net.get(a).cmd(f"ping -c{count} -i0.02 -W1 {host_ip(network, b)}")
    found = re.search(r"(\d+) received", out)
    assert found, out
    return int(found[1])


def packets(network: Network, site: str, host: str) -> tuple[int, int]:
    """(output port, packets) of the site's flow to a host, by ovs-ofctl."""
    to = mac([h.name for h in network.hosts].index(host))
    bridge = network.bridges[[s.name for s in network.topology.sites].index(site)].name
    line = next(x for x in ovs.flows_of(bridge) if f"dl_dst={to}" in x)
    found = re.search(r"n_packets=(\d+),.*actions=.*output:(\d+)", line)
    assert found, line
    return int(found[2]), int(found[1])


def settled(network: Network, site: str, host: str) -> tuple[int, int]:
    """`packets` once Open vSwitch has brought its statistics up to date: one more echo has been counted."""
    before = packets(network, site, host)
    time.sleep(1.5)  # the statistics of what went before have no end to wait for: revalidators run every 0.5 s
    assert packets(network, site, host)[0] == before[0]
    return packets(network, site, host)


def kinds(network: Network, seen: list[dict[str, object]]) -> list[object]:
    seen += network.events()
    return [e["kind"] for e in seen]


def test_every_host_reaches_every_other_through_mininet(bed: Network) -> None:
    assert bed.net is not None and bed.verify() == []
    for a in bed.hosts:
        others = [h for h in bed.hosts if h is not a]
        commands = "; ".join(f"ping -c1 -W2 {host_ip(bed, b.name)} >/dev/null || echo lost {b.name}" for b in others)
        assert bed.net.get(a.name).cmd(commands).strip() == ""
    assert len(bed.net.links) == 10 and bed.net.get("s1") in bed.net.switches
    assert [h.name for h in bed.net.hosts] == ["n1", "n2", "n3", "n4", "n5", "n6", "gw1"]
    missed = {site: c["missed"] for site, c in bed.path_counters().items()}
    assert missed == {"s1": 0, "s2": 0, "s3": 0}, "somebody sent frames nobody is meant to get (ARP? IPv6?)"


def test_an_interrupt_reaches_the_command(bed: Network) -> None:
    assert bed.net is not None
    node = bed.net.get("n1")
    node.sendCmd("sleep 600")
    time.sleep(0.2)  # bash must have begun it; before that the interrupt goes to bash, which ignores it
    node.sendInt()
    node.waitOutput()
    assert node.cmd("echo $?").strip() == "130"


def test_a_command_may_be_longer_than_a_line_of_the_terminal(bed: Network) -> None:
    assert bed.net is not None
    node, text = bed.net.get("n1"), "x" * 20_000
    assert node.cmd(f"echo {text} | wc -c").strip() == "20001"
    assert node.cmd("false; echo $?").strip() == "1"
    node.cmd(f"false {text}")
    assert node.cmd("echo $?").strip() == "1", "the exit status of the long command itself"
    assert not [f for f in os.listdir("/tmp") if f.startswith("shaketable-") and f.endswith(".sh")]


def test_shells_start_with_the_first_command_and_popen_needs_none(bed: Network) -> None:
    assert bed.net is not None
    node = bed.net.get("gw1")
    process = node.popen(["ip", "-j", "address", "show", "dev", "gw1-eth0"])
    assert json.loads(process.communicate()[0])[0]["addr_info"][0]["local"] == host_ip(bed, "gw1")
    fresh = [s for s in bed.net.switches if s.shell is None]
    assert len(fresh) == 3
    inode = os.stat(bed.namespaces["gw1"]).st_ino
    assert node.cmd("readlink /proc/self/ns/net").strip() == f"net:[{inode}]"


def test_mininets_own_command_line_works(bed: Network, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("nodes\nn1 ping -c1 n2\nn1 ip -4 -o address show dev n1-eth0\ndpctl dump-flows\nintfs\nnet\n")
    printed = io.StringIO()
    terminal = lg.handlers[0].setStream(printed)  # Mininet prints through its logger
    try:
        with open(os.devnull) as nothing:
            CLI(bed.net, stdin=nothing, script=str(script))
    finally:
        lg.handlers[0].setStream(terminal)
    out = printed.getvalue()
    assert "gw1 n1 n2 n3 n4 n5 n6 s1 s2 s3" in out
    assert "1 received" in out and f"{host_ip(bed, 'n1')}/16" in out
    assert out.count("priority=0 actions=drop") == 3 and "n1 n1-eth0:" in out


def test_a_cut_trunk_moves_the_paths_and_its_return_brings_them_back(bed: Network) -> None:
    ports = bed.plan.ports["s1"]
    assert packets(bed, "s1", "n5")[0] == ports["s1--s2"], "4 ms over s2 beat 6 ms"
    seen: list[dict[str, object]] = []
    bed.events()
    done, evidence = bed.set_link_state("s1--s2", up=False)
    assert done and "has no carrier" in evidence
    until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
    assert [e["kind"] for e in seen] == ["link_down", "paths"]
    assert seen[0]["link"] == "s1--s2" and seen[1]["down"] == ["s1--s2"] and seen[1]["unreachable"] == []
    port, before = packets(bed, "s1", "n5")
    assert port == ports["s1--s3"]
    assert ping(bed, "n1", "n5", 5) == 5 and ping(bed, "n1", "n3", 5) == 5, "over s3"
    until(lambda: packets(bed, "s1", "n5") == (port, before + 5), "five packets counted")  # revalidators are late

    seen.clear()
    done, evidence = bed.set_link_state("s1--s2", up=True)
    assert done and "no carrier" not in evidence
    until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
    assert [e["kind"] for e in seen] == ["link_up", "paths"]
    port, before = packets(bed, "s1", "n5")
    assert port == ports["s1--s2"] and ping(bed, "n1", "n5", 5) == 5
    until(lambda: packets(bed, "s1", "n5") == (port, before + 5), "five packets counted")  # revalidators are late
    assert bed.verify() == []


def test_nobody_reacts_before_the_detection_time(bed: Network) -> None:
    """A cut shorter than it is not seen at all; a longer one is reported that late, with the port's own time."""
    detection = 0.4  # s
    bed.control.configure(dataclasses.replace(bed.plan, detection_s=detection))
    try:
        bed.events()
        bed.set_link_state("s1--s2", up=False)
        bed.set_link_state("s1--s2", up=True)
        bed.set_link_state("s2--s3", up=False)
        seen: list[dict[str, object]] = []
        until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
        assert [(e["kind"], e.get("link")) for e in seen] == [("link_down", "s2--s3"), ("paths", None)]
        assert float(seen[0]["took_s"]) >= detection and seen[1]["down"] == ["s2--s3"]  # type: ignore[arg-type]
        bed.set_link_state("s2--s3", up=True)
        seen.clear()
        until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
        assert seen[-1]["down"] == [] and bed.verify() == []
    finally:
        bed.control.configure(bed.plan)


def test_a_path_change_loses_nothing_of_what_flows(bed: Network) -> None:
    """Make before break, and a way back for frames under way: 20 changes under a stream of echoes, none lost.

    Without the way back 4 of 1,800 were lost in 180 changes.
    """
    assert bed.net is not None
    stream = bed.net.get("n2").popen(["ping", "-c300", "-i0.005", "-W1", host_ip(bed, "n6")])
    for _ in range(10):
        assert bed.recompute(["s2--s3"])["changed"] > 0
        assert bed.recompute([])["changed"] > 0
    out = stream.communicate()[0].decode()
    assert "300 received" in out, out
    assert bed.verify() == []


def test_a_host_that_is_cut_off_is_reported_and_its_flows_go(bed: Network) -> None:
    bed.events()
    seen: list[dict[str, object]] = []
    assert bed.set_link_state("n4--s2", up=False)[0]
    until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
    assert seen[-1]["unreachable"] == ["n4"]
    to = mac([h.name for h in bed.hosts].index("n4"))
    assert not [x for b in bed.bridges for x in ovs.flows_of(b.name) if f"dl_dst={to}" in x]
    seen.clear()
    assert bed.set_link_state("n4--s2", up=True)[0]
    until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
    assert ping(bed, "n1", "n4") == 1 and bed.verify() == []


def test_verify_names_what_differs(bed: Network) -> None:
    wire = next(w for w in bed._wires if w.host == "n3")
    inside = ["nsenter", f"--net={wire.netns}"]
    subprocess.run([*inside, "ip", "address", "add", "10.77.9.9/16", "dev", "n3-eth0"], check=True)
    subprocess.run([*inside, "ip", "neigh", "del", address(0), "dev", "n3-eth0"], check=True)
    ovs.run_ofctl("del-flows", bed.bridges[0].name, f"dl_dst={mac(4)}")
    found = "\n".join(bed.verify())
    assert "host n3: addresses: found ['10.77.0.3/16', '10.77.9.9/16'], wanted ['10.77.0.3/16']" in found
    assert f"host n3: neighbour {address(0)}: found None, wanted {mac(0)}" in found
    assert f"switch s1: frames to {mac(4)}: found output port None, wanted" in found
    subprocess.run([*inside, "ip", "address", "del", "10.77.9.9/16", "dev", "n3-eth0"], check=True)
    wiring.wire([wire], bed._wires)
    bed.control.restart()  # reads what the switches hold and writes what is missing
    bed.control.wait_connected()
    assert bed.verify() == []


def test_traffic_outlives_os_ken_and_a_restart_wipes_nothing(bed: Network) -> None:
    pid = bed.control.pid
    assert pid is not None and ping(bed, "n1", "n6") == 1
    before = settled(bed, "s1", "n6")
    bed.events()
    os.kill(pid, signal.SIGKILL)
    until(lambda: "control_lost" in [e["kind"] for e in bed.events()], "the loss noticed")
    assert ping(bed, "n1", "n6", 20) == 20
    with pytest.raises(CannotRun, match="os-ken does not run"):
        bed.recompute([])
    bed.control.restart()
    bed.control.wait_connected()
    count = (before[0], before[1] + 20)
    until(lambda: packets(bed, "s1", "n6") == count, "the flow is the same one, its count goes on")
    assert bed.verify() == []


def test_a_switch_of_somebody_else_is_refused(bed: Network) -> None:
    stranger = f"{bed.names.prefix}x"
    bed.events()
    subprocess.run(
        ["ovs-vsctl", "--timeout=10", "add-br", stranger, "--", "set", "Bridge", stranger, "datapath_type=netdev",
         "protocols=OpenFlow13", "fail_mode=secure", "other_config:datapath-id=00000000deadbeef",
         "--", "set-controller", stranger, f"tcp:127.0.0.1:{bed.control.port}"],
        check=True,
    )  # fmt: skip
    try:
        refused = until(lambda: [e for e in bed.events() if e["kind"] == "switch_refused"], "the refusal")
        assert refused[0]["datapath_id"] == "00000000deadbeef"  # type: ignore[index]
        assert not [x for x in ovs.flows_of(stranger) if "cookie=" in x], "not one flow was written to it"
        assert bed.control.status()["missing"] == []
    finally:
        subprocess.run(["ovs-vsctl", "--timeout=10", "del-br", stranger], check=True)


def test_a_deleted_port_is_named_and_paths_avoid_it(bed: Network) -> None:
    """The last test of this network: Open vSwitch would be deaf on a port made again."""
    port = bed._switch_ports("s1--s2")[0]
    bed.events()
    subprocess.run(["ovs-vsctl", "--timeout=10", "del-port", port], check=True)
    seen: list[dict[str, object]] = []
    until(lambda: "paths" in kinds(bed, seen), "paths recomputed")
    assert f"bridge {bed.bridges[0].name}: port {port}: found missing, wanted there" in "\n".join(bed.verify())
    assert ping(bed, "n1", "n3") == 1


# -- builds of their own ----------------------------------------------------------------------------------------------


def one_switch(hosts: int, rate: float = 50e6) -> Topology:
    nodes = tuple(Host(f"n{i}", "s1", "c1", "big") for i in range(hosts))
    shape = Shape(rate)
    links = tuple(Link(f"{n.name}--s1", n.name, "s1", shape, shape, "node") for n in nodes)
    return Topology("star", (Site("s1", "c1"),), nodes, (), links)


@pytest.fixture
def beds() -> Iterator[Beds]:
    made = Beds()
    yield made
    made.close()


def test_a_bridge_name_held_by_somebody_else_is_an_error_and_leaves_nothing(beds: Beds) -> None:
    network = beds.make(one_switch(2))
    name = network.names.bridge(0)
    subprocess.run(
        ["ovs-vsctl", "--timeout=10", "add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev"], check=True
    )
    try:
        with pytest.raises(CannotRun, match=f"already has a bridge '{name}', not of this run"):
            network.build()
        assert left_over(network) == [name] * 2, "the other's bridge and its interface, and nothing of ours"
        network.stop()  # again
    finally:
        subprocess.run(["ovs-vsctl", "--timeout=10", "del-br", name], check=True)
    assert left_over(network) == []


def test_stop_leaves_nothing_and_may_be_called_twice(beds: Beds) -> None:
    network = beds.make(one_switch(2))
    network.build()
    assert network.net is not None and ping(network, "n0", "n1") == 1
    shell, control = network.net.get("n0").shell.pid, network.control.pid
    assert left_over(network)
    network.net.stop()  # Mininet's own way
    assert left_over(network) == []
    network.stop()
    network.stop()
    assert not Path(f"/proc/{shell}").exists() and not Path(f"/proc/{control}").exists()
    with pytest.raises(CannotRun, match="has been stopped"):
        network.net.get("n0").cmd("true")


def test_os_ken_ends_with_its_owner() -> None:
    code = (
        "import sys, time\n"
        "from testbed.world.live.names import Names\nfrom testbed.world.live.openflow import PathControl\n"
        "class Book:\n    add = staticmethod(lambda kind, **f: 0)\n    done = staticmethod(lambda *n: None)\n"
        f"c = PathControl(Names({secrets.token_hex(4)!r}), Book(), sys.executable); c.start()\n"
        "print(c.pid, c.names.folder, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()
    owner.kill()
    owner.wait()
    until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2], "its end"
    )
    shutil.rmtree(folder)


def test_a_hundred_and_twenty_ports_on_one_switch(beds: Beds) -> None:
    """Mininet's own switch silently comes up without ports from 50 on."""
    network = beds.make(one_switch(120))
    try:
        network.build()
        assert network.verify() == []
        assert len(ovs.state_of([network.bridges[0].name])[network.bridges[0].name].ports) == 120
        assert ping(network, "n0", "n119", 3) == 3
    finally:
        network.stop()
    assert left_over(network) == []
