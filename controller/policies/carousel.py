"""Carousel: the layout of `static`, one instance of which moves on every few slots: what moving by itself costs.

It moves for no reason, so the difference from `static` on the same seed is the price of the moves alone. Light
services move in turn, each instance to the next node (in the model's order, then from the beginning) that is alive, has
room and none of the same service. What was lost with its node is started again where there is room.

Parameters: `every`, slots from one move to the next, and those of `static`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.decision import Action, Decision, Migrate, Placement, Start
from controller.light.state import Parameters as LightParameters
from controller.model import Core, Light, Model
from controller.observation import InstanceState, Observation
from controller.placement import PlacementParameters
from controller.policies._fixed import Room
from controller.policies._parameters import build, check
from controller.policies._tiers import Held

PATIENCE = 5  # slots in which a start that was decided has to show itself


@dataclass(frozen=True, slots=True)
class Parameters:
    """every: slots from one move to the next."""

    every: int = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A start that was decided in that slot and that the world may not show yet."""

    start: Start
    slot: int


@dataclass(frozen=True, slots=True)
class State:
    """wanted: workers of each instance a service shall have; turn: moves so far; next: number of the next instance."""

    every: int
    wanted: Mapping[str, tuple[int, ...]]
    next: int
    turn: int = 0
    moved_at: int = 0  # slot of the last move
    asked: Mapping[str, Asked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Carousel:
    """`static`'s beginning, then one move after the other."""

    name: str = "carousel"
    routing: str = "estimate"
    held: Held = field(default_factory=lambda: Held("carousel", peak=False))
    core: str = "integer program"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        self._check(parameters)
        return self.held.place(model, _without(parameters))

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[State, Decision]:
        self._check(parameters)
        every = build(Parameters(), parameters).every
        if every < 1:
            raise ValueError(f"parameter 'every' is at least 1 slot; found {every}")
        _, decision = self.held.begin(model, placement, _without(parameters))
        starts = [a for a in decision.actions if isinstance(a, Start)]
        wanted = {m.name: tuple(s.workers for s in starts if s.service == m.name) for m in model.services()}
        return State(every, wanted, len(starts)), decision

    def step(self, model: Model, state: State, observation: Observation) -> tuple[State, Decision]:
        work = _Step(model, state, observation)
        work.replace_lost()
        work.move_one()
        return work.state, Decision(observation.slot, tuple(work.actions), tuple(work.reasons))

    def _check(self, parameters: Mapping[str, float]) -> None:
        check(self.name, parameters, PlacementParameters(), LightParameters(), Parameters())


def _without(parameters: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in parameters.items() if name != "every"}


class _Step:
    """Working values of one step."""

    def __init__(self, model: Model, state: State, observation: Observation) -> None:
        self.model, self.observation = model, observation
        shown = {i.id for i in observation.instances}
        self.asked = {
            id_: a for id_, a in state.asked.items() if id_ not in shown and observation.slot - a.slot < PATIENCE
        }
        self.state = replace(state, asked=self.asked)
        self.room = Room.of(model)
        for i in observation.instances:
            self.room.take(model.service(i.service), i.node, i.workers)
        for a in self.asked.values():
            self.room.take(model.service(a.start.service), a.start.node, a.start.workers)
        self.actions: list[Action] = []
        self.reasons: list[str] = []

    def replace_lost(self) -> None:
        """Start again what has gone; of a move under way both ends are there, which is not one too many."""
        for m in self.model.services():
            there = [i.workers for i in self._here(m.name)]
            there += [a.start.workers for a in self.asked.values() if a.start.service == m.name]
            wanted = len(self.state.wanted[m.name])
            for workers in self.state.wanted[m.name][len(there) :]:
                node = self._room_for(m, workers, self.model.nodes[0].name)
                if node is not None:
                    self.actions.append(self._start(m, node, workers))
                    self.reasons.append(f"{m.name}: {len(there)} of {wanted} instances are left")

    def move_one(self) -> None:
        """The next instance in turn whose service is at rest."""
        if self.observation.slot - self.state.moved_at < self.state.every:
            return
        resting = [i for m in self.model.light for i in self._here(m.name) if self._rests(m.name)]
        for k in range(len(resting)):
            i = resting[(self.state.turn + k) % len(resting)]
            m = self.model.service(i.service)
            node = self._room_for(m, i.workers, i.node)
            if node is not None:
                self.actions.append(Migrate(self._start(m, node, i.workers), i.id))
                self.reasons.append(f"{m.name}: move {i.node} to {node}, number {self.state.turn + 1}")
                self.state = replace(self.state, turn=self.state.turn + 1, moved_at=self.observation.slot)
                return

    def _here(self, service: str) -> list[InstanceState]:
        dead = self.observation.dead
        return [i for i in self.observation.instances if i.service == service and not i.draining and i.node not in dead]

    def _rests(self, service: str) -> bool:
        """Nothing of it starts or drains, and it has all its instances."""
        mine = [i for i in self.observation.instances if i.service == service]
        asked = any(a.start.service == service for a in self.asked.values())
        whole = len(mine) == len(self.state.wanted[service])
        return whole and not asked and all(i.ready and not i.draining for i in mine)

    def _room_for(self, m: Core | Light, workers: int, after: str) -> str | None:
        """The next node after that one which is alive, has room, and none of the same service."""
        names = [v.name for v in self.model.nodes]
        first = names.index(after) + 1
        taken = {i.node for i in self.observation.instances if i.service == m.name}
        taken |= {a.start.node for a in self.asked.values() if a.start.service == m.name}
        for node in (*names[first:], *names[:first]):
            if node not in taken and node not in self.observation.dead and self.room.fits(m, node, workers):
                return node
        return None

    def _start(self, m: Core | Light, node: str, workers: int) -> Start:
        start = Start(f"{m.name}-{self.state.next}", m.name, node, workers)
        self.room.take(m, node, workers)
        self.asked = {**self.asked, start.id: Asked(start, self.observation.slot)}
        self.state = replace(self.state, next=self.state.next + 1, asked=self.asked)
        return start


POLICY = Carousel()
