"""Small random worlds and a random story for them, told to an engine: same seed, same story, whatever the engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from controller.light.routing import INGRESS, RULES, StageSpec, TypeSpec
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.paths import paths, trunk_hops
from testbed.world.twin.engine import DRAINED, RELEASED, Engine
from testbed.world.twin.layout import Layout, Network, Rules, Types

HORIZON = 4.0


def topology(rng: np.random.Generator) -> Topology:
    """Two to four sites in a ring, one or two nodes at each, one to three gateways."""
    n = int(rng.integers(2, 5))
    sites = tuple(Site(f"s{i}", f"g{i}") for i in range(n))

    def link(a: str, b: str, role: str) -> Link:
        def shape() -> Shape:
            loss = float(rng.choice([0.0, 0.0, 0.002]))
            delay, jitter = float(rng.choice([0.0005, 0.004, 0.01])), float(rng.choice([0.0, 0.0, 0.001]))
            return Shape(float(rng.choice([8e6, 40e6, 100e6])), delay, jitter, loss)

        return Link(f"{a}--{b}", a, b, shape(), shape(), role)

    nodes = tuple(Host(f"n{i}{k}", f"s{i}", f"g{i}", "node") for i in range(n) for k in range(int(rng.integers(1, 3))))
    doors = tuple(Host(f"gw{i}", f"s{i}", f"g{i}") for i in range(int(rng.integers(1, min(n, 3) + 1))))
    trunks = [link(f"s{i}", f"s{(i + 1) % n}", "trunk") for i in range(n if n > 2 else 1)]
    own = [link(h.name, h.site, "node" if h.kind else "gateway") for h in (*nodes, *doors)]
    return Topology("random", sites, nodes, doors, (*trunks, *own))


def types(rng: np.random.Generator, services: tuple[str, ...]) -> tuple[TypeSpec, ...]:
    """Chains and a diamond that joins, with the ingress as one of the join's inputs now and then."""

    def size() -> float:
        return float(rng.choice([500.0, 20e3, 200e3]))

    def service() -> str:
        return str(rng.choice(services))

    chain = tuple(
        StageSpec(f"c{k}", service(), ((f"c{k - 1}" if k else INGRESS, size()),))
        for k in range(int(rng.integers(1, 5)))
    )
    diamond = [
        StageSpec("left", service(), ((INGRESS, size()),)),
        StageSpec("right", service(), ((INGRESS, size()),)),
        StageSpec("both", service(), (("left", size()), ("right", size()))),
        StageSpec("end", service(), (("both", size()),)),
    ]
    if rng.random() < 0.5:
        diamond.append(StageSpec("again", service(), (("both", size()), (INGRESS, size()))))
    return (
        TypeSpec("chain", float(rng.uniform(0.2, 0.8)), size(), chain),
        TypeSpec("diamond", float(rng.uniform(0.3, 1.0)), size(), tuple(diamond)),
    )


def rules(rng: np.random.Generator, seed: int) -> Rules:
    early = bool(rng.random() < 0.7)
    return Rules(
        interval=0.1, report=0.07, recent=0.3, edf=bool(rng.random() < 0.6), limit=int(rng.choice([2, 5, 1000])),
        early_drop=early, admission=bool(rng.random() < 0.5), contention=float(rng.choice([0.0, 1.0])),
        grace_deadlines=2.0, grace=0.6, join_grace=0.0 if early else 0.5, seed=seed, rule=str(rng.choice(RULES)),
        shrink=float(rng.choice([1.0, 50.0])), frames=bool(rng.random() < 0.7),
        packet=float(rng.choice([0.0, 1514.0, 75e3, math.inf])), segment=1448.0,
        message=float(rng.choice([0.0, 0.001])), local=float(rng.choice([0.0, 0.001])), service=0.0003,
        dispatch=0.0, rto=0.1, window=float(rng.choice([0.0, 14480.0])), handshake=bool(rng.random() < 0.5),
    )  # fmt: skip


class Story:
    """What happens in the world of this seed, told to an engine step by step; `log` is everything it answered."""

    def __init__(self, seed: int, make: Callable[[Layout], Engine]) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.topology = topology(rng)
        self.services = tuple(f"m{i}" for i in range(int(rng.integers(2, 5))))
        network = Network.of(self.topology)
        kinds = types(rng, self.services)
        gateways = np.array([network.hosts.index(h.name) for h in self.topology.ingresses])
        self.layout = Layout(network, gateways, self.services, Types.of(kinds, self.services), rules(rng, seed))
        self.engine = make(self.layout)
        self.down: set[str] = set()
        self.alive: list[int] = []
        self.dead: list[int] = []
        self.frozen: set[int] = set()
        self.held = False
        self.count = 0
        self.log: list[Any] = []
        self.costs()
        for m in range(len(self.services)):
            for _ in range(int(rng.integers(1, 4))):
                self.start(m)
        self.engine.push()

    def costs(self) -> None:
        hosts, down = self.layout.network.hosts, frozenset(self.down)
        found = paths(self.topology, {}, down)
        both = []
        for values in (found.delay, found.per_byte):
            both.append(np.array([[0.0 if a == b else values.get((a, b), math.inf) for b in hosts] for a in hosts]))
        toll = self.rng.choice([0.0, 1e-8, 1e-7, 1e-6], size=both[0].shape)
        self.engine.set_costs(*both, toll)
        site = {s: i for i, s in enumerate(self.layout.network.sites)}
        lane = {}
        for i, k in enumerate(self.topology.links):
            lane[k.name, k.a], lane[k.name, k.b] = 2 * i, 2 * i + 1
        table = np.full((len(site), len(site)), -1)
        for target, hops in trunk_hops(self.topology, down).items():
            for source, link in hops.items():
                table[site[source], site[target]] = lane[link, source]
        self.engine.set_next(table)

    def start(self, service: int) -> None:
        host = int(self.rng.integers(len(self.topology.nodes)))
        speed = float(self.rng.choice([0.8, 1.0, 1.3]))
        light = bool(self.rng.random() < 0.7)
        member = self.engine.add(
            f"{self.services[service]}-{self.count}", service, host, int(self.rng.integers(1, 4)), speed, 0.02 / speed,
            1000 if light else 0, 4.0,
        )  # fmt: skip
        self.count += 1
        self.engine.open(member)
        self.alive.append(member)

    def offer(self) -> None:
        n = int(self.rng.integers(5, 120))
        width = self.layout.types.service.shape[1]
        at = np.sort(self.rng.uniform(self.engine.now, self.engine.now + 1.0, n))
        kind = self.rng.integers(0, 2, n)
        deadline = np.array([t.deadline for t in self.layout.types.specs])[kind]
        self.engine.offer(
            self.rng.integers(0, len(self.layout.gateways), n), kind, at, deadline, self.rng.uniform(0, 0.05, n),
            self.rng.choice([1.0, 0.5, 2.0], n), self.rng.exponential(0.02, (n, width)),
        )  # fmt: skip

    def happen(self) -> None:
        """One thing out of the ordinary."""
        what = int(self.rng.integers(14))
        links = self.topology.links
        link = int(self.rng.integers(len(links)))
        if what == 0:
            self.start(int(self.rng.integers(len(self.services))))
        elif what == 1 and self.alive:
            self.engine.resize(int(self.rng.choice(self.alive)), int(self.rng.integers(0, 4)))
        elif what == 2 and self.alive:
            self.leave(self.alive.pop(int(self.rng.integers(len(self.alive)))))
        elif what == 3:
            self.engine.squeeze(2 * link + int(self.rng.integers(2)), float(self.rng.choice([0.1, 0.5, 1.0])))
        elif what == 4:
            up = links[link].name in self.down
            (self.down.discard if up else self.down.add)(links[link].name)
            for lane in (2 * link, 2 * link + 1):
                self.engine.set_lane(lane, up)
        elif what == 5:
            self.costs()
        elif what == 6 and self.alive:
            self.dead.append(self.alive.pop(int(self.rng.integers(len(self.alive)))))
            self.engine.kill(self.dead[-1])
        elif what == 7 and self.dead:
            self.engine.bury(self.dead.pop())
        elif what == 8:
            steps = np.sort(self.rng.uniform(self.engine.now, HORIZON, 5))
            self.engine.play(2 * link, steps, self.rng.choice([1e5, 1e6, 5e6], 5))
        elif what == 9:
            delay, jitter, loss = (
                self.rng.choice([0.001, 0.05]),
                self.rng.choice([0.0, 0.01]),
                self.rng.choice([0.0, 0.1]),
            )
            self.engine.shape(2 * link + int(self.rng.integers(2)), float(delay), float(jitter), float(loss))

        elif what == 10 and self.alive:
            pace, errors = float(self.rng.choice([0.5, 1.0, 4.0])), float(self.rng.choice([0.0, 0.3, 1.0]))
            self.engine.trouble(int(self.rng.choice(self.alive)), pace, errors)
        elif what in (11, 12) and self.alive:
            member = int(self.rng.choice(self.alive))
            self.engine.freeze(member, member not in self.frozen)
            self.frozen ^= {member}
        elif what == 13:
            self.held = not self.held
            self.engine.hold(self.held)

    def leave(self, member: int) -> None:
        if self.engine.mark(member):
            self.engine.drain(member)
        self.engine.push()

    def hear(self, what: int, member: int) -> None:
        self.log.append(("signal", self.engine.now, what, member))
        if what == RELEASED:
            self.engine.drain(member)
        elif what == DRAINED:
            self.engine.stop(member)

    def tell(self) -> list[Any]:
        """The whole story."""
        edges = np.sort(self.rng.uniform(0.0, HORIZON, 14))
        self.offer()
        for k, edge in enumerate([*edges.tolist(), HORIZON, HORIZON + 3.0]):
            while self.engine.now < edge:
                for what, member in self.engine.run(edge):
                    self.hear(what, member)
            if edge < HORIZON:
                self.happen()
                if k % 4 == 3:
                    self.offer()
            if k % 3 == 0 or edge >= HORIZON:
                answers, visits, arrivals = self.engine.take()
                self.log += [answers.tobytes(), visits.tobytes(), arrivals.tobytes()]
                self.log += [self.engine.backlogs().tobytes(), self.engine.carried().tobytes()]
                self.log.append([self.engine.held(m) for m in self.alive])
        return self.log
