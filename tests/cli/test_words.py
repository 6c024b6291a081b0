"""The words of the command line, and what each says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.hands import client
from tests.cli.kit import ROOT, Command, python

WORDS = ("doctor", "check", "plan", "run", "report", "clean", "up", "inject", "heal", "status", "down")


@pytest.mark.parametrize("word", WORDS)
def test_every_word_explains_itself_and_the_exit_codes(testbed: Command, word: str) -> None:
    assert testbed(word, "--help") == 0
    assert f"testbed {word}" in testbed.out
    assert "exit codes: 0" in " ".join(testbed.out.split())


def test_help_lists_every_word_and_where_to_begin(testbed: Command) -> None:
    assert testbed("--help") == 0
    assert all(f"  {word} " in testbed.out for word in WORDS)
    assert "testbed doctor" in testbed.out
    assert "130 interrupted" in testbed.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "arguments are required: COMMAND"),
        (("frobnicate",), "There are: doctor, check"),
        (("check",), "arguments are required: FILE"),
        (("run", "s.yaml", "--in", "nowhere"), "There are: live, twin"),
        (("run", "s.yaml", "--seed", "x"), "argument --seed: invalid int value: 'x'"),
        (("report",), "arguments are required: DIR"),
        (("inject", "link_down", "a--b"), "arguments are required: --for"),
        (("inject", "link_down", "--for", "1 s"), "arguments are required: TARGET"),
    ],
)
def test_a_command_that_is_none_says_what_there_is(testbed: Command, words: tuple[str, ...], says: str) -> None:
    assert testbed(*words) == 2
    assert says in testbed.err
    assert testbed.out == ""


@pytest.mark.parametrize("words", [("status",), ("heal",), ("down",), ("inject", "link_down", "a--b", "--for", "1 s")])
def test_hands_on_nothing(
    testbed: Command, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ROOT", tmp_path)
    assert testbed(*words) == 4
    assert "open one with `sudo ./shaketable up FILE`" in testbed.err


def test_a_parameter_that_is_none(testbed: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "up_now", lambda: ["r"])
    assert testbed("inject", "loss", "a--b", "share", "--for", "1 s") == 2
    assert "'share' is no parameter: write key=value" in testbed.err


@pytest.mark.parametrize(
    ("length", "says"), [("10", "has no unit"), ("2 s", "the warm-up alone takes"), ("25 h", "at most 24 h")]
)
def test_how_long_a_testbed_may_be_held(testbed: Command, length: str, says: str) -> None:
    assert testbed("up", str(ROOT / "scenarios" / "demo.yaml"), "--for", length) == 2
    assert says in testbed.err


def test_light_words_need_neither_docker_nor_mininet(tmp_path: Path) -> None:
    """check, plan, report and the twin work in an environment where what live runs need is not installed."""
    code = (
        "import sys\n"
        "for name in ('docker', 'mininet', 'os_ken', 'paramiko'): sys.modules[name] = None\n"
        "from testbed.cli import main\n"
        "assert main(['check', 'scenarios/demo.yaml']) == 0 and main(['plan', 'scenarios/demo.yaml']) == 0\n"
        "assert main(['report', 'scenarios']) == 2\n"
        f"assert main(['run', 'scenarios/demo.yaml', '--in', 'twin', '--out', {str(tmp_path / 'run')!r}]) == 0\n"
    )
    done = python("-c", f"import os; os.chdir({str(ROOT)!r})\n{code}")
    assert done.returncode == 0, done.stderr
