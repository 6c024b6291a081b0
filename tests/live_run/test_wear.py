"""What a run must not wear out: containers, ports and busy slots of instances that come and go all day long."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import CannotRun
from testbed.world.live import fleet
from testbed.world.live.docker_hosts import DockerHosts
from testbed.world.live.fleet import Fleet
from testbed.world.live.hub import Hub
from tests.live_run.kit import CALM, Run, docker, ready, until

pytestmark = pytest.mark.live
OFTEN = ("policy.name=carousel", "policy.parameters={every: 1}", "run.slot=500 ms", "run.duration=7 s")


def fleet_of(run: Run) -> Fleet:
    assert run.world._parts is not None and run.world._parts.fleet is not None
    return run.world._parts.fleet


def busy(run: Run, node: str) -> tuple[int, ...]:
    return struct.unpack("<256I", (Path(run.names.folder) / "nodes" / node / "busy").read_bytes())


def test_an_instance_that_has_moved_leaves_no_container_and_its_slot_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots in use are those of instances that are there, and of at most a few on their way in or out."""
    monkeypatch.setattr(fleet, "BUSY_SLOTS", 4)
    containers: list[int] = []
    beyond: list[int] = []
    ports: set[tuple[str, int]] = set()

    def look(run: Run, status: dict[str, Any]) -> None:
        containers.append(len(docker("ps", "-aq", "--filter", f"label=shaketable.run={run.run_id}").split()))
        there = list(fleet_of(run).instances.values())
        ports.update((i.node, i.port) for i in there)
        beyond.append(sum(map(len, fleet_of(run)._slots.values())) - len(there))

    run = Run(ready(*CALM, *OFTEN), tmp_path / "run", look)
    summary = run()
    moves = summary["migrations"]["count"]
    assert moves >= 3 and summary["migrations"]["tasks_lost"] == 0
    assert run.events("action_failed") == []
    assert len(ports) >= moves, "each instance has a port of its own"
    assert max(containers) <= containers[0] + 4 and max(beyond) <= 4, "moves under way, and no dead ones"


def test_a_drained_instance_that_ends_by_itself_is_no_surprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the hub's letting go and our stopping it the stub may end: that is no death nobody asked for."""
    remove = Hub.remove

    def slowly(hub: Hub, id: str) -> None:
        remove(hub, id)
        time.sleep(0.3)

    monkeypatch.setattr(Hub, "remove", slowly)
    run = Run(ready(*CALM, *OFTEN[:3], "run.duration=4 s"), tmp_path / "run")
    summary = run()
    assert summary["migrations"]["count"] >= 1
    assert not [why for why in summary["invalid_because"] if "died" in why]


def test_a_killed_instance_is_no_longer_counted_as_busy(tmp_path: Path) -> None:
    """SIGKILL while it works: its slot of the node's counter would slow the others of the node for good."""
    seen: dict[str, tuple[int, ...]] = {}

    def kill(run: Run, status: dict[str, Any]) -> None:
        victim = next((i for i in list(fleet_of(run).instances.values()) if i.service == "cut"), None)
        if victim is None or "before" in seen or status["slot"] < 3:
            return
        pid = int(docker("inspect", "-f", "{{.State.Pid}}", run.container(victim.node, victim.id)))
        own = victim.slot

        def stopped_at_work() -> bool:
            os.kill(pid, signal.SIGSTOP)
            if busy(run, victim.node)[own]:
                return True
            os.kill(pid, signal.SIGCONT)
            return False

        until(stopped_at_work, "it works")
        seen["before"] = (busy(run, victim.node)[own],)
        os.kill(pid, signal.SIGKILL)
        run.world.advance(run.world.now() + 0.5)
        seen["after"] = (busy(run, victim.node)[own],)

    work = ("services.cut.work=100 ms", "tasks.scene.deadline=2 s", "arrivals.rate=8 /s", "policy.name=static")
    Run(ready(*CALM, *work, "run.duration=4 s"), tmp_path / "run", kill)()
    assert seen["before"][0] > 0 and seen["after"] == (0,)


def test_moves_while_docker_fails_lose_no_task(tmp_path: Path) -> None:
    """Three calls of ten fail, with a move a slot: what can not be begun is given up, what can not be stopped is tried
    again, and each task comes home.

    Docker may stumble by itself as well, under so much coming and going; that is handled alike, and told.
    """
    fault = "{name: stumbles, kind: docker_failing, target: control, at: 1.5 s, for: 5 s, with: {share: 0.3}}"
    run = Run(ready("bandwidth=[]", f"faults=[{fault}]", *OFTEN), tmp_path / "run")
    summary = run()
    failed = [e for kind in ("action_failed", "action_retried") for e in run.events(kind)]
    asked_for = [e for e in failed if "docker_failing" in e["error"]]
    assert asked_for and all(" " in e["error"] for e in failed), "each in a sentence; a bare exception would be ours"
    for e in failed:
        if e not in asked_for:
            warnings.warn(f"an action failed that was not made to: {e}", stacklevel=1)
    moves = run.events("migrated")
    assert any(1.5 <= e["actual_s"] <= 7.5 for e in moves), "some got through"
    assert summary["migrations"]["tasks_lost"] == 0
    assert summary["lost_by"]["unanswered"] == 0 and summary["tasks"]["on_time"] > 0
    assert [f["verified"] for f in summary["faults"]] == [True]


def test_a_move_whose_end_fails_keeps_its_new_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker does not stop what has drained: that stays until the end, unused, and what took its place serves."""

    def refuse(hosts: DockerHosts, id: str, grace_s: float = 2.0) -> None:
        raise CannotRun(f"Docker did not stop {id}: it fails")

    monkeypatch.setattr(DockerHosts, "retire", refuse)
    monkeypatch.setattr(fleet, "STOP_PAUSE", 0.01)
    run = Run(ready(*CALM, *OFTEN), tmp_path / "run")
    summary = run()
    failed = [e for e in run.events("action_failed") if "did not stop" in e["error"]]
    kept = {i["id"] for i in run.events("slot")[-1]["instances"]}
    assert len(failed) >= 3 and summary["lost_by"]["unanswered"] == 0
    assert any(f"'{id}'" in e["action"] for e in failed for id in kept), "instances of moves whose end failed serve on"


def test_a_node_that_lost_its_power_leaves_no_connection_for_ever(tmp_path: Path) -> None:
    """The kernel asks the other end of what a gateway and a service accepted, and gives up one that does not answer.

    Seven minutes would be long for a test: the options are read from the sockets of a run, by ss from the host.
    """
    seen: list[str] = []

    def look(run: Run, status: dict[str, Any]) -> None:
        for host in ("gw1", "n2"):
            space = run.world._network.namespaces[host]
            words = ["nsenter", f"--net={space}", "ss", "-Htno", "state", "established"]
            seen.extend(subprocess.check_output(words, text=True).splitlines())

    Run(ready(*CALM, "run.duration=2 s"), tmp_path / "run", look)()
    asked = [line for line in seen if "timer:(keepalive,4min" in line or "timer:(keepalive,5min" in line]
    assert {line.split()[2].rpartition(":")[2] for line in asked} >= {"6000"}, seen[-20:]
