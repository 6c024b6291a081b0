"""The emulated network of a run: links, switches, addresses and paths, built in batches, verified, and removed.

    interfaces by link backends → bridges and ports in one OVSDB transaction → addresses → flows → read back

in that order, with everything in the ledger before it is made. Mininet's API is the front (`network.net`): its
`start()` calls `commit`, its `stop()` calls `remove`. Shapes are the wire's (already dilated and shrunk).
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from testbed.errors import CannotRun
from testbed.topology.model import Link, Topology
from testbed.world.live import ovs, ovs_verify, wiring
from testbed.world.live.capabilities import Capabilities
from testbed.world.live.difference import Difference
from testbed.world.live.docker_hosts import Pod
from testbed.world.live.ledger import Ledger, start_time
from testbed.world.live.links import choice, kernel, netem
from testbed.world.live.links.base import Counters, End, LinkBackend, WireLink, alike
from testbed.world.live.links.relay import Relay
from testbed.world.live.mininet_api import Net
from testbed.world.live.names import LABEL, Names
from testbed.world.live.netlink import Channel
from testbed.world.live.openflow import PathControl, Silent
from testbed.world.live.openflow_paths import Plan, table
from testbed.world.live.phases import Clock

CONNECT_S = 30.0  # for all switches to connect and be written; 60 of them take about 2 s on a busy machine
SWITCH_HEARS_S = 0.5  # real s until a switch must have noticed a carrier; 10 to 90 ms were seen


class Network:
    """build → (use) → stop. pods: host → its namespace. needs: link → what will change on it during the run.

    detection_s: wire seconds until path control reacts to a port's change of state. seed: of jitter and loss. clock:
    where the time goes. control: not configured yet; one that has begun meanwhile is there when the switches are.
    """

    def __init__(
        self,
        names: Names,
        topology: Topology,
        pods: Mapping[str, Pod],
        needs: Mapping[str, Collection[str]],
        ledger: Ledger,
        caps: Capabilities,
        detection_s: float,
        seed: int = 0,
        clock: Clock | None = None,
        control: PathControl | None = None,
    ) -> None:
        self.names, self.topology, self.pods, self.ledger, self.caps = names, topology, pods, ledger, caps
        self.seed = seed
        self.clock = clock or Clock()
        self.hosts = (*topology.nodes, *topology.ingresses)
        #: host → path of its network namespace
        self.namespaces = {h.name: f"/proc/{pods[h.name].pid}/ns/net" for h in self.hosts}
        self._wires = [
            wiring.Wire(h.name, i, self.namespaces[h.name], wiring.interface_of(h.name))
            for i, h in enumerate(self.hosts)
        ]
        self._links = {k.name: self._wire_link(i, k) for i, k in enumerate(topology.links)}
        self._choice = {
            name: choice.choose(link, needs.get(name, ()), caps.features) for name, link in self._links.items()
        }
        self._backends: dict[str, LinkBackend] = {}
        self.bridges = self._bridges()
        self.plan = self._plan(detection_s)
        self.control = control or PathControl(names, ledger, sys.executable)
        self.net: Net | None = None
        self._made: list[tuple[Callable[[], None], list[int]]] = []  # how to remove each part, and its ledger entries
        self._touched: dict[str, float] = {}  # link → when our last change of it ended, monotonic s
        self.playing: set[str] = set()  # links that follow a track: their rates change by themselves
        self._attached: int | None = None  # how many of those were there before the switches
        self._committed = False

    # -- life --------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """All of it, verified. Raises CannotRun with what is wrong, and then nothing of it is left."""
        try:
            self.net = self._mininet()
            self.net.start()
        except BaseException as error:
            try:
                self.stop()
            except CannotRun as trouble:  # the first error is the one to be read
                error.add_note(str(trouble))
            raise

    def commit(self) -> None:
        """What `net.start()` does beneath: make, then read back. A second `net.start()` does nothing."""
        if self._committed:
            return
        self._committed = True
        self._made.append((self.control.stop, []))
        self.control.begin()
        for phase, work in (
            ("links", self._make_links),
            ("path control", self._configure_control),
            ("switches", self._make_switches),
            ("addresses", lambda: wiring.wire(self._wires)),
            ("flows", lambda: self.control.wait_connected(CONNECT_S)),
        ):
            with self.clock.phase(phase):
                work()
        with self.clock.phase("read-back"):
            problems = self.verify()
        if problems:
            raise CannotRun("the network is not as it should be:\n" + "\n".join(f"  {p}" for p in problems))

    def remove(self) -> None:
        """What `net.stop()` does beneath: switches, then links, then os-ken. May be called twice.

        A part that can't be removed does not keep the others; its ledger entries stay open for the reaper.
        """
        self._remove(keep=0)

    def detach(self) -> None:
        """Only the switches, and with them every frame's way: the rest goes best after the pods have gone, and taken
        their ends of the links along."""
        if self._attached is not None:
            self._remove(keep=self._attached)

    def _remove(self, keep: int) -> None:
        troubles = []
        while len(self._made) > keep:
            part, entries = self._made.pop()
            try:
                part()
            except (CannotRun, OSError) as error:
                troubles.append(str(error))
            else:
                self.ledger.done(*entries)
        if troubles:
            raise CannotRun("the network could not be removed whole: " + "; ".join(troubles))

    def stop(self) -> None:
        """Remove everything this run made of the network, also after a build that failed half-way. Idempotent."""
        try:
            if self.net is not None:
                self.net.stop()
        finally:
            self.remove()

    # -- use ---------------------------------------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """What differs from what was asked for, one sentence each: links, ports, flows, addresses. Empty: nothing."""
        found = [line for name in self._links for line in self._check_link(name)]
        found += map(str, self.compare_bridges(ovs.state_of([b.name for b in self.bridges])))
        state = self.control.status()
        found += [f"switch {site} is not connected to os-ken" for site in state["missing"]]
        expected = table(self.plan, frozenset(state["down"]))
        found += map(str, ovs_verify.flows(self.bridges, self._sites(), expected, self.plan.cookie))
        return found + wiring.check(self._wires)

    def compare_bridges(self, states: Mapping[str, ovs.BridgeState]) -> list[Difference]:
        """Bridges and ports as found against those made."""
        datapath, port = self.caps.ovs.datapath, self.control.port
        return ovs_verify.bridges(self.bridges, states, self.names.run_id, datapath, port)

    def audit_flows(self) -> list[Difference]:
        """What the switches hold against what was written, by way of os-ken; nothing while it is dead.

        Raises Silent while it does not answer.
        """
        try:
            return self.control.audit()
        except Silent:
            raise
        except CannotRun:  # its death is an event of its own
            return []

    @contextmanager
    def own(self, link: str) -> Iterator[None]:
        """Within the body we change the link ourselves: the watch for drift takes what it finds there."""
        self._touched[link] = math.inf
        try:
            yield
        finally:
            self._touched[link] = time.monotonic()

    def touched(self, since: float) -> frozenset[str]:
        """Links of which a change of ours is under way, or ended at or after this time, monotonic s."""
        return frozenset(link for link, at in self._touched.items() if at >= since)

    def interfaces_of(self, link: str) -> set[str]:
        """Of a link, in the host's namespace."""
        wire = self._links[link]
        middles = netem.Netem.lay(wire).middles if self._choice[link] == "netem" else ()
        return {*self._switch_ports(link), *middles}

    def link_namespaces(self) -> dict[str, set[str | None]]:
        """Link → paths of the namespaces it has interfaces in, None for the host's."""
        return {name: {k.a.netns, k.b.netns, None} for name, k in self._links.items()}

    def set_link_state(self, link: str, up: bool) -> tuple[bool, str]:
        """Take a link down or up. (whether kernel and switches say it is so now, what they said).

        The switches hear of a carrier some milliseconds later; they get SWITCH_HEARS_S for it.
        """
        with self.own(link):
            return self._set_link_state(link, up)

    def _set_link_state(self, link: str, up: bool) -> tuple[bool, str]:
        self.backend(link).set_state(link, up)
        if up:
            self._rewire(link)
        _, _, running = self.backend(link).read_back(link)
        until = time.monotonic() + SWITCH_HEARS_S
        ports = self._carriers(link)
        while any(has != up for has in ports.values()) and time.monotonic() < until:
            time.sleep(0.01)
            ports = self._carriers(link)
        said = ", ".join(f"{name} {'has' if has else 'has no'} carrier" for name, has in ports.items())
        evidence = f"{'operational' if running else 'not operational'} by {self._choice[link]}; Open vSwitch: {said}"
        return running == up and all(has == up for has in ports.values()), evidence

    def _carriers(self, link: str) -> dict[str, bool]:
        """What Open vSwitch says of the link's ports."""
        return {
            name: state.ports[name].link
            for state in ovs.state_of([b.name for b in self.bridges]).values()
            for name in self._switch_ports(link)
            if name in state.ports
        }

    def connected(self, switch: str) -> bool:
        """Is this switch connected to path control?"""
        return switch in self.control.status()["connected"]

    def recompute(self, down: Collection[str] = ()) -> dict[str, Any]:
        """Shortest paths that avoid these links as well as those that are down. See PathControl.recompute."""
        return self.control.recompute(down)

    def events(self) -> list[dict[str, Any]]:
        """What path control saw and did since the last call. See PathControl.events."""
        return self.control.events()

    def backend(self, link: str) -> LinkBackend:
        """The backend that realises a link, for changes of its shape."""
        return self._backends[self._choice[link]]

    def backend_names(self) -> str:
        """As summary.json's `link_backend` has it: "relay", or "htb+relay" where links differ."""
        return "+".join(sorted(set(self._choice.values())))

    def backends_by_link(self) -> dict[str, str]:
        return dict(self._choice)

    def counters(self) -> dict[str, Counters]:
        """Bytes, packets and drops per link and direction since the links were made."""
        return {name: self.backend(name).counters(name) for name in self._links}

    def path_counters(self) -> Mapping[str, Any]:
        """Packets per switch and host by OpenFlow, and those that matched no flow. See PathControl.counters."""
        return self.control.counters()

    def trouble(self) -> str:
        """Why its links are not what they were built as: their process has ended. Empty: they are."""
        dead = [b.pid for b in self._backends.values() if isinstance(b, Relay) and not b.alive]
        return f"the link relay (process {dead[0]}) has ended: all its links are gone" if dead else ""

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """How late the links' frames left, s: p50, p99, max; empty where the kernel keeps the schedule.

        anew: and begin to count again.
        """
        found = [late for b in self._backends.values() if (late := b.lateness(anew))]
        return found[0] if found else {}  # only the relay measures itself

    # -- what is to be made ------------------------------------------------------------------------------------------

    def _sites(self) -> list[str]:
        return [s.name for s in self.topology.sites]

    def _wire_link(self, index: int, link: Link) -> WireLink:
        a, b = (self._end(index, name, end) for name, end in ((link.a, "a"), (link.b, "b")))
        return WireLink(link.name, a, b, link.ab, link.ba)

    def _end(self, index: int, name: str, end: str) -> End:
        if name in self.namespaces:
            return End(wiring.interface_of(name), self.namespaces[name])
        return End(self.names.port(index, end))

    def _switch_ports(self, link: str) -> list[str]:
        ends = self._links[link].a, self._links[link].b
        return [e.interface for e in ends if e.netns is None]

    def _bridges(self) -> list[ovs.Bridge]:
        """Ports are numbered from 1 in the order of the topology's links."""
        ports: dict[str, dict[str, int]] = {s: {} for s in self._sites()}
        for k in self.topology.links:
            for site, end in ((k.a, self._links[k.name].a), (k.b, self._links[k.name].b)):
                if site in ports:
                    ports[site][end.interface] = len(ports[site]) + 1
        return [
            ovs.Bridge(self.names.bridge(i), self.names.datapath_id(i), ports[site])
            for i, site in enumerate(self._sites())
        ]

    def _plan(self, detection_s: float) -> Plan:
        of_port = {
            p: (site, n) for site, b in zip(self._sites(), self.bridges, strict=True) for p, n in b.ports.items()
        }
        ports: dict[str, dict[str, int]] = {s: {} for s in self._sites()}
        for name in self._links:
            for interface in self._switch_ports(name):
                site, number = of_port[interface]
                ports[site][name] = number
        datapaths = {site: b.datapath_id for site, b in zip(self._sites(), self.bridges, strict=True)}
        cookie = self.names.datapath_id(0) & ~0xFFFF  # the part all datapath ids of the run share
        return Plan(self.topology, ports, {w.host: w.mac for w in self._wires}, datapaths, cookie, detection_s)

    # -- making ------------------------------------------------------------------------------------------------------

    def _make_links(self) -> None:
        alias = f"{LABEL}={self.names.run_id}"
        for kind in sorted(set(self._choice.values())):
            links = [self._links[name] for name, chosen in self._choice.items() if chosen == kind]
            ports = [p for k in links for p in self._switch_ports(k.name)]
            if taken := [p for p in ports if os.path.exists(f"/sys/class/net/{p}")]:  # never promise what is another's
                raise CannotRun(f"interface {', '.join(taken)} exists already: `sudo testbed clean`, or take another")
            # the process is found by its mark until its number is known
            promises: list[tuple[str, dict[str, str]]] = [("process", {"what": f"links by {kind}"})]
            entries = self.ledger.add_all(promises + [("interface", {"name": p}) for p in ports])
            backend = choice.make(kind, self.seed, alias)
            self._backends[kind] = backend
            self._made.append((backend.close, entries))
            if isinstance(backend, Relay):
                pid = backend.pid
                entries.append(self.ledger.add("process", what="link relay", pid=pid, start_time=start_time(pid)))
            backend.create(links)
        ports = [p for name in self._links for p in self._switch_ports(name)]
        kernel.run(["ip", "-batch", "-"], text="".join(f"link set dev {p} group {self.names.group}\n" for p in ports))
        self._made.append((self._delete_ports, []))

    def _delete_ports(self) -> None:
        """All at once; those of the pods go with them. What a backend has beside is its own to remove."""
        with Channel(None) as channel:
            channel.delete_group(self.names.group)

    def _configure_control(self) -> None:
        self.control.start()
        self.control.configure(self.plan)

    def _make_switches(self) -> None:
        bridges = [b.name for b in self.bridges]
        self._attached = len(self._made)
        entries = self.ledger.add_all([("bridge", {"name": name}) for name in bridges])
        self._made.append((lambda: ovs.remove(bridges, self.names.run_id), entries))
        ovs.create(self.bridges, self.names.run_id, self.caps.ovs.datapath, self.control.port)

    def _rewire(self, link: str) -> None:
        """A host's interface that was down has lost its route and neighbours: write them again."""
        mine = [w for w in self._wires if w.host in (self.topology.link(link).a, self.topology.link(link).b)]
        wiring.wire(mine, self._wires)

    def _mininet(self) -> Net:
        net = Net(self)
        for w in self._wires:
            net.addHost(w.host, netns=w.netns, pid=self.pods[w.host].pid, ip=f"{w.ip}/{wiring.PREFIX}", mac=w.mac)
        for site, bridge in zip(self._sites(), self.bridges, strict=True):
            net.addSwitch(site, bridge=bridge.name, datapath_id=bridge.datapath_id, fabric=self)
        macs = {w.host: w.mac for w in self._wires}
        addresses = {w.host: (w.ip, str(wiring.PREFIX)) for w in self._wires}
        for k in self.topology.links:
            ends = self._links[k.name].a, self._links[k.name].b
            made = net.addLink(
                k.a, k.b, self.plan.ports.get(k.a, {}).get(k.name), self.plan.ports.get(k.b, {}).get(k.name),
                link=k.name, intfName1=ends[0].interface, intfName2=ends[1].interface,
                addr1=macs.get(k.a), addr2=macs.get(k.b),
            )  # fmt: skip
            for name, intf in ((k.a, made.intf1), (k.b, made.intf2)):
                intf.ip, intf.prefixLen = addresses.get(name, (None, None))
        return net

    # -- reading back ------------------------------------------------------------------------------------------------

    def _check_link(self, name: str) -> list[str]:
        wanted = self._links[name]
        try:
            ab, ba, up = self.backend(name).read_back(name)
        except CannotRun as error:
            return [f"link {name}: {error}"]
        found = [] if up else [f"link {name}: an end is down, or missing"]
        for direction, is_, want in (("ab", ab, wanted.ab), ("ba", ba, wanted.ba)):
            if not alike(is_, want):
                found.append(f"link {name} {direction}: found {is_}, wanted {want}")
        return found
