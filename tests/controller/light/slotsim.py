"""A slot-level world for tests of light control: exact FCFS queues per instance, no network, no machine.

Every request goes, at its own time, to the instance with the least path + wait, and waits for the first free
worker. Stages do not feed one another: `format` is asked at the times of its tasks by the cluster where `llm` runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from controller.decision import Decision, Drain, Migrate, Placement, Resize, Start
from controller.light.control import begin, step
from controller.light.law import points
from controller.light.state import LightState, Parameters
from controller.model import (
    Access,
    Core,
    Costs,
    Ingress,
    Input,
    Law,
    Light,
    Model,
    Node,
    Paths,
    Stage,
    TaskType,
)  # fmt: skip
from controller.observation import InstanceState, Observation

DOMAINS = ("west", "centre", "east")
PLACED = Placement({"vision": ("n1", "n4"), "llm": ("n1", "n4")}, "heuristic", 0.0, float("-inf"), float("nan"))


def metro(rate: float = 20.0, trunk: float = 800e6) -> Model:
    """The nine nodes, three clusters and one task type of the demonstration."""
    kinds = [("big", 32, 48e9, 1.3, 1.2), ("medium", 20, 32e9, 1.0, 1.0), ("small", 12, 16e9, 0.8, 0.8)]
    nodes = tuple(
        Node(f"n{3 * c + k + 1}", g, cpu, memory, speed, price)
        for c, g in enumerate(DOMAINS)
        for k, (_, cpu, memory, speed, price) in enumerate(kinds)
    )
    ingresses = tuple(Ingress(f"gw{c + 1}", g, 1 / 3) for c, g in enumerate(DOMAINS))
    home = {e.name: e.domain for e in (*nodes, *ingresses)}
    trunks = {("west", "centre"): 0.007, ("centre", "east"): 0.009, ("west", "east"): 0.012}
    far = {**trunks, **{(b, a): d for (a, b), d in trunks.items()}}
    pairs = [(a, b) for a in home for b in home if a != b]
    delay = {(a, b): 0.001 + far.get((home[a], home[b]), 0.0) for a, b in pairs}
    per_byte = {(a, b): 8 / (1e9 if home[a] == home[b] else trunk) for a, b in pairs}
    core = Costs(20, 4)
    light = Costs(4, 1, 0.5)
    vqa = TaskType(
        "vqa", 1.0, 0.7, 0.1,
        (
            Stage("image", "image", (Input("ingress", 2e6),)),
            Stage("vision", "vision", (Input("image", 0.8e6),)),
            Stage("llm", "llm", (Input("vision", 0.4e6), Input("ingress", 0.02e6))),
            Stage("format", "format", (Input("llm", 0.3e6),)),
        ),
        0.1e6,
    )  # fmt: skip
    return Model(
        nodes, ingresses,
        (Core("vision", 0.04, 4, 8e9, 2, 2.0, core), Core("llm", 0.06, 6, 16e9, 3, 3.0, core)),
        (
            Light("image", 0.03, 1, 0.3e9, 0.6, light, Law("gamma", shape=2.0), 1e6),
            Light("format", 0.012, 1, 0.2e9, 0.4, light, Law("gamma", shape=3.0), 1e6),
        ),
        (vqa,), Paths(delay, per_byte), Access(150e6, 3.0), rate,
    )  # fmt: skip


def mmpp(seed: int, spikes: tuple[tuple[int, int, int, float], ...] = ()) -> Callable[[int], np.ndarray]:
    """Factors on the three ingresses' rates by slot: 0.7 / 1.6 with mean dwell 4 / 2 slots, times the spikes.

    A spike is (ingress, first slot, slots, factor).
    """
    dice = np.random.Generator(np.random.Philox(seed))
    factors = np.empty((400, 3))
    for o in range(3):
        high = dice.random() < 1 / 3
        for t in range(len(factors)):
            factors[t, o] = 1.6 if high else 0.7
            if dice.random() < (0.5 if high else 0.25):
                high = not high
    for o, at, slots, factor in spikes:
        factors[at : at + slots, o] *= factor
    return lambda t: factors[t]


@dataclass
class Box:
    """An instance: free times of its workers; requests in progress are those not finished yet."""

    service: str
    node: str
    ready: float
    free: list[float]
    ends: list[float] = field(default_factory=list)
    draining: bool = False


class SlotWorld:
    """Applies decisions, serves requests, measures; `history` keeps what a replay needs."""

    def __init__(self, model: Model, factors: Callable[[int], np.ndarray], seed: int = 1, **parameters: float) -> None:
        self.model, self.factors = model, factors
        self.dice = np.random.Generator(np.random.Philox(seed + 1000))
        self.boxes: dict[str, Box] = {}
        self.moves: dict[str, str] = {}
        self.dead: set[str] = set()
        self.waits: list[tuple[int, str, float]] = []
        self.state, decision = begin(model, PLACED, Parameters(**parameters))
        self.begun = self.state
        self.history: list[tuple[Observation, Decision]] = []
        self.decisions = [decision]
        self.apply(decision, 0.0, cold=True)

    def apply(self, decision: Decision, now: float, cold: bool = False) -> None:
        for action in decision.actions:
            if isinstance(action, Start | Migrate):
                start = action if isinstance(action, Start) else action.start
                assert start.id not in self.boxes, "instance ids are unique"
                delay = 0.0 if cold else self.model.service(start.service).startup + 0.3
                self.boxes[start.id] = Box(start.service, start.node, now + delay, [now + delay] * start.workers)
                if isinstance(action, Migrate):
                    self.moves[action.drain] = start.id
            elif isinstance(action, Resize):
                box = self.boxes[action.id]
                box.free = sorted(box.free)[: action.workers] + [now] * (action.workers - len(box.free))
            elif isinstance(action, Drain):
                self.boxes[action.id].draining = True

    def kill(self, node: str) -> None:
        self.dead.add(node)
        self.boxes = {i: b for i, b in self.boxes.items() if b.node != node}

    def slot(self, number: int) -> Decision:
        """Serve slot number−1 … number, then observe and decide."""
        begun, now = float(number - 1), float(number)
        arrivals: dict[tuple[str, str], int] = {}
        offered: dict[tuple[str, str], int] = {}
        services: dict[str, list[float]] = {"image": [], "format": []}
        waits: dict[str, list[float]] = {"image": [], "format": []}
        events: list[tuple[float, str, str]] = []
        for o, ingress in enumerate(self.model.ingresses):
            n = int(self.dice.poisson(self.model.load * ingress.weight * self.factors(number)[o]))
            offered[ingress.name, "vqa"] = n
            for t in begun + self.dice.random(n):
                llm = "west" if ingress.domain == "west" else "centre"
                events += [(t, "image", ingress.domain), (t, "format", llm)]
        for t, service, domain in sorted(events):
            arrivals[service, domain] = arrivals.get((service, domain), 0) + 1
            self._promote(t)
            wait, busy = self._serve(t, service, domain)
            waits[service].append(wait)
            services[service].append(busy)
            self.waits.append((number, service, wait))
        self._promote(now)
        self._reap(now)
        observation = Observation(
            number, now, self._instances(now), arrivals, {m: tuple(x) for m, x in services.items()},
            {m: tuple(x) for m, x in waits.items()}, offered, self.model.paths, tuple(sorted(self.dead)),
        )  # fmt: skip
        return self.decide(observation)

    def decide(self, observation: Observation) -> Decision:
        self.state, decision = step(self.model, self.state, observation)
        self.history.append((observation, decision))
        self.decisions.append(decision)
        self.apply(decision, observation.now)
        return decision

    def run(self, slots: int, first: int = 1) -> SlotWorld:
        for number in range(first, first + slots):
            self.slot(number)
        return self

    def count(self, kind: type, service: str | None = None, since: int = 0) -> int:
        return sum(
            isinstance(a, kind) and (service is None or getattr(a, "start", a).service == service)
            for d in self.decisions[1:]
            for a in d.actions
            if d.slot >= since
        )

    def _serve(self, t: float, service: str, domain: str) -> tuple[float, float]:
        gateway = next(o.name for o in self.model.ingresses if o.domain == domain)
        able = [b for b in self.boxes.values() if b.service == service and b.ready <= t and not b.draining]
        assert able, f"{service} has no ready instance at {t}"
        paths = self.model.paths

        def seconds(b: Box) -> float:
            return paths.net(gateway, b.node, 2e6 if service == "image" else 3e5) + max(0.0, b.free[0] - t)

        box = min(able, key=seconds)
        m = self.model.service(service)
        grid = points(m.law, 1000)
        factor = grid[int(self.dice.random() * 1000)]
        busy = m.work * factor / self.model.node(box.node).speed
        wait = max(0.0, box.free[0] - t)
        heapq.heapreplace(box.free, t + wait + busy)
        box.ends.append(t + wait + busy)
        return wait, busy

    def _promote(self, t: float) -> None:
        for old, new in list(self.moves.items()):
            if new not in self.boxes:
                del self.moves[old]
            elif self.boxes[new].ready <= t:
                if old in self.boxes:
                    self.boxes[old].draining = True
                del self.moves[old]

    def _reap(self, now: float) -> None:
        for box in self.boxes.values():
            box.ends = [e for e in box.ends if e > now]
        self.boxes = {i: b for i, b in self.boxes.items() if not (b.draining and not b.ends)}

    def _instances(self, now: float) -> tuple[InstanceState, ...]:
        core = [
            InstanceState(f"{m}-{k}", m, v, self.model.service(m).streams)  # type: ignore[union-attr]
            for k, (m, v) in enumerate((m, v) for m, hosts in PLACED.instances.items() for v in hosts)
        ]
        core = [i for i in core if i.node not in self.dead]
        light = [
            InstanceState(i, b.service, b.node, len(b.free), len(b.ends), b.ready <= now, b.draining)
            for i, b in self.boxes.items()
            if b.service in ("image", "format")
        ]
        return (*core, *light)


def replay(model: Model, begun: LightState, history: list[tuple[Observation, Decision]]) -> list[Decision]:
    """The decisions the controller takes again on recorded observations."""
    state, decisions = begun, []
    for observation, _ in history:
        state, decision = step(model, state, observation)
        decisions.append(decision)
    return decisions
