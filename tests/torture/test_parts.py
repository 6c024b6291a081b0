"""Each part of a run dies alone, or what it stands on goes away: the run notices, says so and leaves nothing."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import CannotRun
from testbed.world.live import clean as cleaning
from testbed.world.live.names import Names
from tests.live_run.kit import ROOT, Command, docker, events, until
from tests.torture.kit import SCENARIO, gone, left, pid_of, tiny

pytestmark = pytest.mark.live
LONGER = ("--set", "run.duration=6 s", "--set", "faults=[]")
SLOT_S = 0.25


def under_load(run: Command, slots: int = 3) -> None:
    until(lambda: len(events(run.folder, "slot")) >= slots or run.process.poll() is not None, "load", 60.0)
    assert run.process.poll() is None, run.log.read_text()


def kill(run: Command, part: str) -> int:
    pid = pid_of(part, run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def summary_of(folder: Path) -> dict[str, Any]:
    assert (folder / "complete").exists()
    return dict(json.loads((folder / "summary.json").read_text()))


def doubts(summary: dict[str, Any]) -> list[str]:
    """Why it is not valid, but for what other work on the machine does to any run."""
    busy = ("overloaded", "late", "Mbit/s measured", "the controller needed")
    return [why for why in summary["invalid_because"] if not any(words in why for words in busy)]


def test_without_its_relay_a_run_breaks_off_as_unknown(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run, 6)
        pid, at = kill(run, "relay"), len(events(run.folder, "slot"))
        assert run.end() == 3, run.log.read_text()
        assert left(run) == []
        summary = summary_of(run.folder)
        because = [why for why in summary["invalid_because"] if why.startswith("it broke off")]
        assert f"the link relay (process {pid})" in because[0]
        assert summary["verdict"] == "unknown" and summary["tasks"]["offered"] > 0
        assert len(events(run.folder, "slot")) <= at + 2, "noticed within two slots"
        assert "Traceback" not in run.log.read_text()


def test_os_ken_is_started_anew_and_the_run_goes_on(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        old = kill(run, "os-ken")
        until(lambda: pid_of("os-ken", run) not in (None, old), "another one")
        assert run.end() in (0, 3), run.log.read_text()
        assert left(run) == [] and len(events(run.folder, "network_control_lost")) == 1
        assert events(run.folder, "network_failed") == []
        summary = summary_of(run.folder)  # a busy machine may make it late; nothing else is the matter
        assert doubts(summary) == []
        assert summary["tasks"]["on_time"] > 0


def test_a_killed_reaper_has_a_successor_that_does_its_work(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        for _ in range(2):
            old = kill(run, "reaper")
            until(lambda old=old: pid_of("reaper", run) not in (None, old), "another one")  # type: ignore[misc]
        until(lambda: run.log.read_text().count("the reaper ended by itself (-9): another watches now") == 2, "said")
        run.process.kill()
        run.end()
        assert gone(lambda: left(run) == [], 10.0), left(run)


def test_a_reaper_that_can_not_stay_alive_ends_the_run(tmp_path: Path) -> None:
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        while run.process.poll() is None:
            if (pid := pid_of("reaper", run)) is not None:
                with suppress(ProcessLookupError):  # the last blow's victim may still have had its entry in /proc
                    os.kill(pid, signal.SIGKILL)
            if "breaks off" in run.log.read_text():
                break
        assert run.end() == 3, run.log.read_text()
        assert left(run) == [] and "the reaper died 5 times" in str(summary_of(run.folder)["invalid_because"])


def test_a_closed_terminal_ends_the_run_with_its_records(tmp_path: Path) -> None:
    """The run leads the session of a pseudo-terminal, whose other end closes under load."""
    folder = tmp_path / "run"
    words = [sys.executable, "-m", "testbed.cli", "run", str(SCENARIO), "--out", str(folder), *LONGER]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, words)
    until(lambda: len(events(folder, "slot")) >= 3, "load", 60.0)
    run_id = str(events(folder, "prepared")[0]["run_id"])
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert not Path(Names(run_id).folder).exists()
    summary = summary_of(folder)
    assert doubts(summary) == ["interrupted before its end"] and summary["tasks"]["on_time"] > 0


@pytest.mark.parametrize("when", ["up", "run"])
def test_a_ledger_that_can_not_be_written_ends_the_run(tmp_path: Path, when: str) -> None:
    """The run's files may grow no more: nothing new can be promised, so nothing new is made."""
    with tiny(tmp_path / "run", *LONGER) as run:
        book = Path(Names(run.run_id).folder) / "ledger.jsonl"
        if when == "run":
            under_load(run)
        until(book.exists, "the ledger")
        size = book.stat().st_size
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (size, size))
        code = run.end()
        assert code == 4, run.log.read_text()
        assert gone(lambda: left(run) == [], 10.0), left(run)
        assert not (run.folder / "complete").exists()


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with tiny(tmp_path / "one", *LONGER) as one, tiny(tmp_path / "other") as other:
        under_load(one)
        words = [sys.executable, "-m", "testbed.cli", "clean", "--run", one.run_id]
        said = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True).stdout
        assert f"run {one.run_id}: process {one.process.pid} is alive, left alone" in said
        other.process.kill()
        other.end()
        assert gone(lambda: left(other) == [], 10.0), left(other)
        assert one.end() in (0, 3), one.log.read_text()
        summary = summary_of(one.folder)  # two runs are load for each other: late, perhaps, but whole
        assert doubts(summary) == []
        assert left(one) == []


def test_while_docker_is_away_the_reaper_waits_and_clean_comes_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our way to the daemon is a link to its socket, which goes away and comes back: others keep theirs."""
    door = tmp_path / "docker.sock"
    real = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    door.symlink_to(real)
    monkeypatch.setattr(cleaning, "STUCK_S", 1.0)
    with tiny(tmp_path / "run", *LONGER, DOCKER_HOST=f"unix://{door}") as run:
        under_load(run)
        door.unlink()
        run.process.kill()
        run.end()
        log = Path(Names(run.run_id).folder) / "reaper.log"
        until(lambda: "waiting, 5" in log.read_text(), "the reaper says what it waits for")
        assert "Docker does not answer" in log.read_text()
        # the cgroups hold the containers' processes; all else is gone already
        assert {t.partition(" ")[0] for t in left(run) if "reaper" not in t} == {"container", "cgroup", str(log.parent)}

        kill(run, "reaper")
        with monkeypatch.context() as ours:
            ours.setenv("DOCKER_HOST", f"unix://{door}")
            unseen = f"container {Names(run.run_id).container('n1')} (if it is there)"
            assert f"run {run.run_id}: would remove {unseen}" in cleaning.clean(run.run_id, plan=True)
            with pytest.raises(CannotRun, match="Docker does not answer: start it"):
                cleaning.clean(run.run_id)
        assert docker("ps", "-q", "--filter", f"label=shaketable.run={run.run_id}")

        door.symlink_to(real)
        assert f"run {run.run_id}: folder {log.parent}" in cleaning.clean(run.run_id)
        assert left(run) == [] and cleaning.clean(run.run_id) == []


def test_docker_back_in_time_the_reaper_finishes(tmp_path: Path) -> None:
    door = tmp_path / "docker.sock"
    real = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    door.symlink_to(real)
    with tiny(tmp_path / "run", *LONGER, DOCKER_HOST=f"unix://{door}") as run:
        under_load(run)
        door.unlink()
        run.process.kill()
        run.end()
        time.sleep(2.0)
        assert any(t.startswith("container") for t in left(run))
        door.symlink_to(real)
        assert gone(lambda: left(run) == [], 10.0), left(run)
