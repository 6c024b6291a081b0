"""What goes on and how long yet, on stderr: a line that is redrawn at a terminal, lines where there is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from testbed.dashboard.step import QUIET_S, Reminder, Step, left

WIDE = 240  # characters of a table where there is no terminal


class Voice(Console):
    """A console that falls silent once nobody hears it (a closed pipe or terminal, a full disk): what is told about
    a run ends no run and changes no exit code. Rich itself would leave with 1, which says that a claim failed."""

    def __exit__(self, *error: Any) -> None:
        """The end of everything that is written, from `print` to a line that is redrawn."""
        try:
            super().__exit__(*error)
        except OSError:
            self.quiet = True

    def on_broken_pipe(self) -> None:
        self.quiet = True


def stderr() -> Voice:
    """Where progress goes: stdout holds the result and nothing else."""
    return Voice(stderr=True, highlight=False, markup=False, soft_wrap=True)


def stdout(markup: bool = False) -> Voice:
    """Where the result goes. What is not a terminal gets whole lines, however long."""
    console = Voice(highlight=False, markup=markup, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    return console


def tell(result: Any, to: TextIO | None = None) -> None:
    """A result on stdout, text as it is and all else as JSON. A closed terminal or a full disk changes no exit code."""
    with suppress(OSError):
        print(result if isinstance(result, str) else json.dumps(result, indent=1), file=to, flush=True)


class Progress:
    """Steps by `now`, many runs by calling it. To be used in a `with`, whose end takes the line away."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._step = Step("reading the scenario")
        self._ended, self._total, self._part = 0, 0, 0.0
        self._first = 0  # runs that were there before
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._reminder = Reminder(lambda: self._step, lambda step: self.line())

    def __enter__(self) -> Progress:
        if self._drawn:
            self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
            self._thread.start()
        else:
            self._reminder.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._reminder.__exit__()

    def now(self, what: str | Callable[[], str], left: float | None = None) -> None:
        """A step begins. left: s, where somebody knows."""
        self._step, self._total = Step(what, left), 0

    def __call__(self, ended: int, total: int, text: str, part: float = 0.0) -> None:
        """Of `total` runs so many have ended; part: of those that go on, in runs; `text` is on one of them.

        The first call after `now` begins, with so many runs that were there before; they are not counted in the pace.
        """
        more = ended > (self._ended if self._total else 0)
        if not self._total:
            self._step, self._first = Step(text), ended
        self._step.what, self._ended, self._total, self._part = text, ended, total, part
        if more and not (self._drawn and text.endswith("done") and ended < total):
            self.console.print(self.line())

    @property
    def _drawn(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def line(self) -> str:
        """As it stands: "[3/60] NAME: done  40 s left", or "placing the core services, 12 s"."""
        return f"[{self._ended}/{self._total}] {self._many()}" if self._total else self._step.line()

    def _many(self, at_most: str = "") -> str:
        """What goes on and the time left by the pace so far; without a pace, for how long it has gone on."""
        made, since = self._ended - self._first + self._part, self._step.since
        ahead = self._total - self._ended - self._part
        if made or not ahead or since < QUIET_S:
            pace = self._seconds_a_run(made, since)
            return self._step.words() + left(None if pace is None else pace * ahead, at_most)
        return self._step.line()

    def _seconds_a_run(self, made: float, since: float) -> float | None:
        return since / made if made else None

    def _draw(self) -> None:
        if self._over.wait(QUIET_S):
            return
        with Live(
            get_renderable=lambda: Text(self.line(), no_wrap=True, overflow="ellipsis", style="dim"),
            console=self.console, refresh_per_second=2, transient=True,
        ):  # fmt: skip
            self._over.wait()


class Budget(Progress):
    """Of a search, which may end before its budget does: (runs made, at most how many, words on the last ones).

    Its pace is that of the runs after the first ones, which waited for the workers and the core placements.
    """

    _warm: tuple[float, float] | None = None  # s and runs made, when the first ones had ended

    def now(self, what: str | Callable[[], str], left: float | None = None) -> None:
        super().now(what, left)
        self._warm = None

    def __call__(self, ended: int, total: int, text: str, part: float = 0.0) -> None:
        super().__call__(ended, total, text, part)
        if self._warm is None and ended > self._first:
            self._warm = self._step.since, ended - self._first

    def line(self) -> str:
        """ "[40 of at most 1500] load=2  at most 5 min left"."""
        if not self._total:
            return super().line()
        return f"[{self._ended} of at most {self._total}] {self._many('at most ')}"

    def _seconds_a_run(self, made: float, since: float) -> float | None:
        if self._warm is None or made <= self._warm[1]:
            return None
        return (since - self._warm[0]) / (made - self._warm[1])
