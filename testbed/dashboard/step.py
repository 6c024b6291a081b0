"""A step that takes its time: what it is, since when, and how long yet where somebody knows."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

QUIET_S = 2.0  # a step that is over by then says nothing
BEAT_S = 10.0  # how often a long one says that it goes on, where there is no terminal
LOOK_S = 0.5  # how often one looks whether a step has become a long one
GOES_ON = "…"  # at the end of a line: it begins a step, which is over with the next line


class Step:
    """what: words, or who gives them when they are wanted. length: s, None where nobody knows."""

    def __init__(self, what: str | Callable[[], str], length: float | None = None) -> None:
        self.what, self.length, self.begun = what, length, time.monotonic()

    @property
    def since(self) -> float:
        return time.monotonic() - self.begun

    def words(self) -> str:
        words = self.what if isinstance(self.what, str) else self.what()
        return words.removesuffix(GOES_ON).rstrip()

    def line(self) -> str:
        """ "calibrating htb  30 s left", or "placing 3 core services on 9 nodes, 12 s"."""
        if self.length is None:
            return f"{self.words()}, {self.since:.0f} s"
        return self.words() + left(max(self.length - self.since, 0.0))


def left(seconds: float | None, at_most: str = "") -> str:
    if not seconds:
        return ""
    return f"  {at_most}{seconds / 60:.0f} min left" if seconds >= 90 else f"  {at_most}{seconds:.0f} s left"


class Reminder:
    """Where there is no terminal: a line on stderr once a step has lasted, and every so often from then on.

    step: gives the one that goes on, None where none does; line: what there is to say of it.
    """

    def __init__(self, step: Callable[[], Step | None], line: Callable[[Step], str]) -> None:
        self._step, self._line = step, line
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Reminder:
        self._thread = threading.Thread(target=self._look, name="reminder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        told, due = None, 0.0
        while not self._over.wait(min(LOOK_S, BEAT_S)):
            step = self._step()
            if step is not told:
                told, due = step, QUIET_S
            if step is not None and step.since >= due:
                with suppress(OSError):  # nobody listens any more: the work matters more
                    print(f"testbed: {self._line(step)}", file=sys.stderr, flush=True)
                due = step.since + BEAT_S
