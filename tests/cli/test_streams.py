"""stdout holds the result and nothing else; what goes on is told on stderr; every `--json` is one JSON value."""

from __future__ import annotations

import json
import re
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.cli import progress
from testbed.cli.hands import going, last_told
from testbed.cli.parser import parser
from testbed.cli.progress import Progress
from testbed.dashboard import step
from testbed.dashboard.table import Dashboard
from testbed.world.live.ledger import Ledger
from tests.cli.kit import ROOT, Command
from tests.run.test_twin_run import SETS
from tests.scenario.small import GOOD, written


@pytest.fixture
def finished(testbed: Command) -> Path:
    """A run in the twin."""
    assert testbed("run", written(testbed.folder), "--in", "twin", *SETS, "--observations", "--out", "run") == 0
    return testbed.folder / "run"


def asked(testbed: Command, *words: str | Path, code: int = 0) -> Any:
    assert testbed(*words, "--json") == code
    return json.loads(testbed.out)


def test_a_run_says_its_result_on_stdout_and_its_way_on_stderr(testbed: Command) -> None:
    path = written(testbed.folder)
    assert testbed("run", path, "--in", "twin", *SETS, "--out", "a") == 0
    assert testbed.out.startswith("small · twin · policy two_tier") and "verdict     PASS" in testbed.out
    assert "records: a" in testbed.err and "slot " in testbed.err
    summary = asked(testbed, "run", path, "--in", "twin", *SETS, "--out", "b")
    assert summary == json.loads((testbed.folder / "b" / "summary.json").read_text())


def test_json_of_words_that_read_records(testbed: Command, finished: Path) -> None:
    written_to = asked(testbed, "report", "run", "--figures")
    assert written_to["page"] == "run/report.html" and "run/figures/on_time.svg" in written_to["figures"]
    again = asked(testbed, "replay", "run")
    assert again["decisions"] > 10 and again["differences"] == []


def test_json_of_check_has_every_problem_with_its_place(testbed: Command) -> None:
    path = written(testbed.folder, GOOD, ("500 ms", "500"))
    found = asked(testbed, "check", path, code=2)
    (problem,) = found["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (14, 5, "tasks.photo.deadline")
    assert "has no unit" in problem["message"] and not found["valid"] and testbed.err == ""
    assert asked(testbed, "check", written(testbed.folder))["valid"]


def test_json_of_many_runs(testbed: Command) -> None:
    path = written(testbed.folder, GOOD, ("at_least: 0.5", "at_least: 0.5, runs: 2"))
    quick = [word for pair in zip(SETS[::2], SETS[1::2], strict=True) for word in pair]
    found = asked(testbed, "verify", path, "--in", "twin", "--workers", "1", *quick, "--out", "v")
    assert found["verdict"] == "pass" and re.search(r"^\[2/2\] ", testbed.err, re.MULTILINE)
    found = asked(testbed, "compare", path, "--in", "twin", "--policies", "two_tier,nearest", "--seeds", "1", "--out",
                  "c", "--workers", "1", *quick)  # fmt: skip
    assert [r["policy"] for r in found["rows"]] == ["two_tier", "nearest"]


def test_a_step_over_two_seconds_says_so_and_how_long_yet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(step, "QUIET_S", 0.01)
    monkeypatch.setattr(step, "BEAT_S", 0.01)
    said = ""
    with Progress() as p:
        p.now("placing 3 core services on 9 nodes …")
        while not re.search(r"^testbed: placing 3 core services on 9 nodes, \d+ s$", said, re.MULTILINE):
            time.sleep(0.01)
            said += capsys.readouterr().err
        p.now("calibrating htb", left=30.0)
        while not re.search(r"^testbed: calibrating htb  \d+ s left$", said, re.MULTILINE):
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert capsys.readouterr().out == ""


def test_the_time_left_is_by_the_pace_so_far_a_part_of_a_run_included(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(step.time, "monotonic", lambda: now)
    out = StringIO()
    p = Progress(Console(file=out, width=80))
    p(0, 4, "starting")
    now = 105.0
    p(0, 4, "demo s1: placing 3 core services on 9 nodes …")
    assert p.line() == "[0/4] demo s1: placing 3 core services on 9 nodes, 5 s"
    now = 110.0
    p(0, 4, "demo s1: t 12/25 s", 0.5)
    assert p.line() == "[0/4] demo s1: t 12/25 s  70 s left"  # 10 s for an eighth
    now = 120.0
    p(1, 4, "demo s1: done")
    assert out.getvalue() == "[1/4] demo s1: done  60 s left\n"
    now = 500.0
    p(2, 4, "demo s2: done")
    assert out.getvalue().endswith("[2/4] demo s2: done  7 min left\n")


def test_runs_that_were_there_are_not_counted_in_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(step.time, "monotonic", lambda: now)
    out = StringIO()
    p = Progress(Console(file=out, width=80))
    p.now("starting the workers")
    now = 200.0  # which is no part of a run either
    p(56, 60, "there already")
    now = 210.0
    p(57, 60, "demo s57: done")
    assert out.getvalue() == "[56/60] there already\n[57/60] demo s57: done  30 s left\n"
    whole = Progress(Console(file=StringIO()))
    whole(60, 60, "there already")
    assert whole.line() == "[60/60] there already"


def test_a_run_tells_what_takes_long_before_its_first_slot_and_after_its_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(step, "QUIET_S", 0.01)
    monkeypatch.setattr(step, "BEAT_S", 0.01)
    with Dashboard(Console(file=StringIO(), width=80)) as board:
        said = ""
        for words in ("building 9 nodes", "removing: containers"):
            board.say(f"{words} …")
            while not re.search(rf"^testbed: {words}, \d+ s$", said, re.MULTILINE):
                time.sleep(0.01)
                said += capsys.readouterr().err
        board.say("removed in 2.0 s")
        time.sleep(0.1)
        capsys.readouterr()
        time.sleep(0.1)
        assert capsys.readouterr().err == "", "what is over is told no more"


def test_down_says_what_is_left_by_the_ledger(tmp_path: Path) -> None:
    book = Ledger("r1", tmp_path)
    pods = book.add_all([("container", {"name": "a"}), ("container", {"name": "b"})])
    book.add_all([("bridge", {"name": "c"}), ("folder", {"path": "/d"}), ("folder", {"path": "/e"})])
    assert going(tmp_path) == "reverting and removing, left: 2 containers, 1 bridge, 2 other things"
    book.done(*pods)
    assert going(tmp_path) == "reverting and removing, left: 1 bridge, 2 other things"
    assert going(tmp_path / "gone") == "writing the records"


def test_whoever_waits_for_a_testbed_to_come_up_hears_what_it_told_last(tmp_path: Path) -> None:
    log = tmp_path / "held.log"
    log.touch()
    assert last_told(log) == "reading the scenario"
    log.write_text("demo: a question\ntestbed: placing 3 core services on 9 nodes, 12 s\n")
    assert last_told(log) == "placing 3 core services on 9 nodes"


def test_at_a_terminal_one_line_is_redrawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    out = StringIO()
    with Progress(Console(file=out, force_terminal=True, width=60, legacy_windows=False)) as p:
        p(1, 3, "demo s1: done")
        while "[1/3] demo s1: done" not in out.getvalue():
            time.sleep(0.01)
        p(2, 3, "demo s2: it can't be made")
    text = out.getvalue()
    assert "it can't be made" in text, "what went wrong stays"
    assert text.rstrip().endswith("\x1b[2K") and "\x1b[?25h" in text, "the line is gone, the cursor is back"


def test_the_page_on_the_command_line_has_every_word_and_every_json() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    printed = page.partition("## What is printed where")[2].partition("## Exit codes")[0]
    (words,) = (a.choices for a in parser()._actions if a.metavar == "COMMAND")
    assert words is not None
    for word in words:
        sub: Any = words[word]  # type: ignore[index]
        assert re.search(rf"\./shaketable {word}\b|`{word}[` ]", page), word
        if any("--json" in a.option_strings for a in sub._actions):
            assert f"`{word}`" in printed, f"{word} has --json and the page does not say what is in it"


def test_a_result_that_finds_no_room_is_no_defect(testbed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(testbed.folder)
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr("sys.stdout", full)
        assert testbed("plan", path) == 4
        monkeypatch.undo()
    assert "found no room (No space left on device)" in testbed.err and "defect" not in testbed.err
