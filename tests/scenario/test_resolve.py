"""A scenario and a seed give one instance: draws in their bounds, streams that do not disturb each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from testbed.scenario.loader import load
from testbed.scenario.resolve import resolve
from testbed.scenario.streams import stream
from tests.scenario.small import DATA, ROOT, scenario

E12 = ROOT / "scenarios" / "e12.yaml"
REFERENCE = DATA.parent / "e12.yaml"


def test_streams_repeat_and_differ_by_every_part_of_the_key() -> None:
    keys = [(1, "a", 12), (1, "a", "12"), (1, "a1", 2), (2, "a", 12), (1, "a"), (1,)]
    first = [tuple(stream(k[0], *k[1:]).random(4)) for k in keys]
    assert first == [tuple(stream(k[0], *k[1:]).random(4)) for k in keys]
    assert len(set(first)) == len(keys)


def test_streams_are_uncorrelated() -> None:
    draws = np.array([stream(seed, "x", task).random(200) for seed in range(5) for task in range(10)])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 0.35  # 1225 pairs of 200: 5 standard errors of 0.07
    assert draws.mean() == pytest.approx(0.5, abs=0.015)


def test_without_variation_the_model_is_what_the_file_says(tmp_path: Path) -> None:
    resolved = resolve(scenario(tmp_path), 7)
    model = resolved.model
    assert [(n.name, n.domain, n.cpu, n.memory, n.speed) for n in model.nodes][:2] == [
        ("n1", "west", 8, 8e9, 2), ("n2", "west", 8, 8e9, 1)
    ]  # fmt: skip
    assert [m.name for m in model.core] == ["see"] and [m.name for m in model.light] == ["cut"]
    assert model.core[0].law.kind == "deterministic" and model.core[0].streams == 2
    (task,) = model.tasks
    assert [(s.name, s.service, [(i.source, i.bytes) for i in s.inputs]) for s in task.stages] == [
        ("cut", "cut", [("ingress", 1e6)]), ("see", "see", [("cut", 1e6)])
    ]  # fmt: skip
    assert task.sinks() == ("see",) and task.share == 1
    assert model.load == 5 and model.extra["plan_load"] == 1
    assert [o.weight for o in model.ingresses] == pytest.approx([1 / 3] * 3)
    assert resolved.true_weights == pytest.approx({"gw1": 1 / 3, "gw2": 1 / 3, "gw3": 1 / 3})
    assert resolve(scenario(tmp_path), 7) == resolved
    assert model.paths.net("n1", "n4", 1e6) == pytest.approx(0.0005 + 0.007 + 0.0005 + 8e6 / 800e6)


def test_variation_stays_in_its_bounds_and_moves_nothing_else(tmp_path: Path) -> None:
    plain = resolve(scenario(tmp_path), 1).model
    works, speeds, sizes = [], [], []
    for seed in range(40):
        model = resolve(
            scenario(tmp_path, sets=["variation.work=0.2", "variation.size=0.2", "variation.speed=0.1"]), seed
        ).model
        works += [m.work / p.work for m, p in zip(model.core + model.light, plain.core + plain.light, strict=True)]
        speeds += [n.speed / p.speed for n, p in zip(model.nodes, plain.nodes, strict=True)]
        sizes += [model.tasks[0].output / 1e3, *(s.inputs[0].bytes / 1e6 for s in model.tasks[0].stages)]
        assert model.tasks[0].deadline == plain.tasks[0].deadline
    for values, x in ((works, 0.2), (sizes, 0.2), (speeds, 0.1)):
        assert 1 - x <= min(values) < 1 - 0.8 * x and 1 + 0.8 * x < max(values) <= 1 + x
    only_work = resolve(scenario(tmp_path, sets=["variation.work=0.2"]), 3).model
    both = resolve(scenario(tmp_path, sets=["variation.work=0.2", "variation.size=0.2"]), 3).model
    assert only_work.core == both.core and only_work.nodes == both.nodes


def test_the_planner_is_wrong_by_no_more_than_its_error(tmp_path: Path) -> None:
    first = []
    for seed in range(50):
        resolved = resolve(scenario(tmp_path, sets=["arrivals.dirichlet=12", "arrivals.planner_error=0.2"]), seed)
        seen = {o.name: o.weight for o in resolved.model.ingresses}
        assert sum(seen.values()) == pytest.approx(1) and sum(resolved.true_weights.values()) == pytest.approx(1)
        for name, weight in resolved.true_weights.items():
            assert 0.8 / 1.2 <= weight / seen[name] <= 1.2 / 0.8
        first.append(seen["gw1"])
    # Dirichlet(12, 12, 12): mean 1/3, variance (1/3)(2/3)/37, so 50 means err by 0.011
    assert np.mean(first) == pytest.approx(1 / 3, abs=0.04)
    assert np.std(first) == pytest.approx((2 / 9 / 37) ** 0.5, rel=0.4)


def test_written_weights_are_shares(tmp_path: Path) -> None:
    model = resolve(scenario(tmp_path, sets=["arrivals.weights={gw1: 3, gw3: 1}"]), 1).model
    assert [o.weight for o in model.ingresses] == [0.75, 0.0, 0.25]


def test_fault_targets_are_made_concrete(tmp_path: Path) -> None:
    assert resolve(scenario(tmp_path, ("s1--s2", "s2--s1")), 1).faults[0].target == "s1--s2"
    drawn = scenario(tmp_path, ("s1--s2", "any trunk"))
    targets = [resolve(drawn, seed).faults[0].target for seed in range(30)]
    assert set(targets) == {"s1--s2", "s2--s3", "s1--s3"}
    assert targets == [resolve(drawn, seed).faults[0].target for seed in range(30)]


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference numbers are not beside the repository")
def test_e12_holds_every_number_of_the_reference() -> None:
    given = yaml.safe_load(REFERENCE.read_text())
    ours = load(E12, ())
    for kind in given["nodes"]["per_cluster"]:
        k = ours.nodes[kind["kind"]]
        assert (k.cpu, k.memory, k.speed, k.price) == (
            kind["cpu"],
            kind["memory_gb"] * 1e9,
            kind["speed"],
            kind["price"],
        )
    for m in given["core_services"]:
        s = ours.services[m["name"]]
        assert (s.tier, s.cpu, s.memory, s.streams, s.startup) == (
            "core",
            m["cpu"],
            m["memory_gb"] * 1e9,
            m["streams"],
            m["startup_s"],
        )
        assert s.work == pytest.approx(m["work_ms"] / 1e3) and s.rate.law == "uniform" and s.rate.spread == 0.05
        assert (s.costs.deploy, s.costs.keep, s.costs.parallel) == (m["c_dp"], m["c_mt"], m["c_pl"])
    for m in given["light_services"]["items"]:
        s = ours.services[m["name"]]
        assert (s.tier, s.cpu, s.rate.law, s.rate.shape, s.rate.floor) == ("light", 1, "gamma", m["shape"], 0.1)
        assert (s.work, s.startup) == pytest.approx((m["work_ms"] / 1e3, m["startup_ms"] / 1e3))
        assert s.memory == pytest.approx(m["memory_gb"] * 1e9)
        assert (s.costs.deploy, s.costs.keep, s.costs.parallel) == (m["c_dp"], m["c_mt"], m["c_pl"])
    assert set(ours.services) == {m["name"] for m in given["core_services"] + given["light_services"]["items"]}
    for task in given["tasks"]:
        t = ours.tasks[task["name"]]
        assert (t.share, t.epsilon) == (task["share"], given["controller_parameters"]["epsilon"])
        assert (t.deadline, t.output) == pytest.approx((task["deadline_ms"] / 1e3, task["out_mb"] * 1e6))
        assert {s: v.inputs for s, v in t.stages.items()} == {
            s: pytest.approx({source: mb * 1e6 for source, mb in edges}) for s, edges in task["stages"].items()
        }
    assert (ours.arrivals.rate, ours.arrivals.dirichlet, ours.arrivals.planner_error) == (
        given["load"]["tasks_per_s"],
        12,
        0.2,
    )
    mmpp = given["load"]["mmpp"]
    assert ours.arrivals.mmpp.model_dump() == {k.removesuffix("_s"): v for k, v in mmpp.items() if k != "start"}
    assert (ours.access.rate, ours.access.nakagami) == (150e6, 3) and ours.plan_load == given["placement_parameters"][
        "plan_load"
    ]
    assert (ours.run.warmup, ours.run.duration, ours.run.slot) == (10, 40, 1) and ours.claims[0].runs == given["run"][
        "seeds"
    ]
    assert json.dumps(ours.variation.model_dump()) == '{"work": 0.2, "size": 0.2, "speed": 0.1}'


def test_e12_network() -> None:
    ours = load(E12, ())
    delays = set()
    for seed in range(1, 11):
        topology = resolve(ours, seed).topology
        trunks = [k for k in topology.links if k.role == "trunk"]
        assert len(topology.nodes) == 12 and len(topology.ingresses) == 3 and len(trunks) == 3
        assert all(0.006 <= k.ab.delay == k.ba.delay <= 0.014 and k.ab.rate == 800e6 for k in trunks)
        delays |= {k.ab.delay for k in trunks}
    assert len(delays) == 30
    model = resolve(ours, 1).model
    assert model.paths.delay["n1", "n2"] == pytest.approx(0.001)
    assert [n.cpu for n in model.nodes] == [32, 20, 16, 12] * 3
