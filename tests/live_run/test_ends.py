"""Runs that are ended from outside, in the middle of their load: nothing of theirs stays on the machine."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.world.live.names import Names
from tests.live_run.kit import command, events, until
from tests.world.live.hosts_kit import traces

pytestmark = pytest.mark.live
FILES = {
    "summary.json", "metadata.json", "events.jsonl", "observations.jsonl", "tasks.sqlite", "report.html", "complete",
}  # fmt: skip


def test_sigkill_in_the_middle_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No container, interface, bridge, cgroup, process or folder; and `clean` finds nothing to do."""
    with command(tmp_path / "run") as run:
        run.in_the_middle()
        before = traces(run.run_id)
        for kind in ("container", "interface", "bridge", "cgroup", "process"):
            assert any(t.startswith(kind) for t in before), f"there was a {kind} to be removed"
        run.process.kill()
        assert run.end() == -signal.SIGKILL
        run.nothing_left(30.0)
        assert not Path(Names(run.run_id).folder).exists()
        assert main(["clean", "--run", run.run_id]) == 0
        said = capsys.readouterr()
        assert said.out == "" and "nothing of it is here" in said.err
        assert not (run.folder / "complete").exists(), "half a run is not taken for one"
        assert main(["report", str(run.folder)]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_early_with_its_records(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C to the whole group of the terminal, or SIGTERM to the process alone, while a trunk is cut."""
    with command(tmp_path / "run") as run:
        until(lambda: [e for e in events(run.folder, "fault_applied") if e["fault"] == "cut_trunk"], "the cut", 60.0)
        run.interrupt() if number == signal.SIGINT else run.process.send_signal(number)
        assert run.end() == 130, run.log.read_text()
        assert traces(run.run_id) == []
        log = run.log.read_text()
        assert f"{number.name}: reverting and removing (again to force)" in log
        assert "Traceback" not in log and "could not remove" not in log

        assert {f.name for f in run.folder.iterdir()} == FILES
        summary = json.loads((run.folder / "summary.json").read_text())
        assert not summary["valid"] and "interrupted before its end" in summary["invalid_because"]
        assert summary["verdict"] == "unknown"
        faults = {f["name"]: f for f in summary["faults"]}
        assert faults["cut_trunk"]["reverted_at_s"] is not None and faults["cut_trunk"]["verified"]
        t = summary["tasks"]
        assert t["offered"] == t["on_time"] + t["late"] + t["lost"] > 0 and t["on_time"] > 0
        with sqlite3.connect(run.folder / "tasks.sqlite") as base:
            assert base.execute("select count(*) from tasks where outcome = 'on_time'").fetchone()[0] > 0


def test_a_second_interrupt_forces_and_the_reaper_removes(tmp_path: Path) -> None:
    with command(tmp_path / "run") as run:
        run.in_the_middle()
        run.interrupt()
        until(lambda: "reverting and removing" in run.log.read_text(), "the first one was heard")
        run.interrupt()
        assert run.end(10.0) == 130
        run.nothing_left(30.0)


def test_an_interrupt_while_it_comes_up(tmp_path: Path) -> None:
    """Nothing was measured, and that is what the records say."""
    with command(tmp_path / "run") as run:
        until(lambda: any(t.startswith("container") for t in traces(run.run_id)), "the first container")
        assert events(run.folder, "origin") == []
        run.interrupt()
        assert run.end() == 130, run.log.read_text()
        run.nothing_left(5.0)
        assert "Traceback" not in run.log.read_text(), run.log.read_text()
        summary = json.loads((run.folder / "summary.json").read_text())
        assert not summary["valid"] and summary["tasks"]["offered"] == 0
