"""Every policy meets the protocol: places, begins with all services, steps, and names its parameters."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from controller import policies
from controller.decision import Start
from controller.model import Core, Model
from controller.observation import InstanceState, Observation
from controller.placement import Infeasible
from tests.controller.instances import e12, small

NAMES = ("nearest", "nothing", "static", "two_tier")


def begun(name: str, model: Model, **parameters: float) -> tuple[object, list[Start]]:
    policy = policies.get(name)
    state, decision = policy.begin(model, policy.place(model, parameters), parameters)
    assert decision.slot == 0 and len(decision.actions) == len(decision.reasons)
    starts = [a for a in decision.actions if isinstance(a, Start)]
    assert len(starts) == len(decision.actions)
    return state, starts


def running(starts: list[Start]) -> tuple[InstanceState, ...]:
    return tuple(InstanceState(s.id, s.service, s.node, s.workers) for s in starts)


def test_the_folder_is_the_registry() -> None:
    assert policies.names() == NAMES
    assert [policies.get(n).name for n in NAMES] == list(NAMES)
    with pytest.raises(
        ValueError, match=r"no policy 'two_teir'. Did you mean 'two_tier'\? There are: nearest, nothing"
    ):
        policies.get("two_teir")
    with pytest.raises(ValueError, match="There are"):
        policies.get("_fixed")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [small(), e12(1)], ids=["small", "e12"])
def test_every_service_starts_within_its_node(name: str, model: Model) -> None:
    state, starts = begun(name, model, plan_load=1.0)
    assert {s.service for s in starts} == {m.name for m in model.services()}
    assert len({s.id for s in starts}) == len(starts) and all(s.id.startswith(s.service + "-") for s in starts)
    for v in model.nodes:
        cpu = memory = 0.0
        for s in starts:
            if s.node == v.name:
                m = model.service(s.service)
                times = 1 if isinstance(m, Core) else s.workers
                cpu, memory = cpu + m.cpu * times, memory + m.memory * times
        assert cpu <= v.cpu + 1e-6 and memory <= v.memory + 1
    assert all(s.workers == m.streams for s in starts for m in model.core if m.name == s.service)
    assert pickle.loads(pickle.dumps(state)) == state


@pytest.mark.parametrize("name", NAMES)
def test_stepping_twice_from_one_state_gives_the_same_decision(name: str) -> None:
    model = small()
    state, starts = begun(name, model)
    seen = Observation(1, 1.0, running(starts), arrivals={("image", "west"): 60, ("image", "east"): 60})
    first, second = (policies.get(name).step(model, state, seen) for _ in range(2))
    assert first == second and first[1].slot == 1
    if name == "two_tier":
        assert first[1].actions, "six times the demand calls for workers"
    else:
        assert first[1].actions == ()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_parameter_is_refused_with_the_allowed_ones(name: str) -> None:
    policy = policies.get(name)
    with pytest.raises(ValueError, match=rf"policy '{name}' has no parameter 'plan_lod'. Did you mean 'plan_load'\?"):
        policy.place(small(), {"plan_lod": 2.0})
    with pytest.raises(ValueError, match="It has"):
        policy.begin(small(), policy.place(small(), {}), {"xyzzy": 1.0})


def test_a_whole_parameter_must_be_whole() -> None:
    with pytest.raises(ValueError, match=r"'r' is a whole number; found 1\.5"):
        policies.get("two_tier").place(small(), {"r": 1.5})


def test_static_is_sized_for_the_planned_load() -> None:
    one = sum(s.workers for s in begun("static", e12(1), plan_load=1.0)[1] if not s.service.startswith("llm"))
    three = sum(s.workers for s in begun("static", e12(1), plan_load=3.0)[1] if not s.service.startswith("llm"))
    assert three > 1.5 * one


def test_nearest_puts_light_services_beside_their_senders() -> None:
    """image is asked by the gateways only; each cluster of E12 has room for its own."""
    model = e12(1)
    _, starts = begun("nearest", model, plan_load=1.0)
    homes = {model.node(s.node).domain for s in starts if s.service == "image"}
    assert homes == {o.domain for o in model.ingresses}
    policy = policies.get("nearest")
    placement = policy.place(model, {"plan_load": 1.0})
    assert placement.status == "heuristic" and not placement.unserved
    for m in model.core:
        for o in model.ingresses:
            shares = [x for (k, i, _), x in placement.flows.items() if (k, i) == (m.name, o.name)]
            assert sum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["nearest", "nothing"])
def test_what_does_not_fit_is_named_with_its_shortage(name: str) -> None:
    model = small()
    huge = dataclasses.replace(model.core[0], memory=100e9)
    with pytest.raises(Infeasible, match=r"vision needs 100 GB memory; the freest node is \d+\.\d GB short"):
        policies.get(name).place(dataclasses.replace(model, core=(huge, *model.core[1:])), {})
