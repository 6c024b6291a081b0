"""A node that crashes under load and returns: what Docker, the kernel and the records say of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.live_run.kit import Run, docker, ready
from tests.live_run.test_moves_and_deaths import read, read_stages

pytestmark = pytest.mark.live
AT, FOR, DETECTION = 3.0, 2.5, 0.5
CRASH = "faults=[{{name: crash, kind: node_crash, target: {node}, at: 3 s, for: 2500 ms}}]"


def state_of(container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", container))[0]["State"]
    return found


class Looks:
    """Docker's word, slot by slot, on the containers of one node."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.seen: list[tuple[float, bool, bool]] = []  # time, the pause runs, a service of before the crash runs
        self.before: set[str] = set()

    def __call__(self, run: Run, status: dict[str, Any]) -> None:
        now = run.world.now()
        if now < AT:
            self.before |= {run.container(self.node, i["id"]) for i in status["instances"] if i["node"] == self.node}
            return
        alive = any(state_of(name)["Running"] for name in self.before)
        self.seen.append((now, bool(state_of(run.container(self.node))["Running"]), alive))


def test_a_node_crashes_and_returns(tmp_path: Path) -> None:
    sets = ("bandwidth=[]", "run.duration=9 s", "arrivals.rate=30 /s", "tasks.scene.deadline=2 s")
    node = ready("faults=[]", *sets).placement.instances["see"][0]
    looks = Looks(node)
    run = Run(ready(*sets, CRASH.format(node=node)), tmp_path / "run", looks)
    summary = run()

    (fault,) = summary["faults"]
    assert fault["verified"] and fault["kind"] == "node_crash", fault["evidence"]
    assert AT <= fault["applied_at_s"] < AT + 0.5 and AT + FOR <= fault["reverted_at_s"] < AT + FOR + 0.5
    assert looks.before and all(pause and not service for _, pause, service in looks.seen), looks.seen

    died = run.events("instance_died")
    assert {e["node"] for e in died} == {node}
    lag = [e["actual_s"] - fault["applied_at_s"] for e in died]
    assert all(DETECTION - 0.2 <= x < DETECTION + 0.4 for x in lag), "known after the detection time, not before"
    known = next(e["actual_s"] for e in died)
    dark = [s for s in read_stages(run) if s["node"] == node and s["outcome"] == "done"]
    back = fault["reverted_at_s"]
    assert not [s for s in dark if fault["applied_at_s"] + 0.1 < s["finished_s"] < back], "a dead node serves nothing"

    tasks = read(run, "tasks")
    counts = summary["tasks"]
    assert counts["offered"] == counts["on_time"] + counts["late"] + counts["lost"]
    again = [row for row in tasks if row["attempts"] > 1]
    assert any(row["outcome"] == "on_time" for row in again), "what it held was sent again, and answered in time"
    later = [row for row in tasks if known + 1.0 < row["at_s"]]
    assert Counter(row["outcome"] for row in later)["on_time"] > 0.8 * len(later) > 0, "the others carry on"
    doubts = [why for why in summary["invalid_because"] if "lag" not in why]  # a busy machine is no defect of ours
    assert not doubts
