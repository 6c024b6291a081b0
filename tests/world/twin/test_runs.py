"""Whole runs in the twin: the shipped demo's words hold, and one seed is one run, byte for byte."""

from __future__ import annotations

from tests.world.twin.kit import ROOT, run, words

DEMO = ROOT / "scenarios" / "demo.yaml"


def test_one_seed_is_one_run(tmp_path):
    sets = ["run.duration=15 s", "run.seed=3", "faults.2.at=12 s"]
    a = run(tmp_path / "a", DEMO, sets)
    b = run(tmp_path / "b", DEMO, sets)
    assert words(tmp_path / "a") == words(tmp_path / "b")
    for summary in (a, b):
        summary["controller"] = summary["placement"] = None
    assert a == b


def test_the_demo_holds_its_claim_and_loses_nothing_by_moving(tmp_path):
    summary = run(tmp_path / "run", DEMO, ["run.seed=1"])
    tasks = summary["tasks"]
    assert summary["verdict"] == "pass" and summary["valid"], summary["invalid_because"]
    assert tasks["offered"] == tasks["on_time"] + tasks["late"] + tasks["lost"] > 1000
    assert summary["migrations"]["count"] > 0 and summary["migrations"]["tasks_lost"] == 0
    assert all(f["verified"] for f in summary["faults"]) and len(summary["faults"]) == 3
