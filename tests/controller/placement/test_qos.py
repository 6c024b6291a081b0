"""Demand, scores and contracted traffic against numbers worked out by hand (eq. (7) to (10))."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.model import INGRESS
from controller.placement import PlacementParameters, qos
from controller.placement.tables import most_instances, tables
from controller.placement.traffic import Edge, distances, edges
from tests.controller.instances import dag, e12, small


def test_demand_of_the_reference_is_its_shares_times_the_planned_load() -> None:
    per_service = {"vision": 0.5, "llm": 0.8, "audio": 0.25, "fusion": 0.3, "generator": 0.2}
    model = e12(4)
    demand = qos.demand(model, 3.0)
    for m, share in per_service.items():
        assert sum(demand[m, o.name] for o in model.ingresses) == pytest.approx(3 * 60 * share)
        for o in model.ingresses:
            assert demand[m, o.name] == pytest.approx(3 * 60 * share * o.weight)


def test_demand_counts_every_stage_and_ignores_the_scale_of_shares_and_weights() -> None:
    twice = dag({"a": {INGRESS: 1.0}, "b": {"a": 1.0}})
    stages = tuple(replace(s, service="llm") for s in twice)
    model = small()
    model = replace(
        model,
        tasks=(replace(model.tasks[0], share=7.0, stages=stages),),
        ingresses=tuple(replace(o, weight=10 * o.weight) for o in model.ingresses),
    )
    demand = qos.demand(model, 1.0)
    assert demand == pytest.approx({("llm", "gw1"): 2 * 20 * 0.6, ("llm", "gw2"): 2 * 20 * 0.4})


def test_slack_and_limits_by_hand() -> None:
    model = small()
    vqa, chat = model.tasks
    # 1 MB and 0.3 MB over 150 Mbit/s; lights 30 + 12 ms and 12 ms; core work 40 + 60 ms and 60 ms.
    assert qos.slack(model, vqa) == pytest.approx(0.7 - 8 / 150 - 0.042)
    assert qos.slack(model, chat) == pytest.approx(0.4 - 2.4 / 150 - 0.012)
    limits = qos.limits(model)
    assert limits["vision"] == pytest.approx((0.7 - 8 / 150 - 0.042) * 0.4)
    assert limits["llm"] == pytest.approx(min((0.7 - 8 / 150 - 0.042) * 0.6, 0.372))


def test_latency_profile_and_score_by_hand() -> None:
    t = tables(small(), PlacementParameters())
    # vqa brings 0.4 MB and chat 0.3 MB, half of the tasks each; 1 ms inside and 8 ms between, trunk 800 Mbit/s.
    size = qos.entering_bytes(small(), "llm")
    assert size == pytest.approx(0.35e6)
    late = 0.009 + 8 * 0.35e6 / 800e6 + 1.05 * 0.060
    assert t.late[1, 0, 2] == pytest.approx(late)
    assert t.score[1, 0, 2] == pytest.approx(1 - late / qos.limits(small())["llm"])


@pytest.mark.parametrize(
    ("late", "limit", "expected"),
    [(0.0, 0.1, 1.0), (0.1, 0.1, 0.0), (0.3, 0.1, 0.0), (0.1, 0.0, 0.0), (0.1, -1.0, 0.0), (math.inf, 0.1, 0.0)],
)
def test_score_is_clipped(late: float, limit: float, expected: float) -> None:
    assert qos.scores(np.array([[[late]]]), np.array([limit])) == expected


def test_longest_path_takes_the_heavier_branch_of_a_join() -> None:
    vqa = e12(1).tasks[0]
    weight = {"image": 1.0, "vision": 2.0, "tokenise": 10.0, "fusion": 4.0, "llm": 8.0, "format": 16.0}
    assert qos.longest(vqa, lambda s: weight[s.service]) == 10 + 4 + 8 + 16


def test_lights_are_contracted_to_the_least_edge_and_parallel_paths_to_the_largest() -> None:
    model = small()
    stages = {
        "vision": {INGRESS: 1.0},
        "image": {"vision": 0.9},
        "format": {"vision": 0.2},
        "llm": {"image": 0.5, "format": 0.7},
    }
    model = replace(model, tasks=(replace(model.tasks[0], stages=dag(stages)),))
    # over image min(0.9, 0.5), over format min(0.2, 0.7): the larger is 0.5 MB
    assert edges(model, {"vqa": 1.0}) == (Edge(1.0, "vision", "llm", 0.5e6),)


def test_distance_of_domains_is_the_mean_over_their_nodes() -> None:
    net = distances(small(), np.array([0, 0, 1])).net(1e6)
    assert net[0, 1] == pytest.approx(0.009 + 0.010)
    assert net[0, 0] == pytest.approx((0 + 2 * (0.001 + 0.008) + 0) / 4)


@pytest.mark.parametrize(
    ("caps", "total", "expected"),
    [
        ([10, 10, 10], 5, 3),  # one is enough: r + 1 = ⌈1.1⌉ + 1 = 3
        ([10] * 10, 100, 12),  # ⌈1.1 · 10⌉ + 1 = 12, not 13
        ([10] * 10, 1000, 12),  # not even all are enough: all count
        ([5, 40], 40, 3),  # the fastest first
    ],
)
def test_most_instances(caps: list[float], total: float, expected: int) -> None:
    assert most_instances(caps, total, PlacementParameters()) == expected


def test_a_service_with_many_instances_is_served_from_the_nearest_domains() -> None:
    model = e12(1, clusters=30)
    t = tables(model, PlacementParameters(nearest_clusters=4))
    m = int(np.argmax(t.most))
    wanted = max(4, math.ceil(2 * 30 / t.most[m]))
    assert t.most[m] > 8
    seen = {t.domains[g] for g in t.domain[t.serves[m, 0]]}
    late = {g: t.late[m, 0, [i for i, v in enumerate(model.nodes) if v.domain == g]].min() for g in t.domains}
    assert len(seen) == wanted
    assert "c1" in seen
    assert max(late[g] for g in seen) < max(late.values())


def test_a_service_with_few_instances_is_served_from_everywhere() -> None:
    """Four instances and thirty ingresses: were only the nearest domains allowed, most would see no instance."""
    model = replace(e12(1, clusters=30), load=60.0)
    t = tables(model, PlacementParameters(nearest_clusters=4))
    assert t.most.max() <= 8
    assert t.serves.all(axis=(0, 2)).all() or (t.serves == t.holds[:, None, :]).all()


@pytest.mark.parametrize(
    "wrong", [{"rho": 0.0}, {"r": 0}, {"r": 1.5}, {"light_cpu_share": 1.0}, {"alpha": -1.0}, {"plan_load": 0.0}]
)
def test_a_parameter_out_of_bounds_is_named_with_what_is_allowed(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"placement parameter {next(iter(wrong))}: found .*, allowed is"):
        PlacementParameters(**wrong)  # type: ignore[arg-type]
