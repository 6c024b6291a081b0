"""Instances as they come and go: start-up, state over the network, four hands, moves, and nodes that die under them."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.decision import Decision, Drain, Migrate, Start
from testbed.record.tables import Names
from testbed.run.execute import bed_of
from testbed.run.prepare import prepare
from testbed.world.twin.calibration import IDEAL
from testbed.world.twin.world import TwinWorld

SMALL = Path(__file__).parents[2] / "world_contract" / "small.yaml"


@pytest.fixture
def make():
    """(world, the only instance of `cut`, another node); the world is up, and has nothing of the emulation in it."""

    def up(*sets: str):
        prepared = prepare(SMALL, ["policy.name=nothing", *sets], "twin")
        world = TwinWorld("r", lambda text: None, IDEAL, engine="reference")
        world.up(bed_of(prepared, "r", lambda file: ([], []), Names.of(prepared.resolved.model)))
        world.start()
        (cut,) = (i for i in world.fleet.instances.values() if i.service == "cut")
        other = next(h.name for h in prepared.resolved.topology.nodes if h.name != cut.node)
        return world, cut, other

    return up


def happened(world, until, kind):
    """(time, facts) of the events of a kind until then."""
    while world.now() < until:
        world.advance(until)
    return [(e.actual, e.data) for e in world.events() if e.kind == kind]


def start(name, node):
    return Start(name, "cut", node, 1)


def apply(world, *actions):
    world.apply(Decision(0, tuple(actions), ("",) * len(actions)))


def test_a_start_is_ready_after_its_start_up(make):
    world, _, other = make()
    apply(world, start("new", other))
    ((at, facts),) = happened(world, 5.0, "started")
    assert at == pytest.approx(0.4) and facts["seconds"] == pytest.approx(0.4)


def test_its_state_may_take_longer_than_that(make):
    world, _, other = make("services.cut.state=40 MB")
    slowest = min(min(k.ab.rate, k.ba.rate) for k in world.bed.topology.links)
    apply(world, start("new", other))
    ((at, _),) = happened(world, 60.0, "started")
    assert at >= 8 * 40e6 / slowest


def test_four_actions_are_under_way_at_a_time(make):
    world, _, other = make()
    apply(world, *(start(f"new{k}", other) for k in range(6)))
    assert [round(at, 6) for at, _ in happened(world, 5.0, "started")] == [0.4] * 4 + [0.8] * 2
    assert all(i.ready for i in world.observe(1).instances)


def test_a_move_is_a_start_and_then_a_drain(make):
    world, cut, other = make()
    apply(world, Migrate(start("new", other), cut.id))
    ((at, facts),) = happened(world, 5.0, "migrated")
    assert (facts["from"], facts["to"], facts["lost"], facts["blackout_s"]) == (cut.node, other, 0, 0.0)
    assert facts["seconds"] == at > 0.4
    assert cut.id not in {i.id for i in world.observe(1).instances}


def test_a_drain_of_the_last_instance_is_a_blackout_when_nothing_follows(make):
    world, cut, _ = make()
    apply(world, Drain(cut.id))
    ((_, facts),) = happened(world, 5.0, "drained")
    assert facts["id"] == cut.id and facts["lost"] == 0
    assert world.fleet._dark.within("cut", 0.0, 5.0) == pytest.approx(5.0)


def test_what_starts_on_a_node_that_dies_never_does(make):
    world, _, other = make()
    apply(world, start("new", other))
    happened(world, 0.2, "")
    world.disturb("node_state", other, {"up": False})
    happened(world, 0.5, "")
    assert not next(i for i in world.observe(1).instances if i.id == "new").ready  # nobody knows yet
    events = happened(world, 5.0, "action_failed")
    assert len(events) == 1 and "died before it was ready" in events[0][1]["error"]
    assert "new" not in {i.id for i in world.observe(2).instances}


def test_nothing_starts_on_a_dead_node_and_again_when_it_is_back(make):
    world, _, other = make()
    down = world.disturb("node_state", other, {"up": False})
    happened(world, 1.0, "")
    assert world.observe(1).dead == (other,)
    apply(world, start("early", other))
    ((_, facts),) = happened(world, 2.0, "action_failed")
    assert "is down" in facts["error"]
    world.undo(down)
    happened(world, 3.0, "")
    assert world.observe(2).dead == ()
    apply(world, start("late", other))
    ((_, facts),) = happened(world, 9.0, "started")
    assert facts["id"] == "late"


def test_a_verb_there_is_not(make):
    world, cut, _ = make()
    with pytest.raises(Exception, match="the twin can't do node_state"):
        world.disturb("node_state", cut.node, {"slow": True})
