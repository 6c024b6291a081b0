"""The live world: pods, links, switches, services and gateways on this machine, behind the World protocol.

Nominal time t = (monotonic − origin) / dilate. Everything is written to the ledger before it is made; the reaper
removes it when this process dies in any way.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.decision import Decision, Start
from controller.observation import Observation
from testbed.errors import CannotRun
from testbed.record.tables import Rows, no_rows
from testbed.scenario.model import Scenario
from testbed.topology.model import Topology
from testbed.topology.paths import paths, tolls
from testbed.world.base import Bed, Disturbance, Event, TaskBatch, Track
from testbed.world.congestion import Congestion
from testbed.world.live import capabilities, engine, images
from testbed.world.live.afflictions import Afflictions
from testbed.world.live.crashes import Crashes
from testbed.world.live.docker_hosts import DockerHosts, Limits
from testbed.world.live.drift import Watch
from testbed.world.live.fleet import Fleet, k_cpu
from testbed.world.live.hub import Hub
from testbed.world.live.inability import cannot
from testbed.world.live.intake import Intake
from testbed.world.live.ledger import Records
from testbed.world.live.life import Life
from testbed.world.live.link_rates import LinkRates
from testbed.world.live.meters import Meters, measure_links
from testbed.world.live.names import Names
from testbed.world.live.network import Network
from testbed.world.live.openflow import HUNG_S, PathControl
from testbed.world.live.rows import TaskDraw, draws_of
from testbed.world.live.shaking import Shaking

ORIGIN_LEAD = 0.5  # real s between start() and t = 0, for everybody to hear of it
POLL = 0.02  # real s between two looks for events while time passes
OUTAGE = 100e3  # bit/s on the wire: at less, one frame would keep the kernel's shaper in debt for long
PACKET = 1500.0  # bytes of a packet opportunity (Mahimahi)


@dataclass
class _Parts:
    """What `up` built, in order; `down` takes it apart in reverse."""

    life: Life
    hosts: DockerHosts | None = None
    control: PathControl | None = None
    network: Network | None = None
    watch: Watch | None = None
    hub: Hub | None = None
    fleet: Fleet | None = None


class LiveWorld:
    """One run on this machine. say: one line of progress."""

    name = "live"
    can = frozenset(
        {"state", "rate", "delay", "jitter", "loss", "duplicate", "reorder", "corrupt", "pause", "cpu", "pace", "kill",
         "errors", "views", "docker", "control", "restart", "memory", "reaction"}
    )  # fmt: skip

    def __init__(self, run_id: str, say: Callable[[str], None]) -> None:
        self.run_id, self.say = run_id, say
        self.names = Names(run_id)
        self._parts: _Parts | None = None
        self._origin: float | None = None
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._down: frozenset[str] = frozenset()
        self._carried: dict[str, float] = {}
        self._links: list[dict[str, Any]] = []

    # -- life --------------------------------------------------------------------------------------------------------

    def cannot(self, scenario: Scenario, topology: Topology) -> list[str]:
        return cannot(scenario, topology)

    def up(self, bed: Bed) -> None:
        """Build and verify everything. Raises CannotRun; `down` removes what was built."""
        with engine.refusals("the testbed was coming up"):
            self._build(bed)

    def _build(self, bed: Bed) -> None:
        self.say("looking at what this machine can do …")
        self.caps = capabilities.probe()
        if problems := capabilities.problems(self.caps):
            raise CannotRun("\n".join(f"{p.what}: {p.why} → {p.mend}" for p in problems))
        self.bed = bed
        run = bed.scenario.run
        self.dilate, self.shrink = run.dilate, run.shrink
        self.wire = _scaled(bed.topology, run.dilate, run.shrink)
        self._rates = LinkRates(bed, self.wire, self.now)
        self._congestion = Congestion(bed.topology)
        domains = {h.name: h.domain for h in (*self.wire.nodes, *self.wire.ingresses)}
        self._intake = Intake(
            bed.names, domains, lambda text: self._note(Event("note", None, self.now(), {"text": text}))
        )
        parts = self._parts = _Parts(Life(self.names, self.say))
        ledger = parts.life.begin()
        image = images.ensure(engine.connect(), ledger, self.say)
        self.say(
            f"building {len(self.wire.nodes)} nodes, {len(self.wire.sites)} switches, {len(self.wire.links)} links …"
        )
        control = parts.control = PathControl(self.names, ledger, sys.executable)
        control.begin()  # os-ken needs a second to start: meanwhile the pods are made
        hosts = parts.hosts = DockerHosts(self.names, ledger, image, Path(self.names.folder))
        pods = hosts.start_pods(self._limits())
        detection = run.detection * run.dilate
        network = parts.network = Network(
            self.names, self.wire, pods, self._needs(), ledger, self.caps, detection, bed.seed, control=control
        )
        network.build()
        before = time.monotonic()
        self.say(f"measuring {len(self.wire.links)} links …")
        self._links = measure_links(network, self.wire, self.dilate)
        done = sum(k["measured_delay_s"] is not None for k in self._links)
        self.say(f"measured {done} of {len(self._links)} links in {time.monotonic() - before:.1f} s")
        hub = parts.hub = Hub(
            f"{self.names.folder}/ctl/hub.sock", run.dilate, run.shrink, run.view_interval * run.dilate, bed.routing
        )
        hub.start()
        fleet = parts.fleet = Fleet(bed, hub, hosts, self.now, self._note)
        parts.watch = Watch(network, hosts)
        self._crashes = Crashes(network, hosts, fleet, self.now, run.detection)
        self._afflictions = Afflictions(hosts, fleet, hub, control, run.dilate)
        self._shaking = Shaking(network, self._rates, self._crashes, self._afflictions, self.now, self._push_paths)
        self._push_paths()
        starts = [a for a in bed.initial.actions if isinstance(a, Start)]
        self.say(f"starting {len(starts)} instances of services …")
        fleet.begin(starts)
        if wrong := hosts.verify({s.id: s.node for s in starts} | {o.name: o.name for o in self.wire.ingresses}):
            raise CannotRun("the containers are not as they should be:\n" + "\n".join(f"  {w}" for w in wrong))
        self._meters = Meters(network, self.wire, (run.warmup, run.warmup + run.duration))

    def _limits(self) -> dict[str, Limits]:
        """Nodes get C_v ÷ K_cpu cores and their memory; gateways and idle nodes are not held back below need."""
        k = k_cpu(self.bed)
        limits: dict[str, Limits] = {v.name: Limits(v.cpu / k, max(v.memory, 256e6)) for v in self.bed.model.nodes}
        limits.update({o.name: Limits(None, None) for o in self.wire.ingresses})
        return limits

    def _needs(self) -> dict[str, frozenset[str]]:
        """What may change on each link during the run, so that a backend that can do it is chosen."""
        needs = {k.name: set(self.bed.needs.get(k.name, ())) for k in self.wire.links}
        for track in self.bed.tracks:
            wanted = needs[self._rates.link(track.link).name]
            wanted.add("trace" if track.file else "rate")
            if min(track.rates) / self.dilate / self.shrink < OUTAGE:
                wanted.add("outage")
        return {name: frozenset(fields) for name, fields in needs.items()}

    def start(self) -> None:
        """t = 0 half a second from now: gateways and link tracks hear of it beforehand."""
        assert self._parts and self._parts.hub and self._parts.watch
        self._origin = time.monotonic() + ORIGIN_LEAD
        if self.bed.records is not None:
            self._parts.life.ledger.keep(Records(self.bed.records, self._origin, float(self.dilate)))
        for track in self.bed.tracks:
            self._play(track)
        self._parts.hub.set_origin(self._origin)
        self._meters.begin()
        self._parts.watch.begin()
        time.sleep(max(self._origin - time.monotonic(), 0.0))

    def _play(self, track: Track) -> None:
        link, direction = self._rates.link(track.link), self._rates.direction(track.link)
        backend = self._network.backend(link.name)
        self._network.playing.add(link.name)
        assert self._origin is not None
        if track.file is not None:
            # one nominal opportunity of 1,500 bytes, scaled: fewer bytes by shrink, later by dilate
            backend.play_trace(
                link.name, direction, track.file, PACKET * track.scale / self.shrink, self.dilate, self._origin
            )
            return
        times = [t * self.dilate for t in track.times]
        rates = [r / self.dilate / self.shrink for r in track.rates]
        backend.play(link.name, direction, times, rates, self._origin)

    def now(self) -> float:
        """Nominal s since t = 0; negative before it, 0 before `start`."""
        return 0.0 if self._origin is None else (time.monotonic() - self._origin) / self.dilate

    def _nominal(self, monotonic: float | None) -> float | None:
        if monotonic is None or self._origin is None:
            return None
        return (monotonic - self._origin) / self.dilate

    def advance(self, until: float) -> None:
        assert self._origin is not None
        end = self._origin + until * self.dilate
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL))
            if self._look():
                return

    def _look(self) -> bool:
        """Take note of what the network control and Docker saw. True when a decision is called for."""
        assert self._parts and self._parts.fleet and self._parts.hosts
        if trouble := self._parts.life.trouble or self._network.trouble():
            raise CannotRun(trouble)
        urgent = False
        for e in self._network.events():
            self._note(
                Event(
                    f"network_{e['kind']}",
                    None,
                    self._nominal(e.get("at")),
                    {k: v for k, v in e.items() if k not in ("t", "kind", "at")},
                )
            )
            if e["kind"] == "control_lost":  # paths stay as they are; a cut meanwhile is seen after the restart
                self._network.control.restart_beside()
            if e["kind"] == "paths" and frozenset(e["down"]) != self._down:
                self._down = frozenset(e["down"])
                self._push_paths()
                urgent = True
        if self._network.control.silent_s > HUNG_S:  # the one that takes its place says so by its events
            self._note(Event("network_control_hung", None, self.now(), {"silent_s": self._network.control.silent_s}))
            self._network.control.restart_beside()
        urgent |= self._crashes.tick()
        for name in self._parts.hosts.died():
            if name in self._crashes.victims:
                continue
            if name in self._parts.fleet.instances:
                self._parts.fleet.died(name)
                urgent = True
            if name in self._afflictions.killed:
                continue
            # nobody asked it to: what is measured now is not the scenario
            self._note(Event("invalid", None, self.now(), {"why": f"the container of {name} died"}))
        return urgent

    # -- load and looking --------------------------------------------------------------------------------------------

    def offer(self, tasks: TaskBatch) -> None:
        draws = draws_of(tasks, self.bed.names)
        by_gateway: dict[str, list[TaskDraw]] = defaultdict(list)
        for t in draws:
            by_gateway[t.ingress].append(t)
        assert self._parts and self._parts.hub
        for name, mine in by_gateway.items():
            self._parts.hub.offer(name, mine)
        self._intake.offer(draws)

    def observe(self, slot: int) -> Observation:
        assert self._parts and self._parts.fleet and self._parts.hub
        now = self.now()
        self._intake.absorb(self._parts.hub.take())
        measured = self._intake.slot(now)
        # wire bytes × shrink: over nominal time they make nominal rates
        self._carried = {way: x * self.shrink for way, x in self._meters.tick(now).items()}
        if self._congestion.watched:
            self._congestion.read(now, self._carried)
        assert self._parts.watch
        for event in self._parts.watch.look(now):
            self._note(event)
        self._push_paths()
        return Observation(
            slot, now, self._parts.fleet.states(self._intake.backlogs), **measured,
            paths=self._paths(), dead=tuple(sorted(self._crashes.known_down)),
        )  # fmt: skip

    def _paths(self) -> Any:
        return paths(self.bed.topology, self._rates.nominal(), self._down)

    def _push_paths(self) -> None:
        """Path costs to every sender, nominal; -1 where there is no path."""
        assert self._parts and self._parts.hub
        rates, watched, topology = self._rates.nominal(), self._congestion.watched, self.bed.topology
        p = paths(topology, self._congestion.left(rates) if watched else rates, self._down)
        toll = tolls(topology, self._congestion.prices(rates), self._down).tolist() if watched else None
        ends = [h.name for h in (*self.wire.nodes, *self.wire.ingresses)]
        delay = [[0.0 if a == b else p.delay.get((a, b), -1.0) for b in ends] for a in ends]
        byte = [[0.0 if a == b else p.per_byte.get((a, b), -1.0) for b in ends] for a in ends]
        self._parts.hub.set_paths(ends, delay, byte, toll)

    def apply(self, decision: Decision) -> None:
        assert self._parts and self._parts.fleet
        self._parts.fleet.apply(decision)

    def events(self) -> list[Event]:
        with self._lock:
            out, self._events = self._events, []
        return out

    def _note(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)

    def rows(self) -> Rows:
        if self._parts is None or self._parts.hub is None:  # never up
            return no_rows()
        self._intake.absorb(self._parts.hub.take())
        return self._intake.rows()

    # -- shaking -----------------------------------------------------------------------------------------------------

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        return self._shaking.disturb(verb, target, shape)

    def undo(self, disturbance: Disturbance) -> Disturbance:
        return self._shaking.undo(disturbance)

    @property
    def _network(self) -> Network:
        assert self._parts and self._parts.network
        return self._parts.network

    @property
    def net(self) -> Any:
        """Mininet's own object of the network that is up: `net.get("n1").cmd("ip a")`."""
        return self._network.net

    # -- facts -------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        assert self._parts and self._parts.fleet
        backlogs = self._intake.backlogs
        rates = self._rates.nominal()
        instances = [
            {
                "id": i.id,
                "service": i.service,
                "node": i.node,
                "workers": i.workers,
                "state": i.state,
                "backlog": backlogs.get(i.id, (0, 0))[0],
            }
            for i in list(self._parts.fleet.instances.values())
        ]
        trunks = [
            (k.name, rates.get(k.name, k.ab.rate), k.ab.rate, k.name not in self._down)
            for k in self.bed.topology.links
            if k.role == "trunk"
        ]
        return {
            "instances": instances, "nodes": [v.name for v in self.wire.nodes], "links": trunks,
            "dead": sorted(self._crashes.known_down), "carried_bytes": self._carried,
        }  # fmt: skip

    def measures(self) -> dict[str, Any]:
        if self._parts is None or self._parts.network is None:
            return {}
        facts: dict[str, Any] = {
            "links": self._links,
            "datapath": self.caps.ovs.datapath,
            "link_backend": self._network.backend_names(),
        }
        if hasattr(self, "_meters"):
            facts |= self._meters.facts(self.dilate)
        facts["metadata"] = {
            "blind": self._parts.watch.blind_until(self.now()) if self._parts.watch else [],
            "link_use": self._meters.use(self.dilate) if hasattr(self, "_meters") else None,
            "capabilities": self.caps.as_json(),
            "backends": self._network.backends_by_link(),
            "k_cpu": k_cpu(self.bed),
            "topology": {
                "sites": len(self.wire.sites),
                "nodes": len(self.wire.nodes),
                "ingresses": [o.name for o in self.wire.ingresses],
            },
        }
        return facts

    def down(self) -> None:
        """Fleet, hub, network, containers, ledger; each part even when another fails; the reaper takes the rest."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        troubles = []
        steps: list[tuple[str, Any]] = [
            ("services", parts.fleet and parts.fleet.close),
            ("control channel", parts.hub and parts.hub.close),
            ("watch", parts.watch and parts.watch.close),
            ("switches", parts.network and parts.network.detach),
            ("containers", parts.hosts and parts.hosts.close),
            ("network", parts.network and parts.network.stop),
            ("path control", parts.control and parts.control.stop),
            ("ledger and reaper", parts.life.end),
        ]
        for what, step in steps:
            try:
                if step:
                    with suppress(OSError):  # nobody listens any more: the removal matters more
                        self.say(f"removing: {what} …")
                    step()
            except Exception as error:  # every later step must still run; the ledger stays open for the reaper
                troubles.append(f"{what}: {error}")
        if troubles:
            mend = f"the reaper goes on; if something stays: `sudo testbed clean --run {self.run_id}`"
            self.say(f"could not remove everything: {'; '.join(troubles)}; {mend}")


def _scaled(topology: Topology, dilate: float, shrink: float) -> Topology:
    links = tuple(replace(k, ab=k.ab.scaled(dilate, shrink), ba=k.ba.scaled(dilate, shrink)) for k in topology.links)
    return replace(topology, links=links)
