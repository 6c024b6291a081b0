"""The state is a value: it survives JSON and pickle at any time, and `step` neither changes nor remembers anything."""

from __future__ import annotations

import copy
import json
import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.light.control import begin, step
from controller.light.state import LightState, Parameters
from controller.observation import InstanceState, Observation
from tests.controller.light.slotsim import DOMAINS, PLACED, SlotWorld, metro, mmpp

MODEL = metro()
BEGUN, FIRST = begin(MODEL, PLACED, Parameters())
NODES = tuple(v.name for v in MODEL.nodes)
SERVICES = ("image", "format", "vision", "llm")
#: A state in the middle of things, so that examples do not all start from an empty memory.
GROWN = SlotWorld(MODEL, mmpp(5, ((0, 4, 4, 3.0),)), 5).run(9).state

instances = st.builds(
    InstanceState,
    st.sampled_from([f"{m}-{k}" for m in SERVICES for k in range(6)]),
    st.sampled_from(SERVICES),
    st.sampled_from(NODES),
    st.integers(1, 9),
    st.integers(0, 60),
    st.booleans(),
    st.booleans(),
)
times = st.lists(st.floats(1e-4, 3.0), max_size=12).map(tuple)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything a world could show, consistent or not: instances that were never asked for, all nodes dead."""
    slot = draw(st.integers(1, 30))
    return Observation(
        slot,
        slot + draw(st.sampled_from([0.0, 0.3])),
        tuple({i.id: i for i in draw(st.lists(instances, max_size=12))}.values()),
        draw(st.dictionaries(st.tuples(st.sampled_from(SERVICES), st.sampled_from(DOMAINS)), st.integers(0, 90))),
        {m: draw(times) for m in ("image", "format")},
        {m: draw(times) for m in ("image", "format")},
        {(o.name, "vqa"): draw(st.integers(0, 40)) for o in MODEL.ingresses},
        draw(st.sampled_from([MODEL.paths, None])),
        tuple(draw(st.sets(st.sampled_from(NODES)))),
    )


def through_json(state: LightState) -> LightState:
    return LightState.from_json(json.loads(json.dumps(state.to_json())))


@settings(max_examples=60, deadline=None)
@given(observations(), st.sampled_from([BEGUN, GROWN]))
def test_step_is_pure_and_its_state_serialisable(seen: Observation, state: LightState) -> None:
    before, shown = copy.deepcopy(state), copy.deepcopy(seen)
    first = step(MODEL, state, seen)
    step(MODEL, GROWN, seen)  # something else between the two
    assert step(MODEL, state, seen) == first
    assert (state, seen) == (before, shown), "nothing handed in was changed"
    after, decision = first
    assert through_json(after) == after and pickle.loads(pickle.dumps(after)) == after
    assert step(MODEL, through_json(state), seen) == first, "what was read back decides alike"
    assert len(decision.actions) == len(decision.reasons) and all(decision.reasons)
    json.dumps(dict(decision.diagnostics))


@settings(max_examples=60, deadline=None)
@given(observations(), st.sampled_from([BEGUN, GROWN]))
def test_nothing_is_asked_of_a_dead_node(seen: Observation, state: LightState) -> None:
    after, decision = step(MODEL, state, seen)
    asked = {i: a for i, a in after.asked.items() if i not in state.asked}
    assert all(a.node not in seen.dead for a in asked.values())
    assert len(after.asked) == len(set(after.asked)) and after.next >= state.next
    gone = {i.id for i in seen.instances if i.node in seen.dead}
    for action in decision.actions:
        assert getattr(action, "id", None) not in gone and getattr(action, "drain", None) not in gone


def test_a_node_that_returns_is_used_again() -> None:
    """All nodes but two dead: their workers go there, as far as there is room. They return, and get workers again."""
    alive, dead = ("n1", "n4"), tuple(v for v in NODES if v not in ("n1", "n4"))
    many = {(m, g): 60 for m in ("image", "format") for g in DOMAINS}
    shown = {i: InstanceState(i, a.service, a.node, a.workers) for i, a in BEGUN.asked.items()}
    left = tuple(i for i in shown.values() if i.node in alive)
    state, decision = step(MODEL, BEGUN, Observation(1, 1.0, left, many, paths=MODEL.paths, dead=dead))
    targets = decision.diagnostics["targets"]
    assert {v for workers in targets.values() for v in workers} == set(alive)  # type: ignore[attr-defined]
    now = {i: InstanceState(i, a.service, a.node, a.workers) for i, a in state.asked.items()}
    _, decision = step(MODEL, state, Observation(2, 2.0, tuple(now.values()), many, paths=MODEL.paths))
    targets = decision.diagnostics["targets"]
    assert {v for workers in targets.values() for v in workers} & set(dead)  # type: ignore[attr-defined]
