"""What a dead run can't say any more: that its faults are reverted. Its reaper says it, in the run's own records.

Written once everything that carries the run's mark is gone, to `events.jsonl` of the run and to no other file: a
regular one, no link, that begins with the run's own id; whoever may write to the run's folder could have put anything
there. Records that are complete are left as they are. A last line that is torn off told nobody anything: it is cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from testbed.world.live import ledger

EVENTS, MARKER = "events.jsonl", "complete"  # of testbed.record.folder, whose packages a reaper does without
LONGEST = 2**20  # bytes of a line that is looked at; of one about a fault, some hundred
MOST_FAULTS = 10_000  # one about whose number nobody would believe the records
GONE = "the run ended without a word; {} removed all it had made, and found nothing more of it in two looks"

Event = dict[str, Any]


def add(folder: Path, by: str) -> str:
    """A `fault_reverted` for every fault in the records of the run of `folder`'s ledger that was applied and not
    reverted, newest first. by: who removed everything. A line for the log; "" where there is nothing to say."""
    state = ledger.read(folder)
    if state.records is None or state.owner is None:
        return ""
    now = None
    if state.owner.boot == ledger.boot_id():
        now = round((time.monotonic() - state.records.origin) / state.records.dilate, 6)
    path = state.records.folder / EVENTS
    try:
        if (state.records.folder / MARKER).exists():
            return ""
        with _open(path) as file:
            left = _standing(file, state.run_id)
            lines = [json.dumps(_reverted(e, now, by), separators=(",", ":")) + "\n" for e in reversed(left)]
            file.write("".join(lines).encode())
    except (OSError, ValueError) as error:
        return f"{path}: could not be told what was reverted: {error}"
    return f"{path}: {len(left)} faults were in force, reverted by {by}" if left else ""


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """For reading and adding, by one process at a time."""
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "r+b") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError("it is no regular file")
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # `clean` and a reaper: who comes second has nothing to say
        yield file


def _standing(file: IO[bytes], run_id: str) -> list[Event]:
    """Applied and not reverted, oldest first; the file ends with a whole line afterwards."""
    applied: list[Event] = []
    reverted: Counter[tuple[str, ...]] = Counter()
    whole, first = 0, True
    while line := file.readline(LONGEST):
        if line.endswith(b"\n"):
            whole = file.tell()
        if first and _event(line, b'"prepared"').get("run_id") != run_id:
            raise ValueError(f"it is not that of run {run_id}")
        first = False
        event = _event(line, b'"fault_')
        if event.get("kind") == "fault_applied" and len(applied) < MOST_FAULTS:
            applied.append(event)
        elif event.get("kind") == "fault_reverted":
            reverted[_whose(event)] += 1
    file.truncate(whole)
    left = []
    for event in applied:
        reverted[_whose(event)] -= 1
        if reverted[_whose(event)] < 0:
            left.append(event)
    return left


def _event(line: bytes, word: bytes) -> Event:
    """The line's event; empty where it has not that word or is none."""
    if word not in line:
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _whose(event: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(event.get(key)) for key in ("fault", "verb", "target"))


def _reverted(event: Mapping[str, Any], now: float | None, by: str) -> Event:
    """As the run would have written it. When it was planned for is not known: the run's end was not."""
    return {
        "kind": "fault_reverted",
        "planned_s": None,
        "actual_s": now,
        **{key: str(event.get(key)) for key in ("fault", "verb", "target")},
        "verified": event.get("verified") is True,
        "evidence": f"{event.get('evidence')}; reverted: {GONE.format(by)}",
        "by": by,
    }
