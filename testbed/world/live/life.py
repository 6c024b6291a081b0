"""The life of a run on the machine: its ledger, the mark its processes carry, a reaper that is there all the time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from testbed.errors import CannotRun
from testbed.world.live import ledger, reaper, undo
from testbed.world.live.names import Names

REAPERS = 5  # that may die during one run: somebody kills them, and goes on doing so
LEAVE_S = 30.0  # for the reaper to go; it goes on by itself where it has much to remove


class Life:
    """begin → (everything the run makes) → end. say: one line of progress."""

    def __init__(self, names: Names, say: Callable[[str], None]) -> None:
        self.names, self.say = names, say
        self.folder = Path(names.folder)
        self.ledger: ledger.Ledger
        self._begun = False
        self._reaper: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._spawning = threading.Lock()
        self._deaths = 0
        self._trouble = ""

    def begin(self) -> ledger.Ledger:
        """Ledger and reaper, both or neither: a signal in between waits. CannotRun where one can't be made."""
        with _signals_wait():
            self.ledger = ledger.Ledger(self.names.run_id, self.folder)
            self._begun = True
            os.environ[ledger.MARK] = self.names.run_id  # every child from here on, whoever starts it
            try:
                self._reaper = reaper.spawn(self.folder)
            except OSError as error:
                raise CannotRun(f"the reaper could not be started ({error}); nothing is made without it") from error
            threading.Thread(target=self._watch, name="reaper", daemon=True).start()
        return self.ledger

    @property
    def trouble(self) -> str:
        """Why this run must not go on: promises can't be written, or no reaper stays. Empty: it may."""
        return (self._begun and self.ledger.trouble) or self._trouble

    def _watch(self) -> None:
        """Another reaper when one dies. Waiting is on a child, so none is missed."""
        while (process := self._reaper) is not None:
            code = process.wait()
            with self._spawning:
                if self._ending.is_set():
                    return
                self._deaths += 1
                if self._deaths >= REAPERS:
                    self._trouble = f"the reaper died {self._deaths} times; without it nothing may be made"
                    return
                try:
                    self._reaper = reaper.spawn(self.folder)
                except OSError as error:
                    self._trouble = f"the reaper died and no other could be started ({error})"
                    return
            with contextlib.suppress(OSError):  # the terminal may be closed: the new one is what matters
                self.say(f"the reaper ended by itself ({code}): another watches now")

    def end(self) -> None:
        """Close the ledger and let the reaper go; what is left is removed by it. CannotRun says what that is."""
        if not self._begun:
            return
        with self._spawning:
            self._ending.set()
        undo.remove_processes(self.names.run_id)  # a signal that came while a child was made has lost its number
        left: list[ledger.Entry] = []
        try:
            left = self.ledger.close()
        except CannotRun as error:
            self._trouble = str(error)  # a full disk: the reaper finds nothing left, and removes the folder
        os.environ.pop(ledger.MARK, None)
        self._begun = False
        self._leave(left)
        if left:
            what = ", ".join(f"{e.kind} {next(iter(e.fields.values()), '')}" for e in left[:5])
            raise CannotRun(f"{len(left)} things were left to the reaper ({what}{', …' if left[5:] else ''})")

    def _leave(self, left: list[ledger.Entry]) -> None:
        """Until a reaper has gone of its own will; one that was killed meanwhile gets a successor."""
        for _ in range(REAPERS):
            if self._reaper is not None:
                try:
                    reaper.leave(self._reaper, LEAVE_S)
                except subprocess.TimeoutExpired:
                    raise CannotRun(f"the reaper is still at work; it says what it does in {self.folder}") from None
                if self._reaper.returncode == 0:
                    return
                if self._reaper.returncode > 0:
                    raise CannotRun(f"the reaper could not remove everything: see {self.folder}/{reaper.LOG}")
            if not left:
                shutil.rmtree(self.folder, ignore_errors=True)
                return
            self._reaper = reaper.spawn(self.folder)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that end a run arrive after the block."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
