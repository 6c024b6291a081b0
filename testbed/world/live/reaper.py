"""The reaper: a process of its own that removes a run's resources when the run's owner dies in any way.

It lives in its own session, ignores the signals a terminal sends, and waits on a pidfd of the owner. On death it
undoes the ledger newest first, then looks for whatever carries the run's mark, and looks again until nothing was
found twice: the Docker daemon may still be creating what the dead owner asked for. Its modules are light; the
Docker SDK is imported when the owner is dead. `clean` does the same later, by hand.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import testbed
from testbed.errors import CannotRun
from testbed.world.live import ledger, undo

QUIET_S = 0.5  # two looks that find nothing must lie this far apart
IN_FLIGHT_S = 3.0  # …or this far, when the ledger promises something nobody has seen yet
GIVE_UP_S = 120.0
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
    _wait(pid, started)
    state = ledger.read(folder)
    if state.closed and not state.pending:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    left = sweep(state.run_id, folder, _say)
    if left:
        _say("could not remove: " + ", ".join(left) + f"; try `sudo testbed clean --run {state.run_id}`")
        return 1
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


def sweep(run_id: str, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Undo the ledger in `folder`, then look until nothing was found twice. Returns what could not be removed."""
    pending = ledger.read(folder).pending
    unseen = {str(e.fields["name"]) for e in pending if e.kind in ("container", "interface", "bridge")}
    removed = undo.entries(run_id, pending)
    deadline, quiet_since, left = time.monotonic() + GIVE_UP_S, None, ["?"]
    while time.monotonic() < deadline:
        for line in removed:
            say(f"run {run_id}: {line}")
            unseen.discard(line.partition(" ")[2])
        try:
            left = [f"{f.kind} {f.name}" for f in undo.find(run_id)]
        except Exception as error:  # a daemon that stumbles is asked again
            left = [f"(could not look: {error})"]
        if left:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= (IN_FLIGHT_S if unseen else QUIET_S):
            return []
        removed = undo.everything(run_id) if left else []
        time.sleep(0.05 if left else 0.25)
    return left


def clean(run_id: str | None = None, *, plan: bool = False) -> list[str]:
    """Remove what dead runs left (of `run_id`, or of all); live runs are left alone. One line per thing.

    plan: only say what would be removed. Images (`shaketable/node:*`) stay: the next run needs them, and
    `docker image rm` removes them. CannotRun when something of a dead run remains.
    """
    if os.geteuid() != 0:
        raise CannotRun("removing containers, bridges and interfaces needs root: `sudo testbed clean`")
    lines = undo.blind()
    left: list[str] = []
    marked = undo.find(run_id)
    for run in sorted({f.run_id for f in marked} | _with_folder(run_id)):
        folder = ledger.RUNS / run
        state = ledger.read(folder)
        if state.owner is not None and state.owner.alive():
            lines.append(f"run {run}: process {state.owner.pid} is alive, left alone (`testbed down` ends it)")
        elif plan:
            named = {f"{f.kind} {f.name}" for f in marked if f.run_id == run}
            named |= {f"{e.kind} {e.fields['name']}" for e in state.pending if e.kind in ("interface", "bridge")}
            lines += [f"run {run}: would remove {what}" for what in sorted(named)]
            lines += [f"run {run}: would remove folder {folder}"] if folder.is_dir() else []
        else:
            left += sweep(run, folder, lines.append)
            if not left and folder.is_dir():
                shutil.rmtree(folder)
                lines.append(f"run {run}: folder {folder}")
    lines += _half_made(plan) if run_id is None else []
    if left:
        raise CannotRun("could not remove " + ", ".join(left) + ": look at what holds them, then `testbed clean` again")
    return lines


def _with_folder(run_id: str | None) -> set[str]:
    if not ledger.RUNS.is_dir():
        return set()
    return {f.name for f in ledger.RUNS.iterdir() if f.is_dir() and f.name[0] != "." and run_id in (None, f.name)}


def _half_made(plan: bool) -> list[str]:
    """Folders of ledgers whose writer died before giving them their name."""
    lines = []
    for folder in ledger.RUNS.glob(".new-*"):
        if ledger.start_time(int(folder.name.rpartition("-")[2])) is None:
            lines.append(f"{'would remove ' if plan else ''}folder {folder}")
            if not plan:
                shutil.rmtree(folder)
    return lines


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the log's disk may be full: removing matters more than telling
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
