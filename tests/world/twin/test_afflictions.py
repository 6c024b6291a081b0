"""Faults of services, nodes and views in the twin, by what their words say of every single visit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.record.folder import ask
from testbed.run.prepare import inabilities, prepare
from testbed.world.twin.calibration import LIVE
from testbed.world.twin.reference.draws import uniform
from testbed.world.twin.world import TwinWorld
from tests.containers import errors
from tests.world.twin.kit import ROOT, run, words

SCENARIO = ROOT / "tests" / "live_run" / "short.yaml"
AT, FOR = 3.0, 2.0
CALM = ("run.contention=0", "run.early_drop=false", "arrivals.rate=40 /s")
BUSY = "busiest node"
VISITS = "select task, stage, service, instance, node, attempt, arrived_s, started_s, finished_s, outcome from stages"


def shaken(
    out: Path, kind: str, target: str, parameters: str = "{}", engine: str = "reference"
) -> tuple[dict[str, Any], list[Any]]:
    fault = f"[{{name: it, kind: {kind}, target: {target}, at: {AT} s, for: {FOR} s, with: {parameters}}}]"
    summary = run(out, SCENARIO, [f"faults={fault}", "bandwidth=[]", *CALM], engine)
    assert summary["faults"][0]["verified"]
    return summary, ask(out, VISITS)


@pytest.mark.parametrize(
    ("kind", "parameters", "factor"), [("slow_service", "{factor: 3}", 3.0), ("cpu_squeeze", "{keep: 0.5}", 2.0)]
)
def test_services_begun_within_it_take_so_much_longer(tmp_path, kind, parameters, factor):
    prepared = prepare(SCENARIO, [*CALM], "twin")
    works, stages = prepared.source().until(8.0).work, [s.name for s in prepared.resolved.model.tasks[0].stages]
    speeds = {v.name: v.speed for v in prepared.resolved.model.nodes}
    summary, visits = shaken(tmp_path, kind, "hear" if kind == "slow_service" else BUSY, parameters)
    target = summary["faults"][0]["target"]
    seen = set()
    for task, stage, service, _, node, _, _, started, ended, outcome in visits:
        if outcome == "done":
            hit = target in (service, node) and AT <= started < AT + FOR
            seen.add(hit)
            expected = works[int(task) - 1, stages.index(stage)] / speeds[node] * (factor if hit else 1.0)
            assert ended - started == pytest.approx(expected + LIVE.service_s, abs=1e-8)
    assert seen == {True, False}


def test_failures_are_those_of_the_rule_and_their_tasks_are_sent_again(tmp_path):
    summary, visits = shaken(tmp_path, "service_errors", "cut", "{share: 0.3}")
    mine = {(t, n): o for t, s, _, _, _, n, at, *_, o in visits if s == "cut" and AT <= at < AT + FOR}
    failed = {key for key, outcome in mine.items() if outcome == "dropped"}
    assert failed == {key for key in mine if errors.fails(0.3, summary["seed"], *key)} and len(failed) > 10
    again = {t for t, s, _, _, _, n, *_ in visits if s == "cut" and n > 1}
    assert {t for t, n in failed if n == 1} <= again


def test_stub_and_twin_draw_alike():
    for seed, task, attempt in ((0, 1, 1), (7, 123_456, 3), (2**31, 10**9, 1)):
        assert errors.uniform(seed, task, attempt) == uniform(seed, errors.ERRORS, task, attempt)


@pytest.mark.parametrize(("kind", "target"), [("service_hang", "hear"), ("node_pause", BUSY)])
def test_what_stands_still_neither_begins_nor_ends_anything(tmp_path, kind, target):
    summary, visits = shaken(tmp_path, kind, target)
    target = summary["faults"][0]["target"]
    victim = min(i for _, _, s, i, *_ in visits if s == "hear") if kind == "service_hang" else None
    mine = [v for v in visits if v[3] == victim or v[4] == target]
    times = [t for v in mine for t in v[6:9] if t is not None]
    assert not [t for t in times if AT < t < AT + FOR]
    overdue = [v for v in mine if v[7] is not None and v[7] <= AT and v[8] == AT + FOR]
    waited = [v for v in mine if v[6] == AT + FOR]
    assert waited and (overdue or kind == "service_hang"), "what came meanwhile is read when it goes on"
    assert [t for t in times if t > AT + FOR + 0.5], "it goes on"


def test_a_killed_instance_is_known_at_the_next_look_and_replaced(tmp_path):
    summary, visits = shaken(tmp_path, "service_kill", "cut")
    dead = min(i for _, _, s, i, *_ in visits if s == "cut")
    assert max(v[6] for v in visits if v[3] == dead) <= AT
    assert summary["recovery"]["it"]["detect_s"] == pytest.approx(LIVE.poll_s, abs=1e-6)
    assert [v for v in visits if v[2] == "cut" and v[9] == "done" and v[6] > AT + 1.0], "somebody does its work"


def test_nothing_is_heard_while_views_are_held_back(tmp_path):
    _, _ = shaken(tmp_path, "stale_view", "control")
    events, _ = words(tmp_path)
    slots = {e["actual_s"]: sum(e["arrivals"].values()) for e in events if e["kind"] == "slot"}
    assert sum(n for t, n in slots.items() if AT + 0.2 < t < AT + FOR) == 0
    assert sum(n for t, n in slots.items() if t >= AT + FOR) > 0


@pytest.mark.parametrize("kind", ["docker_slow", "controller_lost"])
def test_what_it_has_no_part_for_is_refused_beforehand(kind):
    fault = f"[{{kind: {kind}, target: control, at: 1 s, for: 1 s}}]"
    prepared = prepare(SCENARIO, [f"faults={fault}", "bandwidth=[]"], "twin")
    assert "which the twin world can't" in inabilities(prepared, TwinWorld("x", lambda text: None))[0]
