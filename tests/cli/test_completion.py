"""Completion as the shells themselves do it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.cli.completion import script
from testbed.cli.parser import parser


def completed(*words: str, cwd: Path) -> set[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{w}'" for w in words)
    ask = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _testbed; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "--norc", "-c", script(parser(), "bash") + ask], capture_output=True, text=True, check=True, cwd=cwd
    )
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ve",), {"verify"}),
        (("run", "--see"), {"--seed"}),
        (("run", "file.yaml", "--in", ""), {"live", "twin"}),
        (("run", "--in", "tw"), {"twin"}),
        (("report", "somewhere", "--fig"), {"--figures"}),
        (("completion", ""), {"bash", "zsh"}),
        (("check", "sce"), {"scenario.yaml", "scenes"}),
        (("run", "--out", "scenario.y"), {"scenario.yaml"}),
        (("clean", "--see"), set()),
    ],
)
def test_bash_finishes(words: tuple[str, ...], expected: set[str], tmp_path: Path):
    (tmp_path / "scenario.yaml").touch()
    (tmp_path / "scenes").mkdir()
    assert completed("testbed", *words, cwd=tmp_path) == expected


def test_every_word_is_offered(tmp_path: Path):
    offered = completed("testbed", "", cwd=tmp_path)
    assert {"doctor", "check", "plan", "run", "verify", "compare", "report", "clean", "completion"} <= offered


def test_zsh_can_read_it():
    if shutil.which("zsh") is None:
        pytest.skip("capability: zsh is not installed")
    done = subprocess.run(["zsh", "-f", "-n"], input=script(parser(), "zsh"), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


def test_zsh_finishes_a_word_at_tab(tmp_path: Path):
    """In a terminal of its own: what is typed there is finished as for a person."""
    if shutil.which("zsh") is None:
        pytest.skip("capability: zsh is not installed")
    (tmp_path / "completion").write_text(script(parser(), "zsh"))
    typing = r"""zmodload zsh/zpty
zpty -b terminal zsh -f -i
zpty -w terminal 'PS1=; source ./completion; echo rea""dy'
zpty -r terminal seen '*ready*' || exit 1
zpty -w -n terminal $'testbed ver\t'
zpty -r terminal seen '*verify*' || exit 1
zpty -d terminal
"""
    done = subprocess.run(["zsh", "-f", "-c", typing], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
