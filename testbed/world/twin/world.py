"""The twin: the scenario as discrete events behind the World protocol. No root, no Docker, no network, no clock.

`up` makes the values an engine runs on; the engine (`engine.py`) lets tasks, transfers and queues happen; `fleet.py`
starts and drains; `grid.py` cuts, crashes and finds new paths; `books.py` turns tables into rows and samples.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from controller.decision import Decision
from controller.light.routing import StageSpec, TypeSpec
from controller.observation import Observation
from testbed.record.tables import Rows, no_rows
from testbed.scenario.model import Scenario
from testbed.topology.model import Topology
from testbed.world.base import Bed, Disturbance, Event, TaskBatch
from testbed.world.twin.afflictions import Afflictions
from testbed.world.twin.books import Books
from testbed.world.twin.calibration import LIVE, Calibration
from testbed.world.twin.choice import engine_for
from testbed.world.twin.engine import Engine
from testbed.world.twin.fleet import Fleet
from testbed.world.twin.grid import Grid
from testbed.world.twin.layout import Layout, Network, Rules, Types
from testbed.world.twin.meters import Meters


def cannot(scenario: Scenario, topology: Topology) -> list[str]:
    """One sentence per inability; empty when it can run."""
    out = []
    if scenario.run.mode == "busy":
        out.append("run.mode 'busy': the twin's services wait, it does not emulate a CPU; use 'idle'")
    if scenario.run.steering == "switch":
        out.append("run.steering 'switch': services are reached by the sender's choice only; use 'sender'")
    return out


def layout_of(bed: Bed, calibration: Calibration) -> Layout:
    """What an engine needs to know of a bed."""
    network = Network.of(bed.topology)
    services = tuple(m.name for m in bed.model.services())
    specs = tuple(
        TypeSpec(
            t.name, t.deadline, t.output,
            tuple(StageSpec(s.name, s.service, tuple((i.source, i.bytes) for i in s.inputs)) for s in t.stages),
        )
        for t in bed.model.tasks
    )  # fmt: skip
    gateways = np.array([network.hosts.index(name) for name in bed.names.ingresses])
    rules = Rules.of(bed.scenario.run, calibration, bed.seed, bed.routing)
    return Layout(network, gateways, services, Types.of(specs, services), rules)


class TwinWorld:
    """say: one line of progress. calibration: what the emulation adds. engine: "kernel", "reference" or None, the
    kernel where it can be compiled."""

    name = "twin"
    can = frozenset(
        {
            "state",
            "rate",
            "delay",
            "jitter",
            "loss",
            "corrupt",
            "pause",
            "cpu",
            "pace",
            "kill",
            "errors",
            "views",
            "restart",
            "memory",
            "reaction",
        }
    )
    engine: Engine

    def __init__(
        self, run_id: str, say: Callable[[str], None], calibration: Calibration = LIVE, engine: str | None = None
    ) -> None:
        self.run_id, self.say, self.calibration, self._wanted = run_id, say, calibration, engine
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = self._shaken = 0
        self._events: list[Event] = []
        self._urgent = self._up = False

    # -- life

    def cannot(self, scenario: Scenario, topology: Topology) -> list[str]:
        return cannot(scenario, topology)

    def up(self, bed: Bed) -> None:
        self.bed, run = bed, bed.scenario.run
        layout = layout_of(bed, self.calibration)
        engine = self.engine = engine_for(layout, self._wanted, self.say)
        self.books = Books(layout, bed.names, engine)
        self.fleet = Fleet(bed, engine, self.calibration, self.books.instance, self.now, self._at, self._events.append)
        self.grid = Grid(bed, layout.network, engine, self.fleet, self.now, self._at, self._events.append, self._call)
        look = self.calibration.poll_s / run.dilate
        self.afflictions = Afflictions(engine, self.fleet, self.now, self._at, self._call, look)
        self.meters = Meters(bed.topology, engine, (run.warmup, run.warmup + run.duration))
        self.fleet.begin()
        self._up = True

    def start(self) -> None:
        """t = 0: tracks begin to play."""
        for track in self.bed.tracks:
            for way in self.grid.rates.ways(track.link):
                self.engine.play(self.grid.lane(way), np.array(track.times), np.array(track.rates) / 8.0)

    def down(self) -> None:
        """Nothing was made that would have to be removed."""

    # -- time

    def now(self) -> float:
        return self.engine.now

    def _at(self, time: float, action: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._timers, (time, self._planned, action, args))
        self._planned += 1

    def _call(self) -> None:
        self._urgent = True

    def advance(self, until: float) -> None:
        timers = self._timers
        while True:
            target = min(until, timers[0][0]) if timers else until
            signals = self.engine.run(target)
            for signal in signals:
                self.fleet.hear(signal)
            if signals:
                continue
            while timers and timers[0][0] <= target:
                _, _, action, args = heapq.heappop(timers)
                action(*args)
            if self._urgent:
                self._urgent = False
                return
            if target >= until:
                return

    # -- load and looking

    def offer(self, tasks: TaskBatch) -> None:
        self.books.offer(tasks)
        self.engine.offer(
            tasks.ingress.astype(np.int64), tasks.type.astype(np.int64), tasks.at, tasks.deadline, tasks.access,
            tasks.size, tasks.work,
        )  # fmt: skip

    def observe(self, slot: int) -> Observation:
        now = self.now()
        self.books.absorb()
        self.meters.tick(now)
        self.grid.measure()
        self.grid.tell()
        self.engine.push()
        services, waits = self.books.samples()
        return Observation(
            slot, now, self.fleet.states(), self.books.arrivals(), services, waits, self.books.offered(now),
            self.grid.paths(), tuple(sorted(self.grid.dead)),
        )  # fmt: skip

    def apply(self, decision: Decision) -> None:
        self.fleet.apply(decision)

    def events(self) -> list[Event]:
        out = list(self._events)
        self._events.clear()
        return out

    def rows(self) -> Rows:
        if not self._up:
            return no_rows()
        self.books.absorb()
        return self.books.rows()

    # -- shaking

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        self._shaken += 1
        name = f"{verb}:{target}#{self._shaken}"
        evidence = self._do(verb, target, name, shape)
        return Disturbance(name, verb, target, dict(shape), self.now(), True, evidence)

    def undo(self, disturbance: Disturbance) -> Disturbance:
        d = disturbance
        opposite = {**d.shape, "up": not d.shape["up"]} if d.verb in ("link_state", "node_state") else None
        evidence = self._do(d.verb, d.target, d.id, opposite)
        return replace(d, reverted_at=self.now(), evidence=f"{d.evidence}; reverted: {evidence}")

    def _do(self, verb: str, target: str, name: str, shape: Mapping[str, Any] | None) -> str:
        if self.afflictions.has(verb, shape):
            return self.afflictions.do(verb, target, name, shape)
        return self.grid.do(verb, target, name, shape)

    # -- facts

    def status(self) -> dict[str, Any]:
        backlogs = self.engine.backlogs()[:, 0].tolist()
        rates = self.grid.rates.at(self.now())
        instances = [
            {
                "id": i.id, "service": i.service, "node": i.node, "workers": i.workers, "state": i.state,
                "backlog": backlogs[i.member],
            }
            for i in self.fleet.instances.values()
        ]  # fmt: skip
        trunks = [
            (k.name, rates.get(k.name, k.ab.rate), k.ab.rate, k.name not in self.grid.down)
            for k in self.bed.topology.links
            if k.role == "trunk"
        ]
        return {"instances": instances, "nodes": [v.name for v in self.bed.topology.nodes], "links": trunks}

    def measures(self) -> dict[str, Any]:
        if not self._up:
            return {}
        top = self.bed.topology
        return {
            **self.meters.facts(),
            "link_backend": f"twin, {self.calibration.network}",
            "datapath": None,
            "links": [],
            "metadata": {
                "link_use": self.meters.use(),
                "topology": {
                    "sites": len(top.sites),
                    "nodes": len(top.nodes),
                    "ingresses": [o.name for o in top.ingresses],
                },
            },
        }
