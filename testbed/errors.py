"""Errors a user sees, and the one place that maps them to exit codes (testbed.cli)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in an input: where (file:line:col: path), and a message that says found, allowed, next.

    line and column count from 1. Line 0: not a place in a file; `file` then says what was given, for
    example "--set run.duration".
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line > 0 else self.file
        path = "" if not self.path or where.endswith(f" {self.path}") else f" {self.path}:"
        return f"{where}:{path} {self.message}"


class ShaketableError(Exception):
    """Base of all errors that end in a message instead of a traceback."""

    exit_code = 4


class InputError(ShaketableError):
    """Bad input (exit 2): all problems at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: list[Problem] = [] if isinstance(problems, str) else list(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(str(p) for p in self.problems))


class CannotRun(ShaketableError):
    """The machine or the world can't do it (exit 4): what is missing and the command that mends it."""
