"""Signals that end a run: in order the first time, at once the second; and what is done when the terminal closes."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal: the run ends early, cleans up and reports. No `except Exception` on the
    way may eat it."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP during a run. The first one raises Interrupted, or is only noted once `finishing` is
    set: removing and writing go on. The second forces: KeyboardInterrupt, and the reaper removes the rest."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.seen, self.finishing = say, 0, False

    def _handle(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        self.seen += 1
        if self.seen > 1:
            raise KeyboardInterrupt
        name = signal.Signals(number).name
        if not self.finishing:
            raise Interrupted(name)
        self.say(f"{name}: the run is over, removing and writing (again to force)")

    @contextmanager
    def caught(self) -> Iterator[None]:
        """One that is ignored, as `nohup` has SIGHUP, stays ignored. Outside the main thread (a testbed opened in a
        notebook) signals are the program's own."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heard = [s for s in ending if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]
        before = {s: signal.signal(s, self._handle) for s in heard}
        try:
            yield
        finally:
            for s, old in before.items():
                signal.signal(s, old)


def leave_closed_terminal() -> None:
    """What was a terminal and is one no longer fails at every write: put the null device in its place."""
    for descriptor in (0, 1, 2):
        try:
            gone = stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor)
        except OSError:  # closed by whoever started us
            continue
        if gone:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            os.close(null)
