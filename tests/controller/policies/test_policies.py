"""Every policy meets the protocol: places, begins with all services, steps, and names its parameters."""

from __future__ import annotations

import dataclasses
import math
import pickle

import pytest

from controller import policies
from controller.decision import Decision, Drain, Start
from controller.model import Core, Model
from controller.observation import InstanceState, Observation
from controller.placement import Infeasible
from tests.controller.instances import e12, small

NAMES = (
    "carousel", "genetic", "least_loaded", "monolithic", "nearest", "nothing", "prop_avg", "random", "reactive",
    "reactive_fast", "round_robin", "static", "static_peak", "two_tier",
)  # fmt: skip
#: Those that decide once and hold still.
STILL = ("genetic", "monolithic", "nearest", "nothing", "static", "static_peak")
ROUTING = {
    "least_loaded": "least_backlog",
    "monolithic": "nearest",
    "nearest": "nearest",
    "random": "random",
    "reactive": "round_robin",
    "round_robin": "round_robin",
}


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
        ValueError, match=r"no policy 'two_teir'. Did you mean 'two_tier'\? There are: carousel, genetic, least_loaded"
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
    seen = Observation(
        15, 15.0, running(starts), arrivals={("image", "west"): 900, ("image", "east"): 900},
        services={"image": (0.05,) * 1800},
    )  # fmt: skip
    first, second = (policies.get(name).step(model, state, seen) for _ in range(2))
    assert first == second and first[1].slot == 15
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


def later(name: str, state: object, starts: list[Start], now: float, **more: object) -> tuple[object, Decision]:
    seen = Observation(int(now), now, running(starts), **more)  # type: ignore[arg-type]
    return policies.get(name).step(small(), state, seen)


def test_reactive_follows_utilisation_once_a_period_up_at_once_and_down_late() -> None:
    """image: 2 pods of 2 workers; 48 worker-seconds in 15 s are 80 %: ⌈2 · 0.8 / 0.6⌉ = 3 pods."""
    state, starts = begun("reactive", small())
    image = [s for s in starts if s.service == "image"]
    assert len(image) == 2 and {small().node(s.node).domain for s in image} == {"west", "east"}
    state, decision = later("reactive", state, starts, 5.0, services={"image": (1.0,) * 48})
    assert decision.actions == (), "between two periods it only counts"
    state, decision = later("reactive", state, starts, 15.0)
    new = [a for a in decision.actions if isinstance(a, Start) and a.service == "image"]
    assert len(new) == 1 and new[0].workers == 2 and "80 %" in decision.reasons[0]
    starts = [*starts, *new]
    state, decision = later("reactive", state, starts, 30.0)
    assert not any(isinstance(a, Drain) for a in decision.actions), "it wanted three within the last 300 s"
    drained = {}
    for now in range(45, 346, 15):
        state, decision = later("reactive", state, starts, float(now))
        drained |= {a.id: now for a in decision.actions if isinstance(a, Drain)}
    assert drained == {new[0].id: 330}, "the newest on the fullest node, once nothing within 300 s wanted it"


def test_reactive_replaces_what_was_on_a_dead_node_after_the_eviction_time() -> None:
    state, starts = begun("reactive", small(), evict=30.0)
    gone = [s for s in starts if s.node == "n3"]
    assert gone
    alive = [s for s in starts if s.node != "n3"]
    state, decision = later("reactive", state, alive, 15.0, dead=("n3",))
    assert decision.actions == ()
    state, decision = later("reactive", state, alive, 30.0, dead=("n3",))
    state, decision = later("reactive", state, alive, 45.0, dead=("n3",))
    back = [a for a in decision.actions if isinstance(a, Start)]
    assert {a.service for a in back} <= {s.service for s in gone} and back
    assert all(a.node != "n3" for a in back)


def test_monolithic_has_the_whole_application_in_every_place() -> None:
    model = e12(1)
    _, starts = begun("monolithic", model, plan_load=1.0)
    for o in model.ingresses:
        here = {s.service for s in starts if model.node(s.node).domain == o.domain}
        assert here == {m.name for m in model.services()}


def test_genetic_is_reproducible_improves_on_its_first_generation_and_covers_the_plan() -> None:
    model = e12(1)
    policy = policies.get("genetic")
    quick = {"generations": 0, "plan_load": 1.0}
    assert policy.place(model, quick).instances == policy.place(model, quick).instances
    values = [
        float(policy.place(model, {"plan_load": 1.0, "generations": n}).explanation.rsplit(" ", 1)[1])
        for n in (0, 20, 100)
    ]
    assert values[0] > values[1] > values[2]
    placement = policy.place(model, {"plan_load": 1.0})
    for m in model.core:
        hosts = placement.instances[m.name]
        assert len({model.node(v).domain for v in hosts}) >= 2
        visits = sum(n.share for n in model.tasks for s in n.stages if s.service == m.name)
        assert sum(0.75 * m.streams * model.node(v).speed / m.work for v in hosts) >= model.load * visits
