"""What goes on and how long yet, on stderr: a line that is redrawn at a terminal, lines where there is none."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:  # not at run time: `testbed clean` needs no solver
    from testbed.run.prepare import Place

QUIET_S = 2.0  # a step that is over by then says nothing
WIDE = 240  # characters of a table where there is no terminal
BEAT_S = 10.0  # how often a long one says that it goes on, where there is no terminal


def stderr() -> Console:
    """Where progress goes: stdout holds the result and nothing else."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def stdout() -> Console:
    """Where the result goes. What is not a terminal gets whole lines, however long."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    return console


def tell(result: Any) -> None:
    """A result on stdout, text as it is and all else as JSON. A closed terminal or a full disk changes no exit code."""
    with suppress(OSError):
        print(result if isinstance(result, str) else json.dumps(result, indent=1), flush=True)


class Progress:
    """Steps by `now`, many runs by calling it. To be used in a `with`, whose end takes the line away."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._what, self._begun = "", time.monotonic()
        self._left: float | None = None
        self._ended, self._total = 0.0, 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def now(self, what: str, left: float | None = None) -> None:
        """A step begins. left: s, where somebody knows."""
        self._what, self._left, self._begun, self._total = what, left, time.monotonic(), 0

    def __call__(self, ended: float, total: int, text: str) -> None:
        """Of `total` runs so many have ended, with a part of the one that goes on; `text` is on the last of them."""
        self._what, self._ended, self._total = text, ended, total
        if ended == int(ended) and not (self._drawn and text.endswith("done") and ended < total):
            self.console.print(self.line())

    @property
    def _drawn(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def line(self) -> str:
        """As it stands: "[3/60] NAME: done  40 s left", or "placing the core services, 12 s"."""
        since = time.monotonic() - self._begun
        if self._total:
            left = since / self._ended * (self._total - self._ended) if self._ended else None
            return f"[{int(self._ended)}/{self._total}] {self._what}{_left(left)}"
        left = None if self._left is None else max(self._left - since, 0.0)
        return f"{self._what}{_left(left)}" if left is not None else f"{self._what}, {since:.0f} s"

    def _tick(self) -> None:
        if self._over.wait(QUIET_S):
            return
        if self._drawn:
            with Live(
                get_renderable=lambda: Text(self.line(), no_wrap=True, overflow="ellipsis", style="dim"),
                console=self.console, refresh_per_second=2, transient=True,
            ):  # fmt: skip
                self._over.wait()
            return
        while True:
            if time.monotonic() - self._begun >= QUIET_S:
                with suppress(OSError):  # nobody listens any more: the work matters more
                    print(f"testbed: {self.line()}", file=sys.stderr, flush=True)
            if self._over.wait(BEAT_S):
                return


def _left(seconds: float | None) -> str:
    if not seconds:
        return ""
    return f"  {seconds / 60:.0f} min left" if seconds >= 90 else f"  {seconds:.0f} s left"


def placing(progress: Progress) -> Place:
    """A policy asked for its placement, and that said: the longest part of what comes before a run."""

    def place(policy: Any, model: Any, parameters: Any) -> Any:
        progress.now(f"placing {len(model.core)} core services on {len(model.nodes)} nodes")
        placement = policy.place(model, parameters)
        progress.now("sizing the light services")
        return placement

    return place


class Budget(Progress):
    """Of a search, which may end before its budget does: (runs made, at most how many, words on the last ones)."""

    def line(self) -> str:
        """ "[40 of at most 1500] load=2  at most 5 min left"."""
        if not self._total:
            return super().line()
        since = time.monotonic() - self._begun
        left = _left(since / self._ended * (self._total - self._ended)) if self._ended else ""
        return f"[{int(self._ended)} of at most {self._total}] {self._what}{left.replace('  ', '  at most ', 1)}"
