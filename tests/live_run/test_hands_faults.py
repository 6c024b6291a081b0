"""Faults of load and nodes by hand on one testbed, by kernel counters; and a testbed that is ended while one is on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import api
from testbed.record.folder import read
from testbed.world.live.names import Names
from tests.live_run.kit import ROOT, SCENARIO, docker, events, until
from tests.live_run.test_hands_on import command, ports
from tests.world.live.hosts_kit import traces

pytestmark = pytest.mark.live
CALM = ("--set", "faults=[]", "--set", "bandwidth=[]", "--set", "arrivals.rate=16 /s", "--for", "5 min")


@dataclass
class Held:
    bed: api.Bed
    run: str

    def pid(self, host: str) -> int:
        return int(docker("inspect", "-f", "{{.State.Pid}}", Names(self.run).container(host)))

    def sent(self, gateway: str) -> int:
        """Bytes the gateway's own interface has sent, by its kernel."""
        lines = Path(f"/proc/{self.pid(gateway)}/net/dev").read_text().splitlines()[2:]
        return sum(int(line.split(":")[1].split()[8]) for line in lines if not line.strip().startswith("lo:"))

    def rates(self, seconds: float) -> dict[str, float]:
        """bytes/s of both gateways."""
        begin, before = time.monotonic(), {g: self.sent(g) for g in ("gw1", "gw2")}
        time.sleep(seconds)
        took = time.monotonic() - begin
        return {g: (self.sent(g) - before[g]) / took for g in before}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("held") / "run"
    begun = command("up", str(SCENARIO), *CALM, "--detach", "--out", str(folder))
    assert begun.returncode == 0, begun.stderr
    run = re.findall(r"run (\S+), process", begun.stdout)[0]
    try:
        held = Held(api.Bed.attach(run), run)
        held.bed.wait_for(lambda s: s["t_s"] > 1.0)
        yield held
    finally:
        command("down", "--run", run)
    until(lambda: traces(run) == [], "nothing left")
    summary = read(folder)[0]
    assert all(f["verified"] for f in summary["faults"]), [f for f in summary["faults"] if not f["verified"]]


@pytest.mark.parametrize(
    ("kind", "words", "least"),
    [
        ("load_spike", ["factor=6"], 2.0),
        ("load_ramp", ["to=20"], 1.5),  # 3 and more, some seconds after its beginning
        ("burst_train", ["factor=10", "period=1 s", "duty=0.5"], 2.0),  # 5.5 on the mean
        ("load_trace", ["factors=[4, 8]", "step=500 ms"], 2.0),
    ],
)
def test_a_load_by_hand(held: Held, kind: str, words: list[str], least: float) -> None:
    """What gw1's interface sends while it is on, against gw2's, and that it is over once healed."""
    done = command("inject", kind, "gw1", *words, "--for", "25 s", "--name", kind, "--run", held.run)
    assert done.returncode == 0, done.stderr
    held.bed.wait_for(lambda s: any(f["name"] == kind and f["state"] == "in_force" for f in s["faults"]), 10)
    seen = held.rates(3.0)
    assert seen["gw1"] > least * seen["gw2"], seen
    assert command("heal", kind, "--run", held.run).returncode == 0
    assert held.bed.status()["faults"] == []
    until(lambda: held.rates(1.5)["gw1"] < 0.6 * seen["gw1"], "what was handed out before is over", 12.0)


def test_a_crowd_walks_from_one_gateway_to_the_other(held: Held) -> None:
    with held.bed.inject("flash_crowd", "gw1", "5 s", "crowd", factor=6, on=["gw2"]):
        held.bed.wait_for(lambda s: any(f["name"] == "crowd" and f["state"] == "in_force" for f in s["faults"]), 10)
        first = held.rates(1.5)
        time.sleep(1.3)
        then = held.rates(1.5)
    assert first["gw1"] > 2 * first["gw2"] and then["gw2"] > 2 * then["gw1"], (first, then)


def test_a_link_flaps(held: Held) -> None:
    """Down and up, twice, by the kernel's word on both ends."""
    trunk = [k["name"] for k in held.bed.status()["links"]].index("s1--s3")
    seen: list[bool] = []
    held.bed.inject("link_flap", "s1--s3", "3 s", "flap", period="1500 ms", duty=0.5)
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        down = "down" in ports(held.run, trunk)
        if not seen or seen[-1] != down:
            seen.append(down)
        time.sleep(0.05)
    assert seen in ([True, False, True, False], [False, True, False, True, False])


def test_a_node_crash_by_hand_and_its_return(held: Held) -> None:
    """By `docker ps`: its services are gone while its pause runs; healed, the policy uses the node again."""
    names = Names(held.run)

    def serving(node: str) -> set[str]:
        words = ["--filter", f"name=^{names.container(node)}[.]", "--format", "{{.Names}}"]
        return set(docker("ps", *words).split())

    node = max(held.bed.status()["nodes"], key=lambda v: len(serving(v)))
    before = serving(node)
    done = command("inject", "node_crash", node, "--for", "60 s", "--name", "gone", "--run", held.run)
    assert done.returncode == 0 and "verified" in done.stdout, done.stderr
    assert before and serving(node) == set()
    assert docker("inspect", "-f", "{{.State.Running}}", names.container(node)) == "true"
    held.bed.wait_for(lambda s: not any(i["node"] == node for i in s["instances"]))
    assert any(i["service"] == "see" and i["node"] != node for i in held.bed.status()["instances"]), "diversity"
    assert command("heal", "gone", "--run", held.run).returncode == 0
    held.bed.wait_for(lambda s: s["faults"] == [])
    others = [v for v in held.bed.status()["nodes"] if v != node]
    for other in others:
        held.bed.inject("node_crash", other, "60 s", f"gone_{other}")
    until(lambda: serving(node), "the node is used again", 20.0)
    held.bed.heal()


def begun(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`up` in a session of its own, with a cut and a squeeze in force; its process and run."""
    log = folder.with_suffix(".log")
    words = [sys.executable, "-m", "testbed.cli", "up", str(SCENARIO), *CALM, "--out", str(folder)]
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, cwd=ROOT, start_new_session=True)
    run = str(until(lambda: events(folder, "prepared"), "it begins")[0]["run_id"])
    until(lambda: events(folder, "origin") or process.poll() is not None, "it is up", 60.0)
    bed = api.Bed.attach(run)
    bed.inject("link_down", "s1--s2", "60 s", "cut")
    bed.inject("memory_squeeze", "n1", "60 s", "tight", keep=0.001)
    bed.inject("load_spike", "gw1", "60 s", "crowd", factor=2)
    return process, run


def test_killed_while_faults_are_on(tmp_path: Path) -> None:
    """SIGKILL: the reaper removes what was cut and squeezed, and says so in the records once all is gone."""
    process, run = begun(tmp_path / "run")
    process.kill()
    assert process.wait(20) == -signal.SIGKILL
    until(lambda: traces(run) == [] and not Path(Names(run).folder).exists(), "the reaper is done", 60.0)
    applied = {e["fault"] for e in events(tmp_path / "run", "fault_applied")}
    assert {"cut", "tight"} <= applied
    reverted = events(tmp_path / "run", "fault_reverted")
    assert [e["fault"] for e in reverted] == [e["fault"] for e in reversed(events(tmp_path / "run", "fault_applied"))]
    assert {e["fault"]: e["verified"] for e in reverted} == {"cut": True, "tight": True} | dict.fromkeys(
        applied - {"cut", "tight"}, False
    ), "nobody counted what a load fault offered"
    last = max(e["actual_s"] for e in events(tmp_path / "run") if "by" not in e and e["actual_s"] is not None)
    assert all(last < e["actual_s"] < last + 60.0 and e["by"] == "the reaper" for e in reverted)
    assert not (tmp_path / "run" / "complete").exists(), "half a run is not taken for one"


def test_sigterm_while_faults_are_on(tmp_path: Path) -> None:
    process, run = begun(tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert traces(run) == []
    summary = read(tmp_path / "run")[0]
    found = {f["name"]: f for f in summary["faults"]}
    assert all(found[name]["verified"] and found[name]["reverted_at_s"] is not None for name in ("cut", "tight"))
    assert summary["verdict"] == "unknown" and not summary["valid"]


def test_a_second_interrupt_forces_while_faults_are_on(tmp_path: Path) -> None:
    process, run = begun(tmp_path / "run")
    log = tmp_path / "run.log"
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: "reverting and removing" in log.read_text(), "the first one was heard")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    until(lambda: traces(run) == [], "the reaper removes", 60.0)
