"""Faults of nodes, services and control, each by an independent instrument, during and after: /proc, cgroup files,
`docker inspect`, requests from a neighbour's namespace, Open vSwitch, and the stubs' own times against the draws."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.decision import Decision, Drain, Start
from testbed.faults.base import load_kind
from testbed.record.folder import ask
from testbed.record.tables import Names as Book
from testbed.run.execute import bed_of
from testbed.run.worlds import bins
from testbed.topology.model import Topology
from testbed.world.base import Disturbance
from testbed.world.live import cgroups
from testbed.world.live.names import Names
from testbed.world.live.world import LiveWorld
from tests.containers.errors import fails
from tests.live_run.kit import Run, docker, ready, until
from tests.world.live.hosts_kit import new_run_id, traces

pytestmark = pytest.mark.live
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.0); print("connected", flush=True)
s.settimeout(float(sys.argv[3])); s.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
try: print(s.recv(100).split()[1].decode())
except TimeoutError: print("silent")
"""


@dataclass
class Bed:
    world: LiveWorld
    names: Names
    topology: Topology

    def disturb(self, verb: str, target: str, shape: Any) -> Disturbance:
        made = self.world.disturb(verb, target, shape)
        assert made.verified, made.evidence
        return made

    def undo(self, disturbance: Disturbance) -> Disturbance:
        raise AssertionError("the test undoes")

    @contextmanager
    def shaken(self, kind: str, target: str, **parameters: Any) -> Iterator[None]:
        module = load_kind(kind)
        made = module.apply(self, target, module.Parameters(**parameters))
        try:
            yield
        finally:
            undone = [self.world.undo(d) for d in made]
        assert all(d.verified for d in undone), [d.evidence for d in undone]

    def pid(self, host: str, service: str = "") -> int:
        name = self.names.container(f"{host}.{service}" if service else host)
        return int(docker("inspect", "-f", "{{.State.Pid}}", name))

    def instances(self) -> dict[str, Any]:
        assert self.world._parts and self.world._parts.fleet
        return dict(self.world._parts.fleet.instances)

    def state(self, id: str) -> str:
        """The kernel's letter for the instance's process."""
        text = Path(f"/proc/{self.pid(self.instances()[id].node, id)}/status").read_text()
        return re.search(r"^State:\t(\w)", text, re.M)[1]  # type: ignore[index]

    def health(self, id: str, patience: float = 5.0) -> list[str]:
        """What a process in the gateway's namespace gets from the instance's own port."""
        i = self.instances()[id]
        assert self.world._parts and self.world._parts.fleet
        words = [self.world._parts.fleet.addresses[i.node], str(i.port), str(patience)]
        where = ["nsenter", "-t", str(self.pid("gw1")), "-n", sys.executable, "-c", ASK]
        return subprocess.run([*where, *words], capture_output=True, text=True, timeout=30).stdout.split()

    def reaches(self, source: str, target: str) -> bool:
        assert self.world._parts and self.world._parts.fleet
        where = ["nsenter", "-t", str(self.pid(source)), "-n", "ping", "-n", "-c", "3", "-i", "0.05", "-W", "1"]
        to = self.world._parts.fleet.addresses[target]
        return " 3 received" in subprocess.run([*where, to], capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """The short scenario's edge, up and without load."""
    run_id = new_run_id()
    prepared = ready("bandwidth=[]", "faults=[]", "run.duration=60 s")
    world = LiveWorld(run_id, lambda text: None)
    try:
        world.up(bed_of(prepared, run_id, bins(), Book.of(prepared.resolved.model)))
        yield Bed(world, Names(run_id), prepared.resolved.topology)
    finally:
        world.down()
    assert traces(run_id) == []


def test_a_paused_node_keeps_its_sockets_and_goes_on(bed: Bed) -> None:
    by_node: dict[str, list[str]] = {}
    for id, i in bed.instances().items():
        by_node.setdefault(i.node, []).append(id)
    node = max(by_node, key=lambda v: len(by_node[v]))
    others = [id for v, ids in by_node.items() if v != node for id in ids]
    pids = {id: bed.pid(node, id) for id in by_node[node]}
    with bed.shaken("node_pause", node):
        assert {bed.state(id) for id in by_node[node]} == {"T"}
        assert all(bed.state(id) != "T" for id in others)
        assert bed.health(by_node[node][0], 0.5) == ["connected", "silent"], "the kernel still accepts"
    assert "T" not in {bed.state(id) for id in by_node[node]}
    assert bed.health(by_node[node][0]) == ["connected", "200"]
    assert pids == {id: bed.pid(node, id) for id in by_node[node]}, "the same processes"


def test_a_service_hangs_in_one_instance_or_all(bed: Bed) -> None:
    mine = sorted(id for id, i in bed.instances().items() if i.service == "cut")
    with bed.shaken("service_hang", "cut"):
        assert [id for id in bed.instances() if bed.state(id) == "T"] == mine[:1]
        with bed.shaken("service_hang", "cut", all=True):
            assert sorted(id for id in bed.instances() if bed.state(id) == "T") == mine
        assert bed.state(mine[0]) == "T", "the first fault holds it still"
    assert "T" not in {bed.state(id) for id in bed.instances()}


def test_a_squeezed_node_has_a_share_of_its_quota(bed: Bed) -> None:
    where = cgroups.mounts()
    path = f"{bed.names.cgroup}/n1"

    def cores() -> float:
        if cgroups.version() == 2:
            quota, period = (where[""] / path.lstrip("/") / "cpu.max").read_text().split()
        else:
            folder = where["cpu"] / path.lstrip("/")
            quota, period = ((folder / f"cpu.cfs_{x}_us").read_text() for x in ("quota", "period"))
        return int(quota) / int(period)

    before = cores()
    with bed.shaken("cpu_squeeze", "n1", keep=0.25):
        assert cores() == pytest.approx(before / 4)
    assert cores() == before


#: Takes so many MB in the cgroup whose process lists are named, as the first to be ended when there is too little.
GREEDY = """
import os, sys
for procs in sys.argv[2:]:
    open(procs, "w").write(str(os.getpid()))
open("/proc/self/oom_score_adj", "w").write("1000")
held = bytearray(int(sys.argv[1]) << 20)
for i in range(0, len(held), 4096): held[i] = 1
"""


def test_a_squeezed_node_s_memory_is_held_back(bed: Bed) -> None:
    """A stranger in the node's cgroup takes 96 MB before and afterwards; meanwhile the kernel ends it, and counts."""
    where, path = cgroups.mounts(), f"{bed.names.cgroup}/n1".lstrip("/")
    old = cgroups.version() == 1
    folder = where["memory" if old else ""] / path
    pause = docker("inspect", "-f", "{{.Id}}", bed.names.container("n1"))
    inside = folder / pause if (folder / pause).exists() else folder / f"docker-{pause}.scope"
    most = folder / ("memory.limit_in_bytes" if old else "memory.max")

    def greedy() -> int:
        words = [sys.executable, "-c", GREEDY, "96", str(inside / "cgroup.procs")]
        return subprocess.run(words, timeout=60, check=False).returncode

    def hits() -> int:
        if old:
            return int((folder / "memory.failcnt").read_text())
        return int(re.search(r"^max (\d+)", (folder / "memory.events").read_text(), re.M)[1])  # type: ignore[index]

    here = {id: bed.pid("n1", id) for id, i in bed.instances().items() if i.node == "n1"}
    before, counted = most.read_text(), hits()
    assert greedy() == 0 and hits() == counted
    with bed.shaken("memory_squeeze", "n1", keep=0.001):
        assert int(most.read_text()) < 200e6 < int(before)
        assert greedy() == -9 and hits() > counted
        assert here == {id: bed.pid("n1", id) for id in here} and all(bed.health(id)[1:] == ["200"] for id in here)
        with bed.shaken("cpu_squeeze", "n1", keep=0.5):
            assert int(most.read_text()) < 200e6, "one squeeze does not undo the other"
    assert most.read_text() == before and greedy() == 0


def test_docker_fails_for_a_while(bed: Bed) -> None:
    """A start meanwhile comes to nothing and leaves no container; afterwards it works. By `docker ps`."""

    def there(id: str) -> str:
        return docker("ps", "-a", "--filter", f"name=^{bed.names.container(f'n2.{id}')}$", "--format", "{{.State}}")

    def outcome(kind: str, id: str) -> bool:
        return any(e.kind == kind and id in str(e.data) for e in bed.world.events())

    with bed.shaken("docker_failing", "control", share=1):
        bed.world.apply(Decision(0, (Start("cut-x", "cut", "n2", 1),), ("asked to",)))
        until(lambda: outcome("action_failed", "cut-x"), "given up")
        assert there("cut-x") == "" and "cut-x" not in bed.instances()
    bed.world.apply(Decision(0, (Start("cut-y", "cut", "n2", 1),), ("asked to",)))
    until(lambda: outcome("started", "cut-y"), "Docker works again")
    assert there("cut-y") == "running"
    with bed.shaken("docker_failing", "control", share=0.6):
        bed.world.apply(Decision(0, (Drain("cut-y"),), ("asked to",)))
        until(
            lambda: (
                "cut-y" not in bed.instances() and (there("cut-y") != "running" or outcome("action_failed", "cut-y"))
            ),
            "stopped, or after all its tries given up, which is said",
        )


def test_a_slow_controller_leads_round_later(bed: Bed) -> None:
    late = bed.world.bed.scenario.run.detection + 0.4  # by then it would have led round
    with bed.shaken("controller_slow", "control", delay="2 s"):
        begin = time.monotonic()
        cut = bed.disturb("link_state", "s1--s2", {"up": False})
        try:
            time.sleep(late)
            assert not bed.reaches("n1", "n3"), "not yet"
            until(lambda: bed.reaches("n1", "n3"), "the way round by s3")
            assert time.monotonic() - begin > 2.0
        finally:
            assert bed.world.undo(cut).verified
    until(lambda: bed.reaches("n1", "n3"), "the link again")
    cut = bed.disturb("link_state", "s1--s2", {"up": False})
    try:
        time.sleep(late)
        assert bed.reaches("n1", "n3"), "as quick as before"
    finally:
        assert bed.world.undo(cut).verified
    until(lambda: bed.reaches("n1", "n3"), "and again")


def test_a_node_restarts_with_its_services(bed: Bed) -> None:
    """By `docker inspect` and from a neighbour: dead while it is away, then the same services as new processes."""
    nodes = [i.node for i in bed.instances().values() if i.service in ("cut", "hear", "see")]
    node = max(sorted(nodes), key=nodes.count)
    had = {id: i.service for id, i in bed.instances().items() if i.node == node}
    running = "{{.State.Running}}"
    with bed.shaken("node_restart", node):
        assert {docker("inspect", "-f", running, bed.names.container(f"{node}.{id}")) for id in had} == {"false"}
        assert not bed.reaches("gw1", node)

    def back() -> dict[str, str]:
        bed.world._look()
        return {id: i.service for id, i in bed.instances().items() if id.endswith(".r1") and i.state == "ready"}

    until(lambda: sorted(back().values()) == sorted(had.values()), "its services are ready again")
    assert had and {id.removesuffix(".r1") for id in back()} == set(had)
    for id in back():
        assert docker("inspect", "-f", running, bed.names.container(f"{node}.{id}")) == "true"
        until(lambda id=id: bed.health(id) == ["connected", "200"], "answers")
    bed.world.events()


def test_docker_is_slow_for_a_while(bed: Bed) -> None:
    assert bed.world._parts and bed.world._parts.hosts
    api = bed.world._parts.hosts.api

    def takes() -> float:
        begin = time.monotonic()
        api.ping()
        return time.monotonic() - begin

    with bed.shaken("docker_slow", "control", delay="0.7 s"):
        assert takes() >= 0.7
    assert takes() < 0.7


def test_without_its_controller_a_cut_is_not_led_round(bed: Bed) -> None:
    assert bed.world._parts and bed.world._parts.control
    before = bed.world._parts.control.pid
    with bed.shaken("controller_lost", "control"):
        assert before is not None and not Path(f"/proc/{before}").exists()
        assert bed.reaches("n1", "n3"), "flows stay"
        cut = bed.disturb("link_state", "s1--s2", {"up": False})
        try:
            time.sleep(3 * bed.world.bed.scenario.run.detection)  # it would have been led round by now
            assert not bed.reaches("n1", "n3")
        finally:
            controlled = bed.world._parts.control
            assert not controlled.alive
    try:
        until(lambda: bed.reaches("n1", "n3"), "the way round by s3")
        bridges = [b.name for b in bed.world._network.bridges]

        def connected() -> int:
            words = ["ovs-vsctl", "--columns=is_connected,target", "list", "controller"]
            blocks = subprocess.check_output(words, text=True).split("\n\n")
            return sum(f":{controlled.port}" in block and "true" in block for block in blocks)

        until(lambda: connected() == len(bridges), "Open vSwitch says so, every five seconds")
    finally:
        assert bed.world.undo(cut).verified
    until(lambda: bed.reaches("n1", "n3"), "the link again")


def test_a_killed_instance_is_gone_and_known(bed: Bed) -> None:
    victim = sorted(id for id, i in bed.instances().items() if i.service == "hear")[0]
    node = bed.instances()[victim].node
    with bed.shaken("service_kill", "hear"):
        name = bed.names.container(f"{node}.{victim}")
        until(lambda: docker("inspect", "-f", "{{.State.ExitCode}} {{.State.Running}}", name) == "137 false", "dead")
    until(lambda: bed.world._look() or victim not in bed.instances(), "the run knows")
    assert victim not in bed.instances()
    assert not [e for e in bed.world.events() if e.kind == "invalid"], "nobody is surprised"


def test_slow_failing_killed_and_unheard_under_load(tmp_path: Path) -> None:
    """A run of eleven seconds: the stubs' own times against the draws, which requests failed against the rule."""
    faults = [
        "{name: slow, kind: slow_service, target: hear, at: 2 s, for: 2 s, with: {factor: 4}}",
        "{name: wrong, kind: service_errors, target: cut, at: 2 s, for: 2 s, with: {share: 0.4}}",
        "{name: deaf, kind: stale_view, target: control, at: 5 s, for: 1.5 s}",
        "{name: killed, kind: service_kill, target: cut, at: 8 s, for: 500 ms}",
    ]
    prepared = ready("bandwidth=[]", f"faults=[{', '.join(faults)}]", "run.duration=10 s", "run.early_drop=false")
    batch = prepared.source().until(11.0)
    run = Run(prepared, tmp_path)
    summary = run()
    assert all(f["verified"] for f in summary["faults"]), summary["faults"]
    applied = {f["name"]: (f["applied_at_s"], f["reverted_at_s"]) for f in summary["faults"]}
    place = [s.name for s in prepared.resolved.model.tasks[0].stages].index("hear")
    speed = {v.name: v.speed for v in prepared.resolved.model.nodes}
    rows = ask(tmp_path, "select task, stage, node, attempt, arrived_s, started_s, finished_s, outcome from stages")
    factors: dict[bool, list[float]] = {True: [], False: []}
    for task, stage, node, _, _, started, finished, outcome in rows:
        inside = started is not None and applied["slow"][0] + 0.1 < started < applied["slow"][1] - 0.1
        outside = started is not None and (started < applied["slow"][0] or started > applied["slow"][1] + 0.1)
        if stage == "hear" and outcome == "done" and (inside or outside):
            nominal = float(batch.work[int(task) - 1, place]) / speed[node]
            if nominal > 0.004:
                factors[inside].append((finished - started) / nominal)
    median = {k: sorted(v)[len(v) // 2] for k, v in factors.items()}
    assert 3.8 < median[True] < 5.5 and 0.95 < median[False] < 1.6, median
    a, b = applied["wrong"]
    seen = {(t, n): o for t, s, _, n, at, _, _, o in rows if s == "cut" and a + 0.1 < at < b - 0.1}
    assert len(seen) > 20
    assert {k for k, o in seen.items() if o == "dropped"} == {k for k in seen if fails(0.4, prepared.seed, *k)}
    late = [o for t, s, _, n, at, _, _, o in rows if s == "cut" and at > b + 0.1]
    assert late and "dropped" not in late
    a, b = applied["deaf"]
    heard = {e["actual_s"]: sum(e["arrivals"].values()) for e in run.events("slot")}
    assert sum(n for t, n in heard.items() if a + 0.65 < t < b - 0.05) == 0, heard
    assert sum(n for t, n in heard.items() if t > b + 0.3) > 20, heard
    assert run.events("instance_died") and summary["recovery"]["killed"]["detect_s"] < 0.5
    assert summary["recovery"]["killed"]["first_on_time_s"] is not None
    assert not [w for w in summary["invalid_because"] if "died" in w]
