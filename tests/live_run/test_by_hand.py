"""Hands on a running world: Mininet's API and its CLI, a link that is saturated, and `net.stop()`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mininet.cli import CLI
from mininet.log import lg

from testbed.record import tables
from testbed.run.execute import bed_of
from testbed.world.live.links.mahimahi import bins
from testbed.world.live.names import Names, address
from testbed.world.live.network import Network
from testbed.world.live.world import LiveWorld
from tests.live_run.kit import CALM, TRACE_BIN, names_of, ready, until
from tests.world.live.hosts_kit import new_run_id, traces

pytestmark = pytest.mark.live

#: As many datagrams as go out in the given time (s), 1,200 bytes each, at about 60 Mbit/s: six times the trunk.
BLAST = """
import socket, sys, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for _ in range(6): out.sendto(bytes(1200), (sys.argv[1], 9))
    time.sleep(0.001)
"""
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9007)); print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2000); s.sendto(data, peer)
"""
#: 150 datagrams of 200 bytes at 100 a second, and those that came back within a second after the last one.
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 9007)); s.setblocking(False)
back, begin, k = set(), time.monotonic(), 0
while time.monotonic() < begin + 2.5 and len(back) < 150:
    if k < 150 and time.monotonic() >= begin + k * 0.01:
        s.send(k.to_bytes(4, "big") + bytes(196)); k += 1
    try:
        back.add(s.recv(2000)[:4])
    except BlockingIOError:
        time.sleep(0.001)
print(k, len(back))
"""


@pytest.fixture(scope="module")
def world() -> Iterator[LiveWorld]:
    """Up, with its services, not yet under load."""
    run_id = new_run_id()
    world = LiveWorld(run_id, lambda line: None)
    try:
        prepared = ready(*CALM)
        world.up(bed_of(prepared, run_id, lambda f: bins(f, TRACE_BIN), tables.Names.of(prepared.resolved.model)))
        yield world
    finally:
        world.down()
    until(lambda: traces(run_id) == [], "gone")


@pytest.fixture
def network(world: LiveWorld) -> Network:
    assert world._parts is not None and world._parts.network is not None
    return world._parts.network


def inside(network: Network, host: str, code: str, *words: str) -> subprocess.Popen[str]:
    """Python in a host's network namespace."""
    enter = ["nsenter", f"--net={network.namespaces[host]}", "--", sys.executable, "-c", code, *words]
    return subprocess.Popen(enter, stdout=subprocess.PIPE, text=True)


def test_mininet_is_in_charge(network: Network) -> None:
    net = network.net
    assert net is not None
    assert f"inet {address(0)}/16" in net.get("n1").cmd("ip -4 addr")
    assert sorted(h.name for h in net.hosts) == ["gw1", "gw2", "n1", "n2", "n3", "n4"]
    assert sorted(s.name for s in net.switches) == ["s1", "s2", "s3"] and len(net.links) == 9
    assert net.ping([net.get("n1"), net.get("n4")]) == 0.0
    listening = net.get("n2").cmd("ss -H -tln")
    assert ":7000 " in listening, f"a service of n2 is seen from outside: {listening}"
    assert net.get("s1").dpctl("dump-flows").count("actions=") > 3


def test_its_cli_works_on_the_running_testbed(network: Network, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("nodes\nn1 ip -4 -o addr show\nlink s1 s2 down\nn1 ping -c 1 -W 2 n3\nlink s1 s2 up\nexit\n")
    said = io.StringIO()
    terminal = lg.handlers[0].setStream(said)  # Mininet prints through its logger
    try:
        with open(os.devnull) as nothing:
            CLI(network.net, stdin=nothing, script=str(script))
    finally:
        lg.handlers[0].setStream(terminal)
    text = said.getvalue()
    assert "available nodes are" in text and f"inet {address(0)}/16" in text, text
    assert "1 packets transmitted" in text
    assert until(lambda: network.verify() == [], "as it was before the cut")


def test_a_saturated_trunk_loses_nothing_on_other_links(network: Network) -> None:
    """n1 floods n3 over the trunk of 10 Mbit/s; at both of its ends others talk over their own links."""
    hosts = {h.name: address(i) for i, h in enumerate(network.hosts)}
    pairs = [("gw1", "n2"), ("gw2", "n4")]
    echoes = [inside(network, to, ECHO) for _, to in pairs]
    try:
        assert [e.stdout.readline() for e in echoes if e.stdout] == ["ready\n"] * 2
        before = dropped(network)
        blaster = inside(network, "n1", BLAST, hosts["n3"], "3")
        until(lambda: dropped(network) > before + 100, "the trunk overflows")
        asked = [inside(network, a, ASK, hosts[b]) for a, b in pairs]
        answers = [a.communicate(timeout=20)[0] for a in asked]
        assert blaster.poll() is None, "it was flooded all the time"
        assert blaster.wait(10) == 0
        assert answers == ["150 150\n"] * 2
    finally:
        for echo in echoes:
            echo.kill()
            echo.wait()


def dropped(network: Network) -> int:
    """Packets that the trunk's full queue refused, n1's way."""
    return network.counters()["s1--s2"].ab.dropped


def test_net_stop_removes_the_network(world: LiveWorld, network: Network) -> None:
    """The last of this file: bridges and interfaces go, the containers stay until the world goes down."""
    names = Names(world.run_id)
    assert any(n.startswith(names.prefix) for n in os.listdir("/sys/class/net"))
    assert network.net is not None
    network.net.stop()
    bridges = subprocess.check_output(["ovs-vsctl", "--timeout=5", "list-br"], text=True).split()
    assert [n for n in (*bridges, *os.listdir("/sys/class/net")) if n.startswith(names.prefix)] == []
    assert names.container("n1") in names_of(world.run_id)
    network.net.stop()  # twice is once
