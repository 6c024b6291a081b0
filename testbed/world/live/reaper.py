"""The reaper: a process of its own that removes a run's resources when the run's owner dies in any way.

It lives in its own session, ignores the signals a terminal sends, and waits on a pidfd of the owner. On death it
undoes the ledger newest first, then looks for whatever carries the run's mark, and looks again until nothing was
found twice: the Docker daemon may still be creating what the dead owner asked for. Then the run's records are told
what was reverted (afterword.py). Where a daemon that holds something
of the run does not answer, it removes the rest and waits. Its modules are light; the Docker SDK is imported when the
owner is dead. `clean` (clean.py) does the same later, by hand; both may be at work at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import testbed
from testbed.world.live import afterword, ledger, undo

QUIET_S = 0.5  # two looks that find nothing must lie this far apart
IN_FLIGHT_S = 3.0  # …or this far, when the ledger promises something nobody has seen yet
NAMED = ("container", "interface", "bridge")
STUCK_S = 600.0  # without anything going; a daemon has been restarted by then, or will be by hand: `clean`
TELL_S = 5.0  # between two lines that say what it waits for
BYE = b"bye"
LOG = "reaper.log"


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Start the reaper of the run in `folder` (its ledger exists), watching this process. Before the first resource."""
    me = ledger.Owner.myself()
    root = str(Path(testbed.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    environment.pop(ledger.MARK, None)  # it must not find itself
    with open(folder / LOG, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), str(me.pid), str(me.start_time)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", env=environment, start_new_session=True,
        )  # fmt: skip


def leave(process: subprocess.Popen[bytes], timeout_s: float = 30.0) -> None:
    """The owner has closed its ledger: the reaper removes the run's folder and goes. With entries left it undoes them.

    May be called when the reaper is gone already.
    """
    if process.stdin is not None and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):  # it has left: nothing to tell it
            process.stdin.write(BYE)
            process.stdin.close()
    process.wait(timeout_s)


def main(arguments: list[str]) -> int:
    folder, pid, started = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what we start shall not inherit the owner's mask
    _wait(pid, started)
    state = ledger.read(folder)
    if state.closed and not state.pending:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    left = sweep(folder, _say, STUCK_S)
    if left:
        _say("could not remove: " + "; ".join(left) + f"; try `sudo testbed clean --run {folder.name}`")
        return 1
    if told := afterword.add(folder, "the reaper"):
        _say(f"run {folder.name}: {told}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _wait(pid: int, started: int) -> None:
    """Until the owner is dead, or says goodbye on our standard input."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    if ledger.start_time(pid) != started:
        return
    watched = [descriptor, 0]
    while True:
        ready = select.select(watched, [], [])[0]
        if descriptor in ready or os.read(0, 16) == BYE:
            return
        watched = [descriptor]  # closed without a word: only the owner's death counts now


def sweep(folder: Path, say: Callable[[str], None], stuck_s: float) -> list[str]:
    """Undo the ledger in `folder`, then look until nothing was found twice.

    The run is the one the folder is named after. Gives up when nothing went for `stuck_s`. Returns what could not be
    removed, each with the reason: then the folder has to stay, for `clean`.
    """
    run_id, entries = folder.name, ledger.read(folder).pending
    names = {kind: {str(e.fields["name"]) for e in entries if e.kind == kind} for kind in NAMED}
    promised, unseen = names["interface"], set().union(*names.values())
    left, told, moved, quiet_since = ["?"], -math.inf, time.monotonic(), None
    while True:
        before = left
        done, failed = undo.entries(run_id, entries)
        found, blind = _look(run_id, promised)
        if found or blind:
            done += undo.everything(run_id, promised)
        for line in dict.fromkeys(done):
            say(f"run {run_id}: {line}")
            unseen.discard(line.partition(" ")[2])
        now, entries = time.monotonic(), tuple(e for e, _ in reversed(failed))
        left = list(dict.fromkeys(why for _, why in failed)) + [f"{f.kind} {f.name}" for f in found] + blind
        moved = now if left != before else moved  # a process that can't die is killed again and again: no progress
        quiet_since = None if left or done else quiet_since or now
        if quiet_since is not None and now - quiet_since >= (IN_FLIGHT_S if unseen else QUIET_S):
            return []
        if left and now - moved >= stuck_s:
            return left
        if left and now - max(moved, told) >= TELL_S:
            told = now
            say(f"run {run_id}: waiting, {stuck_s - (now - moved):.0f} s at most: {'; '.join(left)}")
        time.sleep(min(max(0.05, (now - moved) / 10), 1.0) if left or done else 0.25)


def _look(run_id: str, promised: Collection[str]) -> tuple[list[undo.Found], list[str]]:
    """What is there, and why it could not be seen: a daemon that stumbles is asked again."""
    try:
        return undo.find(run_id, promised), []
    except Exception as error:
        return [], [f"could not look: {type(error).__name__}: {error}"]


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the log's disk may be full: removing matters more than telling
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
