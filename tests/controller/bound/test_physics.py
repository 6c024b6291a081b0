"""The least time of a task: by hand, by enumeration of every assignment, and as a probability against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from controller.bound import Crowd, Network, Pipe, Port, Trunk, expected_bound
from controller.bound.expected import crowds
from controller.bound.physics import Reach, least_times
from controller.model import INGRESS, Access, Law, Model, TaskType
from tests.controller.bound.kit import one, star
from tests.controller.instances import MILLI, small

BETWEEN = {frozenset(("west", "east")): 8 * MILLI}


def enumerated(model: Model, reach: Reach, hosts: dict[str, tuple[str, ...]], crowd: Crowd, j: int) -> float:
    """T° of the j-th task by trying every assignment of stages to nodes."""
    task = next(n for n in model.tasks if n.name == crowd.type)
    speed = {v.name: v.speed for v in model.nodes}

    def net(a: str, b: str, size: float) -> float:
        delay, per_byte = reach.between((a,), (b,))
        return float(delay[0, 0] + size * per_byte[0, 0])

    def latency(at: dict[str, str]) -> float:
        ends = {INGRESS: float(crowd.access[j])}
        for k, s in enumerate(task.stages):
            begun = max(ends[i.source] + net(at[i.source], at[s.name], i.bytes) for i in s.inputs)
            ends[s.name] = begun + float(crowd.work[k][j]) / speed[at[s.name]]
        return max(ends[s] + net(at[s], crowd.ingress, task.output) for s in task.sinks())

    names = [s.name for s in task.stages]
    choices = product(*(hosts[s.service] for s in task.stages))
    return min(latency({INGRESS: crowd.ingress, **dict(zip(names, c, strict=True))}) for c in choices)


@pytest.mark.parametrize("kind", ["vqa", "chat"])
@pytest.mark.parametrize("ingress", ["gw1", "gw2"])
def test_the_least_time_of_a_chain_is_the_best_of_all_assignments(kind: str, ingress: str) -> None:
    model, rng = small(), np.random.default_rng(7)
    reach = Reach(star(model, BETWEEN))
    stages = len(next(n for n in model.tasks if n.name == kind).stages)
    crowd = Crowd(kind, ingress, 1.0, rng.exponential(0.05, 20), rng.exponential(0.05, (stages, 20)))
    hosts = {"vision": ("n1", "n3"), "llm": ("n2", "n3"), "image": ("n1", "n2", "n3"), "format": ("n1", "n2", "n3")}
    found = least_times(model, reach, hosts, crowd)
    assert found == pytest.approx([enumerated(model, reach, hosts, crowd, j) for j in range(20)], rel=1e-12)


def test_where_branches_part_and_join_the_least_time_is_never_above_the_best_assignment() -> None:
    model, rng = small(), np.random.default_rng(11)
    chat, vqa = model.tasks[1], model.tasks[0]
    first, second = vqa.stages[0], vqa.stages[1]
    aside = replace(vqa.stages[3], name="aside", inputs=(replace(second.inputs[0], bytes=2e6),))
    joined = replace(vqa.stages[2], inputs=(*vqa.stages[2].inputs, replace(second.inputs[0], source="aside")))
    diamond = replace(chat, name="diamond", stages=(first, second, aside, joined))
    model = replace(model, tasks=(diamond,))
    reach = Reach(star(model, BETWEEN))
    crowd = Crowd("diamond", "gw1", 1.0, rng.exponential(0.05, 20), rng.exponential(0.05, (4, 20)))
    hosts = {"vision": ("n1", "n3"), "llm": ("n2", "n3"), "image": ("n1", "n2", "n3"), "format": ("n1", "n2", "n3")}
    found = least_times(model, reach, hosts, crowd)
    assert all(found[j] <= enumerated(model, reach, hosts, crowd, j) + 1e-12 for j in range(20))


def test_a_transfer_has_the_least_delay_and_the_widest_path_at_once() -> None:
    port = Port("a", Pipe(0.001, 1e9, 1e9), Pipe(0.001, 1e9, 1e9))
    quick, wide = Pipe(0.005, 1e6, 2e6), Pipe(0.020, 5e8, 5e8)
    network = Network(
        {"o": port, "v": replace(port, site="b")},
        (Trunk("a", "b", quick), Trunk("a", "c", wide), Trunk("c", "b", wide)),
    )
    delay, per_byte = Reach(network).between(("o", "v"), ("v", "o"))
    assert delay[0, 0] == pytest.approx(0.007) and per_byte[0, 0] == pytest.approx(8 / 5e8)
    assert delay[0, 1] == 0.0 and per_byte[0, 1] == 0.0  # to itself
    assert math.isinf(delay[1, 1])  # no way back


def test_a_service_nowhere_is_never_in_time() -> None:
    model = one(Law())
    tasks = crowds(model, {"o": 1.0})
    assert np.all(np.isinf(least_times(model, Reach(star(model, {})), {"m": ()}, tasks[0])))


LAWS = {
    "exponential": (Law("exponential"), lambda t: 1 - math.exp(-t)),
    "uniform": (Law("uniform", spread=0.4), lambda t: min(max((t - 0.6) / 0.8, 0.0), 1.0)),
    "lognormal": (
        Law("lognormal", cv=1.0),
        lambda t: float(stats.norm.cdf((math.log(t) + math.log(2) / 2) / math.sqrt(math.log(2)))),
    ),
    "gamma rate": (Law("gamma", shape=2.0), lambda t: float(stats.gamma.sf(1 / t, 2.0, scale=0.5))),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("deadline", [0.7, 1.1, 2.3])
def test_with_one_service_the_physics_is_its_distribution_function(name: str, deadline: float) -> None:
    """On one node without bytes, P° is the law's own distribution at the deadline less the 2 ms on four ports."""
    law, cdf = LAWS[name]
    model = one(law, work=1.0, deadline=deadline + 0.002)
    found = expected_bound(model, star(model, {}), {"m": ("v",)}, {"o": 0.01}).physics
    assert cdf(deadline) <= found <= cdf(deadline) + 0.01


def test_fading_and_two_services_against_an_independent_integral() -> None:
    """Access Gamma(3, 1/3) and two exponential services, by SciPy's quadrature of P(E1 + E2 <= D − access)."""
    model = one(Law("exponential"), work=0.05, deadline=0.4)
    stage = model.tasks[0].stages[0]
    entering = replace(stage, inputs=(replace(stage.inputs[0], bytes=1e6),))
    second = replace(stage, name="t", inputs=(replace(stage.inputs[0], source="s"),))
    task: TaskType = replace(model.tasks[0], stages=(entering, second))
    model = replace(model, tasks=(task,), access=Access(8e7, 3.0))
    network = star(model, {}, node=1e15)
    found = expected_bound(model, network, {"m": ("v",)}, {"o": 0.01}).physics
    gains = stats.gamma(3.0, scale=1 / 3)
    u = (np.arange(200_000) + 0.5) / 200_000
    left = np.maximum(0.4 - 0.002 - 0.1 / np.maximum(gains.ppf(u), 0.02), 0.0) / 0.05
    exact = float(np.mean(stats.gamma(2.0).cdf(left)))
    assert exact <= found <= exact + 0.01
