"""The carousel: one instance moves every few slots, in turn, and what is lost with its node comes back."""

from __future__ import annotations

from collections import Counter

import pytest

from controller import policies
from controller.decision import Migrate, Start
from controller.model import Model
from controller.observation import InstanceState, Observation
from controller.policies.carousel import PATIENCE
from tests.controller.instances import e12

CAROUSEL = policies.get("carousel")


class Ride:
    """The policy and the instances of a world in which everything is done within the slot."""

    def __init__(self, model: Model, **parameters: float) -> None:
        self.model = model
        self.state, first = CAROUSEL.begin(model, CAROUSEL.place(model, parameters), parameters)
        self.there = {a.id: a for a in first.actions if isinstance(a, Start)}
        self.begun = dict(self.there)

    def step(self, slot: int, dead: tuple[str, ...] = (), starting: tuple[str, ...] = ()) -> list[Migrate | Start]:
        shown = tuple(
            InstanceState(s.id, s.service, s.node, s.workers, ready=s.id not in starting) for s in self.there.values()
        )
        seen = Observation(slot, float(slot), shown, dead=dead)
        self.state, decision = CAROUSEL.step(self.model, self.state, seen)
        for a in decision.actions:
            start = a.start if isinstance(a, Migrate) else a
            self.there[start.id] = start
            if isinstance(a, Migrate):
                del self.there[a.drain]
        return list(decision.actions)


def test_one_instance_moves_every_so_many_slots_and_each_has_its_turn() -> None:
    ride = Ride(e12(1), every=3)
    light = {m.name for m in ride.model.light}
    layout = Counter((s.service, s.workers) for s in ride.begun.values())
    moves = []
    for slot in range(1, 91):
        actions = ride.step(slot)
        moves += [(slot, a) for a in actions]
        assert Counter((s.service, s.workers) for s in ride.there.values()) == layout, "as many and as large as before"
        places = [(s.service, s.node) for s in ride.there.values()]
        assert len(places) == len(set(places)), "never two of a service on a node"
    assert [slot for slot, _ in moves] == list(range(3, 91, 3))
    assert all(isinstance(a, Migrate) and a.start.node != ride.begun.get(a.drain, a.start).node for _, a in moves[:1])
    assert {a.start.service for _, a in moves} == light


def test_what_its_node_took_with_it_is_started_again_once() -> None:
    ride = Ride(e12(1), every=1000)
    node = next(s.node for s in ride.there.values() if s.service == "image")
    lost = [s for s in ride.there.values() if s.node == node]
    for s in lost:
        del ride.there[s.id]
    begun = ride.step(1, dead=(node,))
    assert Counter(a.service for a in begun) == Counter(s.service for s in lost)
    assert all(isinstance(a, Start) and a.node != node for a in begun)
    for a in begun:  # the world does not show them yet
        del ride.there[a.id]
    assert ride.step(2, dead=(node,)) == []
    assert len(ride.step(1 + PATIENCE, dead=(node,))) == len(lost), "they never came: once more"


def test_a_service_in_motion_waits_for_the_next_turn() -> None:
    ride = Ride(e12(1), every=1)
    busy = tuple(ride.there)
    assert ride.step(1, starting=busy) == []
    assert len(ride.step(2)) == 1


def test_a_move_takes_at_least_a_slot() -> None:
    with pytest.raises(ValueError, match="'every' is at least 1 slot; found 0"):
        CAROUSEL.begin(e12(1), CAROUSEL.place(e12(1), {}), {"every": 0})
