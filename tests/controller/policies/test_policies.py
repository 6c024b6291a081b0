"""Every policy meets the protocol: places, begins with all services, steps, and names its parameters."""

from __future__ import annotations

import dataclasses
import math
import pickle

import pytest

from controller import policies
from controller.decision import Start
from controller.model import Core, Model
from controller.observation import InstanceState, Observation
from controller.placement import Infeasible
from tests.controller.instances import e12, small

NAMES = (
    "least_loaded", "nearest", "nothing", "prop_avg", "random", "reactive_fast", "round_robin", "static", "static_peak",
    "two_tier",
)  # fmt: skip
#: Those that decide once and hold still.
STILL = ("nearest", "nothing", "static", "static_peak")
ROUTING = {"least_loaded": "least_backlog", "nearest": "nearest", "random": "random", "round_robin": "round_robin"}


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
        ValueError, match=r"no policy 'two_teir'. Did you mean 'two_tier'\? There are: least_loaded, nearest"
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
    if name in STILL:
        assert first[1].actions == ()
    else:
        assert first[1].actions, "six times the demand calls for workers"


def test_routing_is_the_estimate_unless_it_is_the_point() -> None:
    assert {n: policies.get(n).routing for n in NAMES} == {n: ROUTING.get(n, "estimate") for n in NAMES}


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


def workers(name: str, model: Model, **parameters: float) -> int:
    light = {m.name for m in model.light}
    return sum(s.workers for s in begun(name, model, **parameters)[1] if s.service in light)


def test_static_is_sized_for_the_nominal_load_and_static_peak_for_the_planned_one() -> None:
    model = e12(1)
    assert workers("static", model, plan_load=3.0) == workers("two_tier", model, plan_load=3.0)
    assert workers("static_peak", model, plan_load=3.0) > 1.5 * workers("static", model, plan_load=3.0)
    assert workers("static_peak", model, plan_load=1.0) == workers("static", model, plan_load=1.0)
    assert workers("static", model, plan_load=3.0, begin_load=3.0) == workers("static_peak", model, plan_load=3.0)


def test_prop_avg_has_the_fewest_workers_whose_mean_rate_carries_the_demand() -> None:
    """With the safety term off: ⌈λ x̄⌉ per pool; E12 is one pool. Effective capacity and lower targets ask for more."""
    model = e12(1)
    policy = policies.get("prop_avg")
    state, decision = policy.begin(model, policy.place(model, {}), {"safety": 0.0})
    for m in model.light:
        (pool,) = state.pooled[m.name]
        a = state.pooled[m.name][pool] * decision.diagnostics[m.name]["mean"]
        assert decision.diagnostics[m.name][pool]["p"] == max(1, math.ceil(a))
    assert workers("prop_avg", model) < workers("two_tier", model)
    assert workers("prop_avg", model, utilisation=0.5) > 1.5 * workers("prop_avg", model)


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
