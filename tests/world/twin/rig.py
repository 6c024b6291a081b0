"""A hand-made bed for an engine: two sites, a gateway, three nodes, services by the test; time in hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from controller.light.routing import ESTIMATE, INGRESS, StageSpec, TypeSpec
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.paths import paths, trunk_hops
from testbed.world.twin.choice import engine_for
from testbed.world.twin.engine import Signal
from testbed.world.twin.layout import Layout, Network, Rules, Types

FAST = Shape(80e9)
#: gw and a at west, b and c at east; a detour over north. 1 MB/s and 10 ms on the trunk, 100 ms on each detour.
TRUNK, DETOUR = Shape(8e6, 0.010), Shape(8e6, 0.100)
TOPOLOGY = Topology(
    "rig",
    (Site("west", "w"), Site("east", "e"), Site("north", "n")),
    (Host("a", "west", "w", "node"), Host("b", "east", "e", "node"), Host("c", "east", "e", "node")),
    (Host("gw", "west", "w"),),
    (
        Link("west--east", "west", "east", TRUNK, TRUNK),
        Link("west--north", "west", "north", DETOUR, DETOUR),
        Link("north--east", "north", "east", DETOUR, DETOUR),
        *(Link(f"{h}--{s}", h, s, FAST, FAST, "node") for h, s in (("a", "west"), ("b", "east"), ("c", "east"))),
        Link("gw--west", "gw", "west", FAST, FAST, "gateway"),
    ),
)  # fmt: skip
PLAIN = Rules(
    interval=0.1, report=0.07, recent=0.3, edf=True, limit=1000, early_drop=False, admission=False, contention=0.0,
    grace_deadlines=2.0, grace=5.0, join_grace=5.0, seed=1, rule=ESTIMATE, shrink=1.0, frames=False, packet=0.0,
    segment=1448.0, message=0.0, local=0.0, service=0.0, dispatch=0.0, rto=0.2, window=0.0, handshake=False,
)  # fmt: skip


def chain(*services: str, size: float = 0.0, deadline: float = 10.0) -> TypeSpec:
    """A task type of these services, one after the other, `size` bytes on each edge."""
    stages = [StageSpec(f"{k}", m, ((f"{k - 1}" if k else INGRESS, size),)) for k, m in enumerate(services)]
    return TypeSpec("chain", deadline, 0.0, tuple(stages))


class Rig:
    """rules: changes to PLAIN. Times in s, sizes in bytes."""

    def __init__(self, engine: str, *types: TypeSpec, **rules: Any) -> None:
        network = Network.of(TOPOLOGY)
        self.services = tuple(dict.fromkeys(s.service for t in types for s in t.stages))
        kinds = Types.of(types, self.services)
        self.layout = Layout(network, np.array([3]), self.services, kinds, replace(PLAIN, **rules))
        self.types = types
        self.engine = engine_for(self.layout, engine)
        self.down: frozenset[str] = frozenset()
        self.signals: list[tuple[float, *Signal]] = []
        self.answers: list[Any] = []
        self.visits: list[Any] = []
        self.arrivals = np.zeros((len(self.services), len(network.domains)), np.int64)
        self.reroute()

    def reroute(self, *down: str) -> None:
        """Path control learns that these links are down."""
        self.down = frozenset(down)
        hosts, found = self.layout.network.hosts, paths(TOPOLOGY, {}, self.down)
        self.engine.set_costs(
            *(
                np.array([[0.0 if a == b else v.get((a, b), math.inf) for b in hosts] for a in hosts])
                for v in (found.delay, found.per_byte)
            ),
            np.zeros((len(hosts), len(hosts))),
        )
        sites = {s: i for i, s in enumerate(self.layout.network.sites)}
        lane = {(k.name, end): 2 * i + (end == k.b) for i, k in enumerate(TOPOLOGY.links) for end in (k.a, k.b)}
        table = np.full((len(sites), len(sites)), -1)
        for target, hops in trunk_hops(TOPOLOGY, self.down).items():
            for source, link in hops.items():
                table[sites[source], sites[target]] = lane[link, source]
        self.engine.set_next(table)
        self.engine.push()

    def start(self, service: str, node: str, workers: int = 1, mean: float = 0.1, milli: int = 0, **facts: Any) -> int:
        """A running instance, in the next view; its member."""
        name = f"{service}-{node}-{len(self.engine.backlogs())}"
        where = self.layout.network.hosts.index(node)
        speed, spare = facts.get("speed", 1.0), facts.get("spare", 1.0)
        member = self.engine.add(name, self.services.index(service), where, workers, speed, mean, milli, spare)
        self.engine.open(member)
        return member

    def task(
        self,
        at: float,
        *work: float,
        type: int = 0,
        size: float = 1.0,
        deadline: float | None = None,
        access: float = 0.0,
    ) -> None:
        """One task, sent at `at`, with this work per stage."""
        due = self.types[type].deadline if deadline is None else deadline
        one = np.ones(1)
        works = np.zeros((1, self.layout.types.service.shape[1]))
        works[0, : len(work)] = work
        index = np.array([type])
        self.engine.offer(np.zeros(1, np.int64), index, one * at, one * due, one * access, one * size, works)

    def lanes(self, link: str) -> tuple[int, int]:
        index = [k.name for k in TOPOLOGY.links].index(link)
        return 2 * index, 2 * index + 1

    def cut(self, link: str, up: bool = False) -> None:
        for lane in self.lanes(link):
            self.engine.set_lane(lane, up)

    def run(self, until: float) -> None:
        """Let time pass; what happened is in `signals`, `answers`, `visits`."""
        while self.engine.now < until:
            self.signals += [(self.engine.now, *signal) for signal in self.engine.run(until)]
        answers, visits, arrivals = self.engine.take()
        self.answers += list(answers)
        self.visits += list(visits)
        self.arrivals += arrivals

    def of(self, task: int, stage: int = 0) -> Any:
        """The only visit of a task's stage."""
        found = [v for v in self.visits if v["task"] == task and v["stage"] == stage]
        assert len(found) == 1, found
        return found[0]

    def answer(self, task: int) -> Any:
        found = [a for a in self.answers if a["task"] == task]
        assert len(found) == 1, found
        return found[0]
