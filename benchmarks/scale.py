"""How fast an edge of N nodes comes up, goes away and can be changed, beside the least anybody could do.

The floor, in the same run and by turns: plain `docker create` and `start` of as many containers of the same image with
a network namespace each, by as many threads as there are cores, then one `ip -batch` for the links, one `ip -batch` and
one `tc -batch` per namespace, and one OVSDB transaction. No controller, no flows, no ledger, nothing read back. Ours is
everything: ledger, reaper, probe of the machine, os-ken, flows, verified. One switch per ten nodes in a ring of 2 ms
trunks, nodes at 50 Mbit/s.

    ./shaketable bench scale [--nodes N …] [--repeats R] [--only up|changes|drift]
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.changes import changes_under_load
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.live import capabilities, engine, images, reaper
from testbed.world.live.docker_hosts import DockerHosts, Limits
from testbed.world.live.drift import Watch
from testbed.world.live.ledger import Ledger
from testbed.world.live.links.htb import ifb_of
from testbed.world.live.names import LABEL, Names, address, mac
from testbed.world.live.network import Network
from testbed.world.live.openflow import PathControl
from testbed.world.live.phases import Clock
from testbed.world.live.pod import PAUSE
from testbed.world.live.wiring import interface_of

COUNTS, REPEATS = (10, 30, 60), 3
UP_TARGET, DOWN_TARGET = 1.2, 1.3  # times the floor
LOOKS = 20
NODE, TRUNK = Shape(50e6), Shape(100e6, 0.002)
CORES = len(os.sched_getaffinity(0))


def edge(nodes: int, node: Shape = NODE, trunk: Shape = TRUNK, per_site: int = 10) -> Topology:
    count = max(1, -(-nodes // per_site))
    sites = tuple(Site(f"s{i}", f"c{i}") for i in range(count))
    hosts = tuple(Host(f"n{i}", f"s{i % count}", f"c{i % count}", "node") for i in range(nodes))
    ring = [(i, (i + 1) % count) for i in range(count if count > 2 else count - 1)]
    links = [Link(f"s{a}--s{b}", f"s{a}", f"s{b}", trunk, trunk) for a, b in ring]
    links += [Link(f"{h.name}--{h.site}", h.name, h.site, node, node, "node") for h in hosts]
    return Topology(f"edge{nodes}", sites, hosts, (), tuple(links))


@dataclass
class Edge:
    """A built edge. up_s, down_s: wall-clock; phases: of both, s."""

    hosts: DockerHosts
    network: Network
    clock: Clock
    up_s: float = 0.0
    down_s: float = 0.0
    watch: Watch | None = field(default=None)


@contextmanager
def built(topology: Topology) -> Iterator[Edge]:
    """Ours, from nothing to verified; removed at the end of the body."""
    clock, begun = Clock(), time.monotonic()
    names = Names(secrets.token_hex(4))
    folder = Path(names.folder)
    with clock.phase("probe, ledger, reaper, image"):
        caps = capabilities.probe()
        ledger = Ledger(names.run_id, folder)
        watcher = reaper.spawn(folder)
        image = images.ensure(engine.connect(), ledger)
    control = PathControl(names, ledger, sys.executable)
    control.begin()
    hosts = DockerHosts(names, ledger, image, folder)
    made: Edge | None = None
    network: Network | None = None
    try:
        with clock.phase("pods"):
            pods = hosts.start_pods({h.name: Limits(1.0, 256e6) for h in topology.nodes})
        network = Network(names, topology, pods, {}, ledger, caps, 0.1, seed=1, clock=clock, control=control)
        network.build()
        made = Edge(hosts, network, clock, time.monotonic() - begun)
        yield made
    finally:
        begun = time.monotonic()
        if made and made.watch:
            made.watch.close()
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("switches down", network.detach if network else control.stop),
            ("pods down", hosts.close),
            ("links and os-ken down", network.stop if network else control.stop),
            ("ledger and reaper down", lambda: (ledger.close(), reaper.leave(watcher))),
        ]
        for phase, step in steps:
            with clock.phase(phase):
                step()
        if made:
            made.down_s = time.monotonic() - begun


def floor(topology: Topology) -> tuple[float, float]:
    """(up, down) in seconds of the least anybody could do for the same end state; removed by what was made."""
    api, image, run_id = engine.connect().api, images.ensure(engine.connect()), f"floor{secrets.token_hex(3)}"
    names = Names(run_id)
    bridges = [names.bridge(i) for i in range(len(topology.sites))]
    ids: list[str] = []

    def start(host: Host) -> tuple[str, int]:
        config = api.create_host_config(network_mode="none")
        made = api.create_container(image, list(PAUSE[:-1]), labels={LABEL: run_id}, host_config=config)["Id"]
        ids.append(made)
        api.start(made)
        return host.name, int(api.inspect_container(made)["State"]["Pid"])

    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(CORES) as pool:
            pids = dict(pool.map(start, topology.nodes))
            _tool("ip -batch -", _pairs(topology, names, pids))
            list(pool.map(lambda h: _inside(h, topology, pids[h.name]), topology.nodes))
        _tool("ovs-vsctl " + _transaction(topology, names, run_id))
        up = time.monotonic() - begun
    finally:
        begun = time.monotonic()
        _tool("ovs-vsctl " + " ".join(f"-- --if-exists del-br {b}" for b in bridges))
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda c: api.remove_container(c, force=True, v=True), ids))
        down = time.monotonic() - begun
        trunks = [names.port(i, "a") for i, k in enumerate(topology.links) if k.role == "trunk"]
        _tool("ip -force -batch -", "".join(f"link del dev {t}\n" for t in trunks))
    return up, down


def _pairs(topology: Topology, names: Names, pids: Mapping[str, int]) -> str:
    lines = []
    for i, k in enumerate(topology.links):
        if k.role == "trunk":
            lines += [f"link add name {names.port(i, 'a')} type veth peer name {names.port(i, 'b')}"]
            lines += [f"link set dev {names.port(i, end)} up" for end in "ab"]
            continue
        space, inside = f"/proc/{pids[k.a]}/ns/net", interface_of(k.a)
        lines.append(f"link add name {names.port(i, 'b')} type veth peer name {inside} netns {space}")
        lines.append(f"link add name {ifb_of(inside)} netns {space} type ifb")
        lines.append(f"link set dev {names.port(i, 'b')} up")
    return "\n".join(lines) + "\n"


def _inside(host: Host, topology: Topology, pid: int) -> None:
    """Addresses and shapers of one namespace."""
    device, index = interface_of(host.name), next(i for i, h in enumerate(topology.nodes) if h is host)
    ip = [
        f"link set dev {device} address {mac(index)}",
        f"link set dev {device} up",
        f"link set dev {ifb_of(device)} up",
    ]
    ip.append(f"address add {address(index)}/16 dev {device}")
    others = (i for i in range(len(topology.nodes)) if i != index)
    ip += [f"neigh replace {address(i)} lladdr {mac(i)} dev {device} nud permanent" for i in others]
    tc = []
    for shaped in (device, ifb_of(device)):
        tc.append(f"qdisc add dev {shaped} root handle 1: htb default 1")
        tc.append(f"class add dev {shaped} parent 1: classid 1:1 htb rate 50mbit burst 6250b quantum 1600")
        tc.append(f"qdisc add dev {shaped} parent 1:1 handle 10: bfifo limit 625000b")
    tc.append(f"qdisc add dev {device} handle ffff: ingress")
    redirect = f"action mirred egress redirect dev {ifb_of(device)}"
    tc.append(f"filter add dev {device} parent ffff: protocol all prio 1 u32 match u32 0 0 {redirect}")
    _tool(f"nsenter --net=/proc/{pid}/ns/net ip -batch -", "\n".join(ip) + "\n")
    _tool(f"nsenter --net=/proc/{pid}/ns/net tc -batch -", "\n".join(tc) + "\n")


def _transaction(topology: Topology, names: Names, run_id: str) -> str:
    bridge = {s.name: names.bridge(i) for i, s in enumerate(topology.sites)}
    datapath = capabilities.probe().ovs.datapath
    mark = f"external_ids:{LABEL}={run_id}"
    words = [f"-- add-br {b} -- set Bridge {b} datapath_type={datapath} {mark}" for b in bridge.values()]
    for i, k in enumerate(topology.links):
        ends = [(k.a, "a"), (k.b, "b")] if k.role == "trunk" else [(k.b, "b")]
        words += [f"-- add-port {bridge[site]} {names.port(i, end)}" for site, end in ends]
    return " ".join(words)


def _tool(words: str, text: str = "") -> None:
    subprocess.run(words.split(), input=text, text=True, check=True, capture_output=True)


def memory_per_node(edge: Edge) -> tuple[float, float]:
    """Proportional set size in MB, mean over nodes: of the pause process, and of its containerd shim."""
    pods = list(edge.hosts.pods.values())
    shims = [int(Path(f"/proc/{p.pid}/stat").read_text().rpartition(")")[2].split()[1]) for p in pods]
    return sum(_pss(p.pid) for p in pods) / len(pods), sum(map(_pss, shims)) / len(pods)


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1e3


def drift_cost(edge: Edge) -> float:
    """Processor time of one look of the watch while nothing changes, s: ours and os-ken's."""
    edge.watch = Watch(edge.network, edge.hosts)
    edge.watch.begin()
    edge.watch.look(0.0)
    pid = edge.network.control.pid
    assert pid is not None
    before, control = edge.watch.spent_s, _cpu(pid)
    for _ in range(LOOKS):
        time.sleep(0.1)
        if news := edge.watch.look(0.0):
            raise SystemExit(f"something changed: {news[0].data}")
    return (edge.watch.spent_s - before + _cpu(pid) - control) / LOOKS


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def up_and_down(counts: Sequence[int], repeats: int) -> None:
    for count in counts:
        topology, ours, floors = edge(count), [], []
        for _ in range(repeats):
            with built(topology) as e:
                pause, shim = memory_per_node(e)
            ours.append(e)
            floors.append(floor(topology))
        up, down = median(e.up_s for e in ours), median(e.down_s for e in ours)
        least_up, least_down = (median(f[i] for f in floors) for i in (0, 1))
        ratio_up = median(e.up_s / f[0] for e, f in zip(ours, floors, strict=True))
        ratio_down = median(e.down_s / f[1] for e, f in zip(ours, floors, strict=True))
        print(f"{count} nodes, {len(topology.links)} links, {len(topology.sites)} switches; medians of {repeats}:")
        print(f"  up   {up:6.2f} s, floor {least_up:6.2f} s, ratio {ratio_up:.2f} (target {UP_TARGET})")
        print(f"  down {down:6.2f} s, floor {least_down:6.2f} s, ratio {ratio_down:.2f} (target {DOWN_TARGET})")
        print(f"  memory per node {pause:.1f} MB pause + {shim:.1f} MB shim")
        for phase in ours[0].clock.seconds:
            print(f"    {phase:30} {median(e.clock.seconds[phase] for e in ours):6.2f} s")
        sys.stdout.flush()


def drift(counts: Sequence[int]) -> None:
    with built(edge(max(counts))) as e:
        cost = drift_cost(e)
    print(f"watch for drift, {max(counts)} nodes, nothing changing: {cost * 1e3:.1f} ms of processor time a look")
    print(f"  = {cost:.1%} of a core at one look a second (budget 2 %)")


def changes() -> None:
    slow = Shape(10e6)
    with built(edge(2, slow, Shape(10e6, 0.002), per_site=1)) as e:
        for link in ("n0--s0", "s0--s1"):
            print(changes_under_load(e.network, link))


def main(words: Sequence[str] = ()) -> None:
    """Print the tables, or why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", choices=("up", "changes", "drift"))
    asked = parser.parse_args(list(words))
    if missing := capabilities.problems(capabilities.probe()):
        print(f"not possible here: {missing[0].what}: {missing[0].why} → {missing[0].mend}")
        return
    images.ensure(engine.connect())  # made before the first clock starts
    print(f"{CORES} cores; the floor's containers by {CORES} threads, ours by {engine.threads()}")
    if asked.only in (None, "up"):
        up_and_down(asked.nodes, asked.repeats)
    if asked.only in (None, "changes"):
        changes()
    if asked.only in (None, "drift"):
        drift(asked.nodes)


if __name__ == "__main__":
    main(sys.argv[1:])
