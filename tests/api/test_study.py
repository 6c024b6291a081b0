"""Runs and comparisons from Python: the same records as the command's, as tables; the example makes its figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.api import Comparison, Run, Scenario, run
from testbed.errors import InputError

ROOT = Path(__file__).parents[2]
SHORT = {"run.duration": "4 s", "run.warmup": "1 s", "load": 0.5}


def demo() -> Scenario:
    return Scenario(ROOT / "scenarios" / "demo.yaml", ("faults=[]",)).changed(SHORT)


def test_a_run_is_its_summary_and_a_row_per_task(tmp_path: Path) -> None:
    done = run(demo(), world="twin", out=tmp_path / "run", policy="nearest", seed=3)
    assert (done.summary["policy"], done.summary["seed"], done.summary["world"]) == ("nearest", 3, "twin")
    tasks = done.tasks()
    measured = [t for t in tasks.to_pylist() if 1.0 <= t["at_s"] < 5.0]
    assert len(measured) == done.summary["tasks"]["offered"] > 0
    assert sum(t["outcome"] == "on_time" for t in measured) == done.summary["tasks"]["on_time"]
    assert set(done.stages()["task"].to_pylist()) <= set(tasks["id"].to_pylist())
    assert Run.at(tmp_path / "run").summary == done.summary


def test_a_mistake_is_refused_where_the_scenario_is_named() -> None:
    with pytest.raises(InputError, match=r"there is no key 'laod'. Did you mean 'load'\?"):
        demo().changed({"laod": 2})


def test_the_example_makes_the_two_figures(tmp_path: Path) -> None:
    script = ROOT / "docs" / "examples" / "figures.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, "2"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        [policy, "load", f"{load}:"] for load in (1, 2) for policy in ("two_tier", "nearest")
    ]
    assert {p.name for p in tmp_path.glob("*.svg")} == {"cost.svg", "sweep.svg"}


def test_tables_of_a_comparison_are_what_was_found() -> None:
    interval = {"mean": 0.9, "lower": 0.8, "upper": 0.95, "least": 0.85}
    row = {
        "policy": "two_tier", "value": "2", "runs": 2, "on_time": interval, "cost": interval,
        "by_seed": {"1": {"on_time": 0.85, "cost": 30.0}, "2": {"on_time": 0.95, "cost": 31.0}},
    }  # fmt: skip
    found = Comparison(Path("nowhere"), {"rows": [row]})
    assert found.table().to_pylist() == [
        {"policy": "two_tier", "value": "2", "runs": 2, "on_time_mean": 0.9, "on_time_lower": 0.8,
         "on_time_upper": 0.95, "cost_mean": 0.9, "cost_lower": 0.8, "cost_upper": 0.95}
    ]  # fmt: skip
    assert [(r["seed"], r["on_time"]) for r in found.runs().to_pylist()] == [(1, 0.85), (2, 0.95)]
