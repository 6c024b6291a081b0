"""`testbed clean`: what the reaper does, later and by hand, for runs whose reaper died or gave up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from testbed.errors import CannotRun, InputError
from testbed.world.live import afterword, ledger, undo
from testbed.world.live.reaper import sweep

STUCK_S = 30.0  # without anything going, in which a daemon may be started; then say so and fail


def clean(
    run_id: str | None = None, *, plan: bool = False, say: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Remove what dead runs left (of `run_id`, or of all); live runs are left alone. One line per thing.

    plan: only say what would be removed. say: gets each line as it comes. Images (`shaketable/node:*`) stay: the next
    run needs them, and `docker image rm` removes them. CannotRun when something of a dead run remains.
    """
    if run_id is not None and not ledger.RUN_ID.fullmatch(run_id):
        raise InputError(f"--run {run_id!r}: not a run's id; a run prints its id when it begins, `--plan` lists them")
    if os.geteuid() != 0:
        raise CannotRun("removing containers, bridges and interfaces needs root: `sudo testbed clean`")
    lines, left = list[str](), list[str]()

    def tell(*more: str) -> None:
        for line in more:
            lines.append(line)
            say(line)

    tell(*undo.blind())
    marked = {f.run_id for f in undo.find(run_id) if ledger.RUN_ID.fullmatch(f.run_id)}
    for run in sorted(marked | _with_folder(run_id)):
        folder = ledger.RUNS / run
        state = ledger.read(folder)
        if state.owner is not None and state.owner.alive():
            tell(f"run {run}: process {state.owner.pid} is alive, left alone (`testbed down` ends it)")
        elif plan:
            tell(*(f"run {run}: would remove {what}" for what in _planned(run, state)))
        else:
            of_run = sweep(folder, tell, STUCK_S)
            left += [f"run {run}: {what}" for what in of_run]
            if not of_run and folder.is_dir():
                if told := afterword.add(folder, "clean"):
                    tell(f"run {run}: {told}")
                shutil.rmtree(folder, ignore_errors=True)  # its reaper may be doing the same
                tell(f"run {run}: folder {folder}")
    tell(*(_half_made(plan) if run_id is None else []))
    if left:
        raise CannotRun(f"could not remove {'; '.join(left)}. Look at what holds it, then `testbed clean` again")
    return lines


def _planned(run: str, state: ledger.State) -> list[str]:
    """What is there, and what the ledger promises that nobody can look for."""
    promised = {e.fields["name"] for e in state.pending if e.kind == "interface"}
    named = {f"{f.kind} {f.name}" for f in undo.find(run, promised)}
    if not undo.docker_answers():
        named |= {f"container {e.fields['name']} (if it is there)" for e in state.pending if e.kind == "container"}
    named |= {f"{e.kind} of the ledger: {dict(e.fields)}" for e in state.pending if e.kind not in SEEN}
    folder = ledger.RUNS / run
    return sorted(named) + ([f"folder {folder}"] if folder.is_dir() else [])


#: Kinds that `undo.find` sees, and those that go with others.
SEEN = ("container", "bridge", "interface", "cgroup", "process", "fault")


def _with_folder(run_id: str | None) -> set[str]:
    if not ledger.RUNS.is_dir():
        return set()
    names = {f.name for f in ledger.RUNS.iterdir() if f.is_dir() and not f.is_symlink() and f.stat().st_uid == 0}
    return {name for name in names if ledger.RUN_ID.fullmatch(name) and run_id in (None, name)}


def _half_made(plan: bool) -> list[str]:
    """Folders of ledgers whose writer died before giving them their name."""
    lines = []
    for folder in ledger.RUNS.glob(".new-*"):
        pid = folder.name.rpartition("-")[2]
        if pid.isdigit() and ledger.start_time(int(pid)) is None and not folder.is_symlink():
            lines.append(f"{'would remove ' if plan else ''}folder {folder}")
            if not plan:
                shutil.rmtree(folder, ignore_errors=True)
    return lines
