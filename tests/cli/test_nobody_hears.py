"""Whoever closed a stream, or went away, changes neither what is done nor its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.kit import ROOT
from tests.run.test_twin_run import SETS
from tests.scenario.small import GOOD, written

FAILS = GOOD.replace("at_least: 0.5", "at_least: 2")
TWIN = ("--in", "twin", *SETS, "--out", "records")
BEGUN = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def into_a_closed_pipe(folder: Path, *words: str) -> int:
    """The exit code of `testbed words…`, whose stdout and stderr are a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        return subprocess.call(
            [sys.executable, "-m", "testbed.cli", *words], cwd=folder, stdout=writes, stderr=writes, timeout=120,
            env={**os.environ, **BEGUN},
        )  # fmt: skip
    finally:
        os.close(writes)


@pytest.mark.parametrize("words", [("run",), ("verify", "--workers", "1"), ("verify", "--workers", "1", "--json")])
def test_a_run_goes_on_to_its_end_and_keeps_its_code(tmp_path: Path, words: tuple[str, ...]) -> None:
    for text, code in ((GOOD, 0), (FAILS, 1)):
        folder = tmp_path / str(code)
        folder.mkdir()
        word, *options = words
        assert into_a_closed_pipe(folder, word, str(written(folder, text)), *TWIN, *options) == code
        assert len([*folder.glob("records/**/complete")]) == 1


def test_what_is_wrong_with_a_file_stays_wrong(tmp_path: Path) -> None:
    assert into_a_closed_pipe(tmp_path, "check", str(written(tmp_path, GOOD, ("500 ms", "500")))) == 2


def test_help_and_a_word_that_is_none(tmp_path: Path) -> None:
    assert into_a_closed_pipe(tmp_path, "--help") == 0
    assert into_a_closed_pipe(tmp_path, "frobnicate") == 2


def test_the_machine_is_what_it_is(tmp_path: Path) -> None:
    def asked(*words: str) -> int:
        return subprocess.run([sys.executable, "-m", "testbed.cli", "doctor", *words], capture_output=True).returncode

    assert into_a_closed_pipe(tmp_path, "doctor") == asked()
    assert into_a_closed_pipe(tmp_path, "doctor", "--json") == asked("--json")


def in_a_shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """`$T` in the command is `testbed`."""
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, **BEGUN, "T": f"{sys.executable} -m testbed.cli"},
    )  # fmt: skip


def test_streams_that_were_closed_beforehand(tmp_path: Path) -> None:
    """cron and some service managers start programs so. Python then has None for a stream."""
    written(tmp_path, FAILS)
    assert in_a_shell(tmp_path, "$T check scenario.yaml <&- >&- 2>&-").returncode == 0
    wrong = in_a_shell(tmp_path, "$T check nowhere.yaml 2>&-")
    assert (wrong.returncode, wrong.stdout) == (2, ""), "a mistake is no result"
    done = in_a_shell(tmp_path, f"$T run scenario.yaml {' '.join(map(repr, TWIN))} >&- 2>&-")
    assert done.returncode == 1
    begun = (tmp_path / "records" / "events.jsonl").read_text().splitlines()
    assert all(line.startswith('{"kind":') for line in begun), "nothing that is said gets into the records"


def test_help_that_finds_no_room(tmp_path: Path) -> None:
    done = in_a_shell(tmp_path, "$T --help > /dev/full")
    assert done.returncode == 4 and "found no room" in done.stderr and "Traceback" not in done.stderr
