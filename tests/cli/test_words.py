"""The words of the command line, and what each says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.kit import ROOT, Command, python

WORDS = ("doctor", "check", "plan", "run", "report", "clean")


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
        (("frobnicate",), "choose from 'doctor', 'check'"),
        (("check",), "arguments are required: FILE"),
        (("run", "s.yaml", "--in", "nowhere"), "choose from 'live', 'twin'"),
        (("run", "s.yaml", "--seed", "x"), "argument --seed: invalid int value: 'x'"),
        (("report",), "arguments are required: DIR"),
    ],
)
def test_a_command_that_is_none_says_what_there_is(testbed: Command, words: tuple[str, ...], says: str) -> None:
    assert testbed(*words) == 2
    assert says in testbed.err
    assert testbed.out == ""


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
