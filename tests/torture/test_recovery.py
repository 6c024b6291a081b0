"""What a run stands on stumbles and comes back: the run goes on and says for how long it was blind, or ends unknown."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.record.folder import read_rows
from testbed.world.live.openflow import HUNG_S
from tests.live_run.kit import ROOT, Command, docker, events, until
from tests.torture.kit import left, pid_of, tiny
from tests.torture.test_parts import LONGER, doubts, summary_of, under_load
from tests.world.live.hosts_kit import image

OVS_CTL = Path("/usr/share/openvswitch/scripts/ovs-ctl")
STARTED = Path("/run/shaketable-daemons/openvswitch")  # the script has started it and will stop it
BLIND = "the link relay stood still for"


def starve(run: Command, part: str, seconds: float) -> None:
    """Stop a process for some seconds, as a machine without a moment to spare would."""
    pid = pid_of(part, run)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def ended(run: Command, *codes: int) -> dict[str, Any]:
    """The summary of a run that ended by itself, with nothing left and no traceback."""
    assert run.end() in codes, run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert left(run) == []
    return summary_of(run.folder)


@pytest.mark.live
def test_a_starved_os_ken_holds_nobody_up(tmp_path: Path) -> None:
    """Slots go on meanwhile, and the records say for how long the flows were not looked at."""
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        before = len(events(run.folder, "slot"))
        starve(run, "os-ken", 3.0)
        assert len(events(run.folder, "slot")) >= before + 6, "of the twelve that fit in"
        summary = ended(run, 0, 3)
        assert doubts(summary) == [] and events(run.folder, "network_control_hung") == []
        over = events(run.folder, "blind_over")
        assert [e["what"] for e in events(run.folder, "blind")] == [e["what"] for e in over] == ["flows"]
        assert 2.0 < over[0]["for_s"] < 4.0


@pytest.mark.live
@pytest.mark.long
def test_an_os_ken_that_hangs_for_good_is_replaced(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", "--set", "run.duration=20 s", "--set", "faults=[]") as run:
        under_load(run)
        old = pid_of("os-ken", run)
        assert old is not None
        os.kill(old, signal.SIGSTOP)
        until(lambda: pid_of("os-ken", run) not in (None, old), "another one", HUNG_S + 10.0)
        assert doubts(ended(run, 0, 3)) == []
        assert len(events(run.folder, "network_control_hung")) == 1


@pytest.mark.live
def test_a_starved_relay_makes_a_run_unknown_and_nobody_hang(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        starve(run, "relay", 2.0)
        summary = ended(run, 3)
        because = [why for why in summary["invalid_because"] if why.startswith(BLIND)]
        assert because and 1.5 < float(because[0].removeprefix(BLIND).split()[0]) < 4.0
        assert summary["verdict"] == "unknown" and summary["tasks"]["on_time"] > 0


@pytest.mark.live
@pytest.mark.long
def test_a_relay_that_hangs_for_good_ends_the_run(tmp_path: Path) -> None:
    """Ten seconds it has for an answer. Then the run breaks off, and it is killed."""
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        pid = pid_of("relay", run)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        summary = ended(run, 3)
        assert any("it broke off: the link relay" in why for why in summary["invalid_because"])
        assert summary["verdict"] == "unknown"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 64 kB, for a run's results."""
    folder = tmp_path / "run"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.live
@pytest.mark.parametrize("when", ["under load", "at the end"])
def test_a_full_disk_ends_the_run_with_one_line_and_everything_removed(small: Path, when: str) -> None:
    """Somebody fills it; or the lines of all slots fit, and what is written in the end does not."""
    with tiny(small, *LONGER[:2]) as run:
        under_load(run)
        if when == "under load":
            with (small / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(512))
        assert run.end() == 4, run.log.read_text()
        log = run.log.read_text()
        assert "the records can't be written (No space left on device), so this run has none" in log.replace("\n", " ")
        assert "Traceback" not in log and left(run) == []
        assert not (small / "complete").exists()


@pytest.mark.live
def test_an_image_whose_name_goes_is_used_all_the_same(tmp_path: Path) -> None:
    """The service is killed after the name has gone: its successor comes from the same image."""
    name = "shaketable-test:going"
    docker("tag", image(), name)
    fault = "{name: dead, kind: service_kill, target: see, at: 3 s, for: 1 s}"
    words = ("--set", "run.duration=6 s", "--set", f"faults=[{fault}]")
    try:
        with tiny(tmp_path / "run", *words, SHAKETABLE_IMAGE=name) as run:
            under_load(run, 1)
            docker("rmi", name)
            assert doubts(ended(run, 0, 3)) == []
            assert events(run.folder, "instance_died") and events(run.folder, "started")
            assert events(run.folder, "action_failed") == []
    finally:
        subprocess.run(["docker", "rmi", name], capture_output=True, check=False)


@pytest.mark.live
def test_an_image_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", SHAKETABLE_IMAGE="shaketable-test:nowhere") as run:
        assert run.end() == 4
        log = run.log.read_text()
        assert "which Docker does not have" in log and "Traceback" not in log
        assert not run.folder.exists()


@pytest.mark.live
@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.long)])
def test_a_stepped_wall_clock_is_nothing_to_a_run(tmp_path: Path, hours: int) -> None:
    """Every Python process of the run is told another wall-clock time from its second second on."""
    inject = tmp_path / "inject"
    inject.mkdir()
    shutil.copy(Path(__file__).with_name("step.py"), inject / "sitecustomize.py")
    step = {"SHAKETABLE_TEST_STEP_AT": "2", "SHAKETABLE_TEST_STEP": str(3600 * hours), "PYTHONPATH": str(inject)}
    with tiny(tmp_path / "run", **step) as run:
        summary = ended(run, 0, 3)
        assert doubts(summary) == []
        assert 3.4 < max(e["actual_s"] for e in events(run.folder, "slot")) < 4.0
        assert summary["tasks"]["on_time"] > 0.9 * summary["tasks"]["offered"]


#: Where a wall clock may be asked, and what for: names of runs and folders, a column of a user's file that holds dates,
#: the difference to the monotonic clock, measured beside two kernels' clocks.
WALL = {
    "testbed/run/execute.py", "testbed/cli/falsify.py", "testbed/cli/doctor_links.py", "testbed/vm/remote.py",
    "testbed/vm/trial.py", "testbed/load/trace.py", "testbed/world/live/links/instrument.py",
}  # fmt: skip
ASKS = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "datetime.now", "datetime.today",
        "datetime.utcnow", "date.today"}  # fmt: skip


def asks_the_wall_clock(text: str) -> bool:
    calls = {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    calls |= {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    return any(call == ask or call.endswith("." + ask) for call in calls for ask in ASKS)


def test_no_other_module_asks_for_the_wall_clock() -> None:
    assert asks_the_wall_clock("from time import time\ntime()") and asks_the_wall_clock(
        "import time as t, time\ntime.time()"
    )
    assert not asks_the_wall_clock("import time\ntime.monotonic()")
    files = [f for package in ("testbed", "controller", "containers") for f in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = {str(f.relative_to(ROOT)) for f in files if asks_the_wall_clock(f.read_text())}
    assert found <= WALL, found - WALL


def open_vswitch(verb: str) -> None:
    """Start or stop both daemons, as this machine does it; the script knows how without the kernel's module."""
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", verb, "openvswitch-switch"], check=True, capture_output=True, timeout=60)
    elif verb == "start":
        theirs = not STARTED.exists()
        subprocess.run([ROOT / "shaketable", "setup"], check=True, capture_output=True, timeout=60)
        if theirs:
            STARTED.unlink(missing_ok=True)
    elif OVS_CTL.exists():
        subprocess.run([OVS_CTL, verb], check=True, capture_output=True, timeout=60)
    else:
        pytest.skip("capability: neither systemd nor ovs-ctl to start Open vSwitch with")


@pytest.mark.live
def test_open_vswitch_started_anew_in_the_middle(tmp_path: Path) -> None:
    """Its flows are gone and written again, tasks come home again, and the run says what it did not see: unknown."""
    with tiny(tmp_path / "run", "--set", "run.duration=10 s", "--set", "faults=[]") as run:
        under_load(run)
        try:
            open_vswitch("stop")
            time.sleep(1.0)
        finally:
            open_vswitch("start")
        summary = ended(run, 3)
        assert any("Open vSwitch: its database" in why for why in summary["invalid_because"])
        assert summary["verdict"] == "unknown"
        back = [e for e in events(run.folder, "blind_over") if e["what"] == "Open vSwitch"]
        assert len(back) == 1 and back[0]["for_s"] < 6.0
        over = [e["actual_s"] for e in events(run.folder, "drift_over") if e["what"] == "its database"]
        assert over, "it answers again"
        last = events(run.folder, "slot")[-1]
        assert last["actual_s"] > over[0]
        assert "network_failed" not in {e["kind"] for e in events(run.folder)}
        late = [row for row in read_rows(run.folder)[0] if row[3] > over[0] + 2.0]
        assert late and sum(row[5] == "on_time" for row in late) > 0.8 * len(late), "the network carries again"
