"""The control loop, written once against World: offer, observe, decide, apply, shake, record."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from controller.decision import Decision, Migrate, Resize, Start
from controller.model import Model
from controller.observation import InstanceState, Observation
from controller.policy import Policy
from testbed.load.tasks import TaskSource
from testbed.record import measures
from testbed.record.folder import RunFolder
from testbed.record.tables import LOOSE, STAGES, Names, Pile, TaskBook
from testbed.run.beliefs import Beliefs
from testbed.run.bound import affordable
from testbed.run.pulse import PulseTaker
from testbed.run.recovery import LED_ROUND, NOTICED
from testbed.run.shaker import Shaker
from testbed.world.base import Event, TaskBatch, World

log = logging.getLogger(__name__)

LOOKAHEAD_SLOTS = 2.0  # tasks are handed to their gateways so far ahead


@dataclass
class Journey:
    """What a run has gathered; everything the summary is made from. names: what the rows' codes stand for."""

    names: Names
    tasks: TaskBook = field(default_factory=TaskBook)
    draws: list[TaskBatch] = field(default_factory=list)  # what was offered; empty where the bound is too dear
    stages: Pile = field(default_factory=lambda: Pile(STAGES))
    slots: list[tuple[float, float]] = field(default_factory=list)  # (time, cost of operation) of each regular slot
    begun: list[tuple[float, str]] = field(default_factory=list)  # (time, service) of every start, moves included
    decide_s: list[float] = field(default_factory=list)
    overruns: int = 0
    budgets: list[tuple[float, dict[str, float]]] = field(default_factory=list)  # (since, service → w_m), s
    moves: list[dict[str, Any]] = field(default_factory=list)
    ordered: Counter[str] = field(default_factory=Counter)  # actions of all decisions, by their class's name
    scaled: Counter[str] = field(default_factory=Counter)  # "out": starts and more workers; "in": drains and fewer
    told: list[tuple[str, float]] = field(default_factory=list)  # (kind, s) of events that tell of a reaction
    invalid: list[str] = field(default_factory=list)
    interrupted: bool = False
    ended: float | None = None  # when the load ended, where hands may end it, s
    _joined: int = 0  # of the draws' batches, those that are many in one

    def draw(self, tasks: TaskBatch) -> None:
        """Keep what was offered. A long run has many slots of few tasks: joined, they take a tenth of the memory."""
        self.draws.append(tasks)
        if len(self.draws) - self._joined >= LOOSE:
            self.draws[self._joined :] = [TaskBatch.join(self.draws[self._joined :])]
            self._joined += 1

    def budget(self, now: float, budgets: dict[str, float]) -> None:
        """Waiting budgets from now on, noted where they change."""
        if not self.budgets or self.budgets[-1][1] != budgets:
            self.budgets.append((now, budgets))


#: Called once per slot with what a live table shows.
Listener = Callable[[dict[str, Any]], None]


class Hands(Protocol):
    """Somebody who works on the run while it goes on; everything of theirs happens in the loop's own thread."""

    interval: float  # nominal s between two looks at what they want

    def begin(self, loop: Loop) -> None:
        """The world is up, the load is about to begin."""

    def serve(self) -> bool:
        """Do what they asked for since the last time. True once the run is to end."""
        ...

    def end(self) -> None:
        """Nobody is listened to any more. May be called twice, and without `begin`."""


@dataclass
class Loop:
    """One run over a world that is up. horizon: end of the load, s; slot: s. perf: a monotonic clock for costs.

    simulated: time stands still while the policy thinks, so what it took is no overrun and is in no event. witness:
    sees what the policy is shown, before it does, and by what factors it is told wrong service times.
    """

    world: World
    policy: Policy
    model: Model
    state: Any
    source: TaskSource
    shaker: Shaker
    folder: RunFolder
    horizon: float
    slot: float
    perf: Callable[[], float]
    listener: Listener
    names: Names
    simulated: bool
    witness: Callable[[Observation, Mapping[str, float]], None]
    hands: Hands | None = None
    report_s: float = 0.0  # after a task is answered, until its services have said what they did
    pulse: Mapping[str, float | None] = field(default_factory=dict)  # of the last slot
    journey: Journey = field(init=False)

    def __post_init__(self) -> None:
        file = None if self.simulated else self.folder.scratch()  # the twin's rows are many and its runs short
        self.journey = Journey(self.names, stages=Pile(STAGES, file=file))
        self.beliefs = self.shaker.beliefs = Beliefs(self.model, self.world.now)
        self._services = {m.name: m for m in self.model.services()}
        self._prices = {v.name: v.price for v in self.model.nodes}
        self._pulse = PulseTaker(self.slot)
        # what is handed out can't be taken back: with somebody at hand, less of it
        self._lookahead = (LOOKAHEAD_SLOTS if self.hands is None else 1.0) * self.slot

    def run(self) -> Journey:
        """Until the horizon; then follow what is in flight until its deadlines have passed."""
        self.world.start()
        self.folder.event("origin", 0.0, self.world.now())
        k = 0
        self._offer(self._lookahead)
        while (now := self.world.now()) < self.horizon and not self.shaker.stopped:
            look = math.inf if self.hands is None else now + self.hands.interval
            target = min((k + 1) * self.slot, self.shaker.next_edge(now), self.horizon, look)
            self.world.advance(target)
            now = self.world.now()
            shaken = self.shaker.fire(now)
            on_slot = now >= (k + 1) * self.slot
            if on_slot:
                k = int(now / self.slot + 1e-9)
            if on_slot or self.hands is not None:
                self._offer(now + self._lookahead)
            if on_slot or (not shaken and now < target):  # back early: something was detected
                self._decide(k, planned=k * self.slot if on_slot else None)
            if self.hands is not None and self.hands.serve():
                break
        self.journey.ended = min(self.world.now(), self.horizon)
        if self.shaker.stopped:
            self.journey.invalid.append(f"stopped by {self.shaker.stopped}")
        else:
            self.shaker.fire(self.world.now())
        self.shaker.revert_all()
        longest = max(n.deadline for n in self.model.tasks)
        self._follow(self.world.now() + 3.0 * longest + 1.0)
        return self.journey

    def _offer(self, until: float) -> None:
        self.shaker.shape_load(until)
        tasks = self.source.until(until)
        self.journey.tasks.offer(tasks.rows())
        if self.hands is None and affordable(self.model):
            self.journey.draw(tasks)
        self.world.offer(tasks)

    def _decide(self, k: int, planned: float | None) -> None:
        observation = self.world.observe(k)
        self.witness(observation, self.beliefs.factors)
        before = self.perf()
        self.state, decision = self.policy.step(self.beliefs.told, self.state, observation)
        took = self.perf() - before
        self.journey.decide_s.append(took)
        now = self.world.now()
        self.journey.overruns += not self.simulated and took > self.slot / 2
        self._remember(now, observation, decision, planned is not None)
        self.world.apply(decision)
        status = dict(self.world.status())
        self.folder.event(
            "slot", planned, now, slot=k, instances=[_instance(i) for i in observation.instances],
            **({} if self.simulated else {"decide_s": took}),
            actions=[action_of(a) for a in decision.actions], reasons=decision.reasons,
            arrivals=observation.arrivals, diagnostics=decision.diagnostics, link_rates_bps=_rates(status),
        )  # fmt: skip
        self.gather()
        if planned is not None:
            tasks = self.journey.tasks
            self.pulse = self._pulse.take(now, tasks.resolved, tasks.on_time, observation)
            self.shaker.look(now, self.pulse)
        self.listener(status | self._progress(k, now, decision))

    def _remember(self, now: float, observation: Observation, decision: Decision, on_slot: bool) -> None:
        if on_slot:  # one between slots was called for by a detection; a slot costs once
            instances = ((i.service, i.node, i.workers) for i in observation.instances)
            self.journey.slots.append((now, measures.operation(instances, self._services, self._prices)))
        for a in decision.actions:  # not the decision: its diagnostics would be most of an hour's memory
            if isinstance(a, (Start, Migrate)):
                self.journey.begun.append((now, (a.start if isinstance(a, Migrate) else a).service))
        self.journey.ordered.update(type(a).__name__ for a in decision.actions)
        self.journey.scaled.update(_scalings(decision, observation))
        self.journey.budget(now, budgets_of(decision))

    def gather(self) -> None:
        """Rows and events since the last time."""
        rows = self.world.rows()
        self.journey.tasks.resolve(rows.tasks)
        self.journey.stages.add(rows.stages)
        for event in self.world.events():
            self._event(event)

    def _event(self, event: Event) -> None:
        self.folder.event(event.kind, event.planned, event.actual, **event.data)
        if event.kind in NOTICED | LED_ROUND and event.actual is not None:
            self.journey.told.append((event.kind, event.actual))
        if event.kind == "migrated":
            self.journey.moves.append(dict(event.data))
        if event.kind == "invalid":
            self.journey.invalid.append(str(event.data["why"]))

    def _progress(self, k: int, now: float, decision: Decision) -> dict[str, Any]:
        tasks, ordered = self.journey.tasks, self.journey.ordered
        return {
            "slot": k,
            "now": now,
            "horizon": self.horizon,
            "offered": tasks.intended(now),
            "resolved": tasks.resolved,
            "on_time": tasks.on_time,
            "on_time_rate_last_5_s": self.pulse.get("on_time"),
            "moves": ordered["Migrate"],
            "starts": ordered["Start"],
            "faults": self.shaker.active(),
            "reasons": list(decision.reasons),
        }

    def _follow(self, until: float) -> None:
        """No new load: let what is in flight come home; every offered task gets a row."""
        while self.world.now() < until and self.journey.tasks.resolved < self.journey.tasks.offered:
            self.world.advance(min(self.world.now() + self.slot / 4, until))
            self.gather()
        if self.report_s:
            self.world.advance(min(self.world.now() + self.report_s, until))
        self.gather()


def budgets_of(decision: Decision) -> dict[str, float]:
    """Waiting budget w_m per service, s, of a policy that keeps one (diagnostics: service → {"budget": w_m, …})."""
    found = {
        m: facts["budget"]
        for m, facts in decision.diagnostics.items()
        if isinstance(facts, Mapping) and "budget" in facts
    }
    return {m: float(w) for m, w in found.items()}


def _scalings(decision: Decision, observation: Observation) -> Iterator[str]:
    """ "out" for a start or more workers, "in" for a drain or fewer; migrations are counted apart."""
    had = {i.id: i.workers for i in observation.instances} if decision.actions else {}
    for a in decision.actions:
        if isinstance(a, Start):
            yield "out"
        elif isinstance(a, Resize):
            change = a.workers - had.get(a.id, a.workers)
            yield from ("out",) * (change > 0) + ("in",) * (change < 0)
        elif not isinstance(a, Migrate):
            yield "in"


def _instance(i: InstanceState) -> dict[str, Any]:
    return {"id": i.id, "service": i.service, "node": i.node, "workers": i.workers, "draining": i.draining}


def _rates(status: Mapping[str, Any]) -> dict[str, float]:
    """Trunk rates now, bit/s nominal; 0 for a trunk that is down."""
    return {name: rate if up else 0.0 for name, rate, _, up in status["links"]}


def action_of(action: Any) -> dict[str, Any]:
    """An action as the slot's event has it."""
    fields = {name: getattr(action, name) for name in action.__dataclass_fields__}
    if isinstance(action, Migrate):
        fields["start"] = action_of(action.start)
    return {"do": type(action).__name__.lower(), **fields}
