"""The control loop over slots: capacity, moves, faults, replay. Real queues (slotsim), no machine."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from controller.decision import Action, Drain, Migrate, Resize, Start
from controller.light.control import begin, step
from controller.light.state import LightState, Parameters
from controller.model import INGRESS, Input, Model
from controller.observation import InstanceState, Observation
from tests.controller.light.slotsim import PLACED, SlotWorld, metro, mmpp, replay

SEEDS = range(1, 7)


def shrinking() -> Model:
    """The metro network at half its trunk rate, with an `image` that makes 50 kB of 2 MB: it pays to be near."""
    model = metro(trunk=400e6)
    task = model.tasks[0]
    image, vision, llm, last = task.stages
    vision = replace(vision, inputs=(Input("image", 0.05e6),))
    return replace(model, tasks=(replace(task, stages=(image, vision, llm, last)),))


def late(world: SlotWorld, since: int = 6) -> float:
    """Share of waits beyond the budget of their service."""
    waits = [(m, w) for slot, m, w in world.waits if slot >= since]
    return sum(w > world.state.budgets[m] for m, w in waits) / len(waits)


def test_the_first_layout_has_every_service_in_two_clusters_with_reasons() -> None:
    model = metro()
    state, decision = begin(model, PLACED, Parameters())
    assert all(isinstance(a, Start) for a in decision.actions) and len(decision.reasons) == len(decision.actions)
    ids = [a.id for a in decision.actions if isinstance(a, Start)]
    assert len(set(ids)) == len(ids) == state.next
    for m in model.light:
        hosts = [a.node for a in decision.actions if isinstance(a, Start) and a.service == m.name]
        assert len({model.node(v).domain for v in hosts}) == 2
    starts = [a for a in decision.actions if isinstance(a, Start)]
    assert {a.node for a in starts if a.service == "vision"} == {"n1", "n4"}
    assert {a.workers for a in starts if a.service == "llm"} == {3}, "a core instance has κ streams"


@pytest.mark.parametrize("seed", SEEDS)
def test_capacity_covers_a_spike_and_violations_stay_below_epsilon(seed: int) -> None:
    world = SlotWorld(metro(), mmpp(seed, ((0, 12, 8, 2.5),)), seed).run(60)
    assert late(world) <= 0.1
    for observation, _ in world.history[5:]:
        for m in ("image", "format"):
            table = world.state.tables[m]
            workers = sum(i.workers for i in observation.instances if i.service == m and i.ready and not i.draining)
            count = sum(n for (service, _), n in observation.arrivals.items() if service == m)  # in a slot of 1 s
            assert workers >= count * table.mean, f"{m} in slot {observation.slot}"


@pytest.mark.parametrize("seed", SEEDS)
def test_stationary_load_does_not_make_services_wander(seed: int) -> None:
    """Poisson arrivals of a constant rate: in 60 slots at most two moves, at most two starts, at most ten resizes.

    24 tasks per s, where `format` wants two workers: below 22 one is enough in some slots, whatever the layout.
    """
    world = SlotWorld(metro(24.0), mmpp(seed), seed)
    world.factors = lambda _: [1.0, 1.0, 1.0]  # type: ignore[assignment,return-value]
    world.run(60)
    assert world.count(Migrate) <= 2 and world.count(Start) <= 2 and world.count(Drain) <= 2
    assert world.count(Resize) <= 10


@pytest.mark.parametrize("seed", SEEDS)
def test_bursty_load_does_not_make_services_flap(seed: int) -> None:
    """MMPP around a constant mean, where nearness pays: fewer than one change of layout in ten slots and service."""
    world = SlotWorld(shrinking(), mmpp(seed), seed).run(60)
    assert world.count(Migrate) + world.count(Start) + world.count(Drain) <= 12


@pytest.mark.parametrize("seed", SEEDS)
def test_an_instance_moves_to_the_cluster_the_demand_moves_to(seed: int) -> None:
    """Each ingress in turn has 2.5 times its load for 8 slots: the uncovered one draws an instance to it.

    With cost weighed once, not three times as by default: nearness pays sooner.
    """
    model = shrinking()
    spikes = ((0, 8, 8, 2.5), (1, 19, 8, 2.5), (2, 30, 8, 2.5))
    world = SlotWorld(model, mmpp(seed, spikes), seed, V=1.0).run(42)
    homes = {i: b.node for i, b in world.boxes.items()}
    homes |= {a.id: a.node for d in world.decisions for a in map(started, d.actions) if a is not None}
    moves = [a for d in world.decisions for a in d.actions if isinstance(a, Migrate) and a.start.service == "image"]
    assert moves, "no migration in 42 slots"
    assert any(model.node(homes[a.drain]).domain != model.node(a.start.node).domain for a in moves)
    for d in world.decisions:
        for action, reason in zip(d.actions, d.reasons, strict=True):
            if isinstance(action, Migrate):
                assert f"to {action.start.node}" in reason and "ms per request" in reason


def started(action: Action) -> Start | None:
    return action if isinstance(action, Start) else action.start if isinstance(action, Migrate) else None


def test_a_recorded_run_replayed_gives_the_same_decisions() -> None:
    model = shrinking()
    world = SlotWorld(model, mmpp(3, ((0, 8, 8, 2.5),)), 3).run(40)
    assert replay(model, world.begun, world.history) == [d for _, d in world.history]
    through_json = LightState.from_json(json.loads(json.dumps(world.begun.to_json())))
    assert through_json == world.begun and pickle.loads(pickle.dumps(world.state)) == world.state
    assert LightState.from_json(json.loads(json.dumps(world.state.to_json()))) == world.state
    assert replay(model, through_json, world.history) == [d for _, d in world.history]
    json.dumps([dict(d.diagnostics) for _, d in world.history])


def test_a_dead_node_is_replaced_at_once_in_the_same_slot() -> None:
    model = metro()
    world = SlotWorld(model, mmpp(1), 1).run(20)
    victim = next(b.node for b in world.boxes.values() if b.service == "image")
    services = {b.service for b in world.boxes.values() if b.node == victim and b.service in ("image", "format")}
    lost = {i for i, b in world.boxes.items() if b.node == victim}
    world.kill(victim)
    now = world.state.now + 0.5
    seen = Observation(20, now, world._instances(now), paths=model.paths, dead=(victim,))
    decision = world.decide(seen)
    assert decision.slot == 20
    assert services <= {a.service for a in map(started, decision.actions) if a is not None}
    assert all(a.node != victim for a in map(started, decision.actions) if a is not None)
    assert not any(a.id in lost for a in decision.actions if isinstance(a, Drain | Resize))
    again = world.decide(replace(seen, now=now + 0.01))
    assert not any(started(a) for a in again.actions), "what is on its way is not asked for twice"
    world.run(10, first=21)


def test_the_last_instance_of_a_core_service_is_started_again_elsewhere() -> None:
    model = metro()
    state, _ = begin(model, PLACED, Parameters())
    core = [("vision-0", "vision", "n1"), ("llm-2", "llm", "n1"), ("llm-3", "llm", "n4")]
    found = tuple(InstanceState(i, m, v, 2) for i, m, v in core)
    state = replace(state, asked={})
    _, decision = step(model, state, Observation(5, 5.0, found, paths=model.paths, dead=("n1",)))
    revived = [a for a in decision.actions if isinstance(a, Start) and a.service in ("vision", "llm")]
    assert [(a.service, a.node != "n1", a.workers) for a in revived] == [("vision", True, 2)]


def test_the_last_ready_instance_is_never_drained() -> None:
    """Over all runs here, at every instant some ready instance takes requests (slotsim asserts it); and by hand."""
    model = metro(rate=1.0)
    state, decision = begin(model, PLACED, Parameters())
    light = [a for a in decision.actions if isinstance(a, Start) and a.service == "image"]
    only = tuple(InstanceState(a.id, "image", a.node, a.workers, ready=True) for a in light[:1])
    slow = InstanceState("image-99", "image", "n9", 1, ready=False)
    for slot in range(1, 30):
        state, decision = step(model, state, Observation(slot, float(slot), (*only, slow), paths=model.paths))
        assert not any(isinstance(a, Drain) and a.id == only[0].id for a in decision.actions)


def test_a_partition_gives_each_side_its_own_instances() -> None:
    """East cut off: senders there can't reach the others, so the pool splits and east gets an instance of its own."""
    model = metro()
    state, decision = begin(model, PLACED, Parameters())
    east = {v.name for v in model.nodes if v.domain == "east"} | {"gw3"}
    keep = {p: d for p, d in model.paths.delay.items() if (p[0] in east) == (p[1] in east)}
    cut = replace(model.paths, delay=keep, per_byte={p: model.paths.per_byte[p] for p in keep})
    found = tuple(InstanceState(a.id, a.service, a.node, a.workers) for a in decision.actions if isinstance(a, Start))
    arrivals = {("image", g): 7 for g in ("west", "centre", "east")}
    _, decision = step(model, state, Observation(1, 1.0, found, arrivals, paths=cut))
    nodes = {a.node for a in map(started, decision.actions) if a is not None and a.service == "image"}
    assert nodes & east


def test_no_more_workers_than_core_services_leave_room_for() -> None:
    """A hundred times the load: every node is filled to its CPU, none beyond, and the shortage is said."""
    model = metro()
    state, decision = begin(model, PLACED, Parameters(), load=100.0)
    used = dict.fromkeys((v.name for v in model.nodes), 0.0)
    for a in decision.actions:
        assert isinstance(a, Start)
        m = model.service(a.service)
        used[a.node] += m.cpu if m in model.core else m.cpu * a.workers
    assert all(used[v.name] <= v.cpu for v in model.nodes)
    assert sum(used.values()) > 0.9 * sum(v.cpu for v in model.nodes)
    assert INGRESS not in used and state.next == len(decision.actions)
