"""A move and deaths under load, with a look at the real containers while they happen."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller import policies
from controller.decision import Decision, Migrate, Placement, Start
from controller.model import Model
from controller.observation import Observation
from tests.live_run.kit import CALM, Run, docker, names_of, ready

pytestmark = pytest.mark.live
MOVE_AT = 4  # slot


@dataclass(frozen=True)
class OneMove:
    """As `static`, but at slot MOVE_AT the only instance of `cut` moves to a node of the other cluster."""

    name: str = "one_move"
    routing: str = "estimate"

    def place(self, model: Model, parameters: Any) -> Placement:
        return policies.get("static").place(model, parameters)

    def begin(self, model: Model, placement: Placement, parameters: Any) -> tuple[int, Decision]:
        """One instance of each light service, both on n2."""
        _, first = policies.get("static").begin(model, placement, parameters)
        core = [a for a in first.actions if isinstance(a, Start) and a.service == "see"]
        actions = (*core, Start("cut-a", "cut", "n2", 2), Start("hear-a", "hear", "n2", 2))
        return 0, Decision(0, actions, ("as asked",) * len(actions))

    def step(self, model: Model, state: int, observation: Observation) -> tuple[int, Decision]:
        if observation.slot != MOVE_AT or state:
            return state, Decision(observation.slot)
        return 1, Decision(observation.slot, (Migrate(Start("cut-b", "cut", "n3", 2), "cut-a"),), ("asked to",))


def with_policy(policy: OneMove, *sets: str) -> Any:
    prepared = ready(*sets)
    placement = policy.place(prepared.resolved.model, {})
    state, initial = policy.begin(prepared.resolved.model, placement, {})
    return dataclasses.replace(prepared, policy=policy, placement=placement, state=state, initial=initial)


class Looks:
    """Docker's and the kernel's view of the moved service at every slot."""

    def __init__(self) -> None:
        self.running: list[set[str]] = []
        self.seen: dict[str, dict[str, Any]] = {}

    def __call__(self, run: Run, status: dict[str, Any]) -> None:
        self.running.append(names_of(run.run_id))
        for host, service in (("n2", "cut-a"), ("n3", "cut-b")):
            name = run.container(host, service)
            if name in self.running[-1] and name not in self.seen:
                self.seen[name] = self.inspect(name, run.container(host))

    @staticmethod
    def inspect(name: str, pod: str) -> dict[str, Any]:
        service, node = json.loads(docker("inspect", name, pod))
        pids = service["State"]["Pid"], node["State"]["Pid"]
        return {
            "service": service,
            "node": node,
            "netns": [os.stat(f"/proc/{pid}/ns/net").st_ino for pid in pids],
            "cgroup": Path(f"/proc/{pids[0]}/cgroup").read_text(),
        }


def test_a_move_loses_nothing_and_the_container_is_really_on_the_other_node(tmp_path: Path) -> None:
    looks = Looks()
    run = Run(with_policy(OneMove(), *CALM, "run.duration=5 s", "run.warmup=500 ms"), tmp_path / "run", looks)
    summary = run()
    old, new = run.container("n2", "cut-a"), run.container("n3", "cut-b")

    assert (summary["migrations"]["count"], summary["migrations"]["tasks_lost"]) == (1, 0)
    assert summary["scalings"] == {"out": 0, "in": 0}
    assert summary["lost_by"]["unanswered"] == 0
    assert summary["migrations"]["blackout_s_max"] == 0 and summary["migrations"]["seconds_p50"] > 0
    (move,) = run.events("migrated")
    assert (move["from"], move["to"], move["service"], move["lost"]) == ("n2", "n3", "cut", 0)
    order = [e["kind"] for e in run.events() if e["kind"] in ("started", "drained", "migrated")]
    assert order == ["started", "drained", "migrated"]
    assert summary["valid"], summary["invalid_because"]

    # make before break: both ran for a while, or the new one before the old one went; at the end only the new one
    assert old in looks.running[0] and new not in looks.running[0]
    assert all(old in running or new in running for running in looks.running)
    assert new in looks.running[-1] and old not in looks.running[-1]
    for name, host in ((old, "n2"), (new, "n3")):
        seen = looks.seen[name]
        assert seen["netns"][0] == seen["netns"][1], "in its node's network namespace"
        assert seen["service"]["HostConfig"]["NetworkMode"] == f"container:{seen['node']['Id']}"
        assert f"shaketable.run-{run.run_id}/{host}/" in seen["cgroup"] or f"-{host}.slice" in seen["cgroup"]
        assert seen["service"]["Config"]["Labels"]["shaketable.run"] == run.run_id

    stages = read_stages(run)
    assert {r["node"] for r in stages if r["instance"] == "cut-b" and r["outcome"] == "done"} == {"n3"}
    after = [r for r in stages if r["service"] == "cut" and r["arrived_s"] > move["actual_s"]]
    assert after and all(r["instance"] == "cut-b" for r in after)


def test_stubs_killed_under_load(tmp_path: Path) -> None:
    """One of two cores: tasks are sent again and served by the other. The only light one: the policy replaces it."""
    killed: dict[str, float] = {}

    def kill(run: Run, status: dict[str, Any]) -> None:
        for service, slot in (("see", 4), ("cut", 8)):
            if status["slot"] >= slot and service not in killed:
                victim = next(i for i in status["instances"] if i["service"] == service)
                docker("kill", run.container(victim["node"], victim["id"]))
                killed[service] = run.world.now()

    run = Run(ready(*CALM, "run.duration=6 s", "arrivals.rate=40 /s"), tmp_path / "run", kill)
    summary = run()
    died = {e["service"]: e for e in run.events("instance_died")}
    assert set(died) == {"see", "cut"}
    assert all(0 <= died[m]["actual_s"] - killed[m] < 0.5 for m in died), "noticed at once"
    replaced = [a for e in run.events("slot") for a in e["actions"] if a["do"] == "start" and a["service"] == "cut"]
    assert replaced, "the policy starts another one"
    assert any(e["service"] == "cut" for e in run.events("started"))

    t = summary["tasks"]
    assert t["offered"] == t["on_time"] + t["late"] + t["lost"]
    tasks = read(run, "tasks")
    assert len(tasks) == len({row["id"] for row in tasks})
    again = [row for row in tasks if row["attempts"] > 1]
    assert again, "something was under way when its container died"
    assert any(row["outcome"] in ("on_time", "late") for row in again), "sent again, and answered"
    late = [row for row in tasks if row["at_s"] > died["cut"]["actual_s"] + 1.5]
    assert Counter(row["outcome"] for row in late)["on_time"] > 0.8 * len(late) > 0, "healed"
    stages = read_stages(run)
    visits = Counter((r["task"], r["stage"], r["attempt"]) for r in stages if r["outcome"] == "done")
    assert max(visits.values()) == 1, "a stage runs once an attempt, joins too"


def test_a_gateway_killed_makes_the_run_invalid(tmp_path: Path) -> None:
    """Its offered tasks are not measured any more: unknown, never pass."""
    killed: list[str] = []

    def kill(run: Run, status: dict[str, Any]) -> None:
        if status["slot"] >= 4 and not killed:
            killed.append(docker("kill", run.container("gw1", "gw1")))

    run = Run(ready(*CALM, "run.duration=3 s"), tmp_path / "run", kill)
    summary = run()
    assert killed
    assert not summary["valid"] and summary["verdict"] == "unknown"
    assert any("gw1" in why for why in summary["invalid_because"])
    assert [c["verdict"] for c in summary["claims"]] == ["unknown", "pending"]
    t = summary["tasks"]
    assert t["offered"] == t["on_time"] + t["late"] + t["lost"]
    outcomes = Counter((row["ingress"], row["outcome"]) for row in read(run, "tasks") if row["at_s"] > 2.5)
    assert outcomes["gw1", "on_time"] == 0 and outcomes["gw2", "on_time"] > 0


def read(run: Run, table: str) -> list[dict[str, Any]]:
    base = sqlite3.connect(f"file:{run.folder / 'tasks.sqlite'}?mode=ro", uri=True)
    base.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in base.execute(f"select * from {table}")]
    finally:
        base.close()


def read_stages(run: Run) -> list[dict[str, Any]]:
    return read(run, "stages")
