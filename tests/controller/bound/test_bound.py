"""The whole bound: closed forms, an independent program over all assignments, and what must never happen."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog

from controller.bound import Crowd, expected_bound, fluid_bound
from controller.bound.program import tangents
from controller.model import INGRESS, Law, Model
from tests.controller.bound.kit import one, star, wider
from tests.controller.instances import MBIT, MILLI, e12, small

BETWEEN = {frozenset(("west", "east")): 8 * MILLI}
CLOSE = 3e-6  # the solver's tolerance, twice


@pytest.mark.parametrize("load", [0.3, 0.9, 1.0, 1.25, 4.0])
@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_one_deterministic_service_on_one_node_carries_its_capacity(load: float, speed: float) -> None:
    model = one(Law(), work=0.05, streams=2, speed=speed)
    capacity = 2 * speed / 0.05
    found = expected_bound(model, star(model, {}), {"m": ("v",)}, {"o": load * capacity})
    assert found.physics == 1.0
    assert found.on_time_rate == pytest.approx(min(1.0, 1 / load), abs=CLOSE)


@pytest.mark.parametrize("load", [1.1, 2.0, 5.0])
def test_perfect_admission_picks_the_short_ones(load: float) -> None:
    """Exponential work: the share a of least work brings a + (1 − a) ln(1 − a) of the mean, so that much fits."""
    model = one(Law("exponential"), work=0.05, streams=1)
    exact = brentq(lambda a: a + (1 - a) * math.log1p(-a) - 1 / load, 1e-9, 1 - 1e-12)
    found = expected_bound(model, star(model, {}), {"m": ("v",)}, {"o": load / 0.05}).on_time_rate
    assert exact <= found <= exact + 0.06  # between the tangents lies a little more


def test_light_services_have_the_cores_and_the_memory_that_core_services_leave() -> None:
    model = one(Law(), work=0.1, tier="light", cpu=3.0)
    at = {"o": 60.0}  # six workers' worth
    assert expected_bound(model, star(model, {}), {}, at).on_time_rate == pytest.approx(3 / 6, abs=CLOSE)
    scarce = replace(model, nodes=(replace(model.nodes[0], memory=0.2e9),))
    assert expected_bound(scarce, star(scarce, {}), {}, at).on_time_rate == pytest.approx(2 / 6, abs=CLOSE)


def test_a_link_carries_its_rate_in_each_direction() -> None:
    model = one(Law(), work=1e-4, streams=64)
    stage = model.tasks[0].stages[0]
    entering = replace(stage, inputs=(replace(stage.inputs[0], bytes=1e6),))
    model = replace(model, tasks=(replace(model.tasks[0], stages=(entering,), output=0.5e6),))
    network = star(model, {}, node=80 * MBIT)  # ten inputs a second enter the node, twenty results leave it
    assert expected_bound(model, network, {"m": ("v",)}, {"o": 40.0}).on_time_rate == pytest.approx(0.25, abs=CLOSE)
    narrow = replace(model, tasks=(replace(model.tasks[0], output=4e6),))
    assert expected_bound(narrow, network, {"m": ("v",)}, {"o": 5.0}).on_time_rate == pytest.approx(0.5, abs=CLOSE)


def columns(model: Model, hosts: dict[str, tuple[str, ...]], ingress: str, kind: str) -> list[dict[str, str]]:
    task = next(n for n in model.tasks if n.name == kind)
    names = [s.name for s in task.stages]
    chosen = product(*(hosts[s.service] for s in task.stages))
    return [{INGRESS: ingress, **dict(zip(names, c, strict=True))} for c in chosen]


def by_columns(model: Model, instances: dict[str, tuple[str, ...]], rates: dict[tuple[str, str], float]) -> float:
    """The same question as a program over whole assignments, one column each, by SciPy: no flows, no relaxation.

    Works are as they are in the mean, so it is compared where no work varies; two sites, so a path is a trunk or none.
    """
    hosts = {**instances, **{m.name: tuple(v.name for v in model.nodes) for m in model.light}}
    domain = {x.name: x.domain for x in (*model.nodes, *model.ingresses)}
    speed = {v.name: v.speed for v in model.nodes}
    rows: dict[str, dict[int, float]] = {}
    limits: dict[str, float] = {}
    count = 0
    for (kind, ingress), rate in rates.items():
        task = next(n for n in model.tasks if n.name == kind)
        for at in columns(model, hosts, ingress, kind):
            use: dict[str, float] = {f"rate {kind} {ingress}": 1.0}
            limits[f"rate {kind} {ingress}"] = rate
            moves = [(at[i.source], at[s.name], i.bytes) for s in task.stages for i in s.inputs]
            moves += [(at[s], ingress, task.output) for s in task.sinks()]
            for a, b, size in moves:
                ways = [] if a == b else [f"{a} out", f"{b} in"]
                ways += [] if domain[a] == domain[b] else [f"trunk {domain[a]}"]
                for w in ways:
                    use[w] = use.get(w, 0.0) + 8 * size
            for s in task.stages:
                m = model.service(s.service)
                name = f"{m.name} {at[s.name]}" if m in model.core else f"light {at[s.name]}"
                use[name] = use.get(name, 0.0) + m.work / speed[at[s.name]]
                if m in model.light:
                    held = f"memory {at[s.name]}"
                    use[held] = use.get(held, 0.0) + m.work / speed[at[s.name]] * m.memory
            for name, value in use.items():
                rows.setdefault(name, {})[count] = value
            count += 1
    for v in model.nodes:
        limits |= {f"{v.name} out": 1e9, f"{v.name} in": 1e9}
        here = [m for m in model.core if v.name in instances[m.name]]
        limits[f"light {v.name}"] = max(v.cpu - sum(m.cpu for m in here), 0.0)
        limits[f"memory {v.name}"] = max(v.memory - sum(m.memory for m in here), 0.0)
    limits |= {f"{o.name} {way}": 1e10 for o in model.ingresses for way in ("in", "out")}
    limits |= {f"trunk {g}": 8e8 for g in ("west", "east")}
    limits |= {f"{m.name} {v}": float(m.streams) for m in model.core for v in instances[m.name]}
    names = list(rows)
    matrix = np.array([[rows[r].get(j, 0.0) for j in range(count)] for r in names])
    answer = linprog(-np.ones(count), A_ub=matrix, b_ub=[limits[r] for r in names], method="highs")
    assert answer.status == 0
    return float(-answer.fun) / sum(rates.values())


@settings(max_examples=25, deadline=None)
@given(
    load=st.floats(10, 400),
    split=st.floats(0.0, 1.0),
    vision=st.sampled_from([("n1",), ("n2", "n3"), ("n1", "n3")]),
    llm=st.sampled_from([("n2",), ("n1", "n3"), ("n1", "n2", "n3")]),
    heavy=st.floats(0.2, 20),
)
def test_the_flows_allow_at_least_what_whole_assignments_do_and_little_more(
    load: float, split: float, vision: tuple[str, ...], llm: tuple[str, ...], heavy: float
) -> None:
    model = small()
    still = Law()
    tasks = tuple(
        replace(
            n,
            deadline=60.0,
            stages=tuple(
                replace(s, inputs=tuple(replace(i, bytes=heavy * i.bytes) for i in s.inputs)) for s in n.stages
            ),
        )
        for n in model.tasks
    )
    model = replace(
        model,
        core=tuple(replace(m, law=still) for m in model.core),
        light=tuple(replace(m, law=still) for m in model.light),
        tasks=tasks,
    )
    instances = {"vision": vision, "llm": llm}
    rates = {(n.name, o): load * 0.5 * w for n in model.tasks for o, w in (("gw1", split), ("gw2", 1 - split)) if w > 0}
    crowds = [
        Crowd(kind, o, rate, np.zeros(1), np.array([[model.service(s.service).work] for s in task.stages]))
        for (kind, o), rate in rates.items()
        for task in model.tasks
        if task.name == kind
    ]
    found = fluid_bound(model, star(model, BETWEEN), instances, crowds).on_time_rate
    exact = by_columns(model, instances, rates)
    assert found >= exact - 1e-6
    assert found <= exact + 0.05  # flows forget which gateway a task came from, and nothing else


PLACED = {
    "vision": ("n1", "n5", "n9"),
    "llm": ("n2", "n5", "n9"),
    "audio": ("n3", "n6", "n10"),
    "fusion": ("n4", "n8"),
    "generator": ("n6", "n11"),
}


def reference(load: float) -> tuple[Model, dict[str, float]]:
    model = e12()
    return model, {o.name: load * model.load * o.weight for o in model.ingresses}


def mesh(model: Model) -> dict[frozenset[str], float]:
    names = sorted({v.domain for v in model.nodes})
    return {frozenset((a, b)): 10 * MILLI for a in names for b in names if a < b}


def test_it_falls_with_load_and_rises_with_every_capacity() -> None:
    model, _ = reference(1.0)
    network = star(model, mesh(model))
    rates = [expected_bound(model, network, PLACED, reference(x)[1]).on_time_rate for x in (1.0, 3.0, 6.0, 12.0)]
    assert rates == sorted(rates, reverse=True) and rates[-1] < rates[0]
    at = reference(8.0)[1]
    base = expected_bound(model, network, PLACED, at).on_time_rate
    more_streams = replace(model, core=tuple(replace(m, streams=2 * m.streams) for m in model.core))
    more_cores = replace(model, nodes=tuple(replace(v, cpu=2 * v.cpu, memory=2 * v.memory) for v in model.nodes))
    faster = replace(model, nodes=tuple(replace(v, speed=1.5 * v.speed) for v in model.nodes))
    for better in (
        expected_bound(more_streams, network, PLACED, at),
        expected_bound(more_cores, network, PLACED, at),
        expected_bound(faster, network, PLACED, at),
        expected_bound(model, wider(network, 2.0), PLACED, at),
    ):
        assert better.on_time_rate >= base - 1e-4  # tangents touch elsewhere when more tasks can be on time
    assert base < 0.9  # or nothing above was asked


def test_the_same_question_has_the_same_answer() -> None:
    model, at = reference(3.0)
    network = star(model, mesh(model))
    assert expected_bound(model, network, PLACED, at) == expected_bound(model, network, PLACED, at)


@given(st.lists(st.tuples(st.floats(0.001, 10), st.floats(0.01, 5)), min_size=1, max_size=40))
def test_tangents_stay_below_the_least_work(pairs: list[tuple[float, float]]) -> None:
    """Any subset of the samples has at least the work that the lines ask for, the least-work subsets exactly some."""
    work, mass = np.array([w for w, _ in pairs]), np.array([m for _, m in pairs])
    lines = tangents(work, mass)
    order = np.argsort(work)
    for k in range(len(pairs) + 1):
        chosen = order[:k]
        rate, need = float(mass[chosen].sum()), float((mass * work)[chosen].sum())
        assert all(slope * rate + offset <= need + 1e-9 * (1 + need) for slope, offset in lines)
    total, need = float(mass.sum()), float((mass * work).sum())
    assert max(slope * total + offset for slope, offset in lines) == pytest.approx(need, rel=1e-9)


def test_tasks_that_cannot_be_on_time_are_lost_and_need_nothing() -> None:
    model = one(Law(), streams=1, deadline=1.0)
    hopeless = Crowd("n", "o", 5.0, np.array([2.0]), np.array([[0.05]]))
    quick = Crowd("n", "o", 10.0, np.array([0.0]), np.array([[0.05]]))
    found = fluid_bound(model, star(model, {}), {"m": ("v",)}, [hopeless, quick])
    assert found.physics == pytest.approx(10 / 15)
    assert found.on_time_rate == pytest.approx(10 / 15)


def test_no_tasks_are_all_on_time() -> None:
    model = one(Law())
    assert fluid_bound(model, star(model, {}), {}, []).on_time_rate == 1.0
