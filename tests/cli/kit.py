"""The command as a user has it, in this process or, where the process matters, in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from testbed.cli import main

ROOT = Path(__file__).parents[2]


class Command:
    """`testbed WORD …` with what it printed. Runs in `folder`, so that relative paths and traces of it land there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.out = self.err = ""

    def __call__(self, *words: str | Path) -> int:
        self._capsys.readouterr()  # what the call before left there to be shown
        try:
            code = main([str(w) for w in words])
        except SystemExit as end:  # argparse leaves so
            code = end.code if isinstance(end.code, int) else 1
        self.out, self.err = self._capsys.readouterr()
        print(self.err, end="")  # shown when a test fails
        return code


def python(*words: str, under: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """`python words…` in a process of its own; under: a command in front of it."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [*under, sys.executable, *words], capture_output=True, text=True, env=variables, timeout=60, check=False
    )


def tree(folder: Path) -> list[str]:
    """Everything below `folder`."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
