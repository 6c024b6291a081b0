"""The ledger of one run: before a resource is made, its undo is on disk.

`/run/shaketable/<run_id>/ledger.jsonl`, one JSON object a line, only ever appended to:

    {"kind": "owner", "run": …, "pid": …, "start_time": …, "boot": …}    first line, there from the beginning
    {"n": 3, "kind": "container", "name": "shaketable-1a2b3c-n1"}        fsynced before the container is asked for
    {"n": 3, "done": true}                                               after its removal
    {"closed": true}                                                     the owner removed everything itself
    {"records": "/…/results/…", "origin": 812.5, "dilate": 2.0}          where the run's own records lie (afterword.py)

A torn line (the machine or the writer died in the middle) is skipped: `add` had not returned, so nothing was made.
Process ids are reused, so a process is a pid with its start time, within one boot. The folder is root's alone, and
is read all the same as if a stranger had written it: a line of the wrong form is skipped, the run's id is the folder's
name whatever the lines say, and `undo` touches only what carries that id.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun

RUNS = Path("/run/shaketable")
FILE = "ledger.jsonl"

LONGEST = 64 * 2**20  # bytes that are read of a ledger; a run of an hour writes some hundred kilobytes

#: As a folder's, a cgroup's and a container's name can hold it; `..` and the empty string are not among them.
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: Kinds of entry and the text fields each must have; `undo` says what becomes of each. What lives inside another thing
#: goes with it: queueing disciplines with their interface, ports with their bridge, sockets with their folder.
#: `process` may be announced without a pid: its mark finds it.
KINDS: Mapping[str, frozenset[str]] = {
    "container": frozenset({"name"}),
    "image": frozenset({"tag"}),  # half-made: shaketable/node:new-…
    "cgroup": frozenset({"path"}),
    "interface": frozenset({"name"}),
    "namespace": frozenset({"name"}),  # `ip netns add`; those of pods go with their containers
    "bridge": frozenset({"name"}),
    "ovs_setting": frozenset({"table", "record", "column", "key"}),  # new: what we set; old: before, absent if none
    "conntrack": frozenset({"zone"}),  # of the userspace datapath
    "process": frozenset({"what"}),
    "folder": frozenset({"path"}),
    "sysctl": frozenset({"path", "old", "new"}),
    "fault": frozenset({"verb", "target"}),
}

#: Every process a run starts carries this variable (value: the run's id), so it is found without its pid.
MARK = "SHAKETABLE_CHILD_OF"


def marked_environment(run_id: str) -> dict[str, str]:
    """This process's environment plus the run's mark, for a child that must not outlive the run."""
    return {**os.environ, MARK: run_id}


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which `pid` started (proc(5), stat field 22); None: gone, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name in field 2 may hold any byte, parentheses too
    return None if fields[0] in b"ZX" else int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that made a run."""

    pid: int
    start_time: int
    boot: str

    @staticmethod
    def myself() -> Owner:
        return Owner(os.getpid(), start_time(os.getpid()) or 0, boot_id())

    def alive(self) -> bool:
        return self.boot == boot_id() and start_time(self.pid) == self.start_time


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource that has to be removed. number: what `done` takes."""

    number: int
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Records:
    """Where a run's records lie, and its time: nominal s are (CLOCK_MONOTONIC − origin) ÷ dilate."""

    folder: Path
    origin: float
    dilate: float


@dataclass(frozen=True, slots=True)
class State:
    """A ledger as read from disk. pending: entries without `done`, oldest first. records: None before t = 0."""

    run_id: str
    owner: Owner | None
    pending: tuple[Entry, ...]
    closed: bool
    records: Records | None = None


def read(folder: Path) -> State:
    """The ledger in `folder`; a folder without one reads as empty and without owner."""
    owner, closed, records = None, False, None
    pending: dict[int, Entry] = {}
    for line in _lines(folder / FILE):
        number = line.get("n")
        if line.get("kind") == "owner":
            owner = _owner(line) or owner
        elif line.get("closed") is True:
            closed = True
        elif "records" in line:
            records = _records(line) or records
        elif line.get("done") is True and isinstance(number, int):
            pending.pop(number, None)
        elif isinstance(number, int) and _well_formed(line):
            rest = {k: v for k, v in line.items() if k not in ("n", "kind")}
            pending[number] = Entry(number, line["kind"], rest)
    return State(folder.name, owner, tuple(pending.values()), closed, records)


def _owner(line: Mapping[str, Any]) -> Owner | None:
    pid, started, boot = line.get("pid"), line.get("start_time"), line.get("boot")
    if isinstance(pid, int) and pid > 0 and isinstance(started, int) and isinstance(boot, str):
        return Owner(pid, started, boot)
    return None


def _records(line: Mapping[str, Any]) -> Records | None:
    folder, origin, dilate = line.get("records"), line.get("origin"), line.get("dilate")
    if not isinstance(folder, str) or not folder.startswith("/") or "\0" in folder:
        return None
    if not all(isinstance(x, float) and math.isfinite(x) for x in (origin, dilate)) or not dilate or dilate < 0:
        return None
    return Records(Path(folder), float(origin), float(dilate))  # type: ignore[arg-type]


def _well_formed(line: Mapping[str, Any]) -> bool:
    """Of a kind we know, with its fields as text. An unknown kind with text for a name is kept: it can't be undone."""
    kind = line.get("kind")
    if not isinstance(kind, str):
        return False
    return all(isinstance(line.get(f), str) for f in KINDS.get(kind, ()))


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue  # torn: its resource was never made
        if isinstance(value, dict):
            yield value


class Ledger:
    """The owner's side. Safe to use from several threads."""

    def __init__(self, run_id: str, folder: Path) -> None:
        """Make `folder` with a ledger naming this process as owner, both at once (a half-made one looks dead)."""
        self.run_id, self.folder, self.path = run_id, folder, folder / FILE
        self._lock = threading.Lock()
        self._pending: dict[int, Entry] = {}
        self._next = 1
        self._torn = False
        self.trouble = ""  # why the last promise could not be written, empty if it could
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"{run_id!r} can't be a run's id: letters, digits, '.', '_' and '-', 64 at most")
        self._file = _create(run_id, folder)

    def add(self, kind: str, **fields: Any) -> int:
        """Promise an undo; returns its number. On disk when this returns: only then make the resource."""
        return self.add_all([(kind, fields)])[0]

    def add_all(self, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> list[int]:
        """`add` for many resources with a single fsync."""
        with self._lock:
            made: list[Entry] = []
            for kind, fields in entries:
                if missing := {f for f in KINDS[kind] if not isinstance(fields.get(f), str)}:
                    raise ValueError(f"a ledger entry {kind!r} needs {sorted(missing)}, as text")
                made.append(Entry(self._next + len(made), kind, dict(fields)))
            try:
                self._write([{"n": e.number, "kind": e.kind, **e.fields} for e in made], sync=True)
            except CannotRun as error:
                self.trouble = str(error)
                raise
            self.trouble = ""
            self._next += len(made)
            self._pending.update((e.number, e) for e in made)
            return [e.number for e in made]

    def done(self, *numbers: int) -> None:
        """These are removed. Not synced, and no matter if it can't be written: an undo is done twice without harm."""
        with self._lock, contextlib.suppress(CannotRun):
            known = [n for n in numbers if self._pending.pop(n, None) is not None]
            self._write([{"n": n, "done": True} for n in known], sync=False)

    def keep(self, records: Records) -> None:
        """Say where the run's own records lie: the reaper adds to them what the run can't say any more."""
        with self._lock:
            line = {"records": str(records.folder), "origin": records.origin, "dilate": records.dilate}
            self._write([line], sync=False)

    def pending(self) -> list[Entry]:
        with self._lock:
            return list(self._pending.values())

    def close(self) -> list[Entry]:
        """Say that everything is removed. Returns what is not: then the ledger stays open for the reaper."""
        with self._lock:
            left = list(self._pending.values())
            if not left:
                self._write([{"closed": True}], sync=True)
            return left

    def _write(self, lines: list[dict[str, Any]], *, sync: bool) -> None:
        if not lines:
            return
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._file, data)
            self._torn = written != len(data)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if sync:
                os.fsync(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _create(run_id: str, folder: Path) -> int:
    """Folder and ledger appear under their name in one rename; returns the open file."""
    new = folder.with_name(f".new-{folder.name}-{os.getpid()}")
    me = Owner.myself()
    line = {"kind": "owner", "run": run_id, "pid": me.pid, "start_time": me.start_time, "boot": me.boot}
    try:
        if not folder.parent.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.parent.chmod(0o755)  # whatever the umask: nobody else writes there
        new.mkdir(mode=0o700)
        file = os.open(new / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)
        os.rename(new, folder)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise _taken(run_id, folder) if folder.exists() else _unwritable(folder, error) from error
    return file


def _taken(run_id: str, folder: Path) -> CannotRun:
    owner = read(folder).owner
    if owner is not None and owner.alive():
        return CannotRun(f"run {run_id!r} is already going on (process {owner.pid}): wait for it, or choose another id")
    return CannotRun(
        f"{folder} is left over from a run that died: remove what it left with `sudo testbed clean --run {run_id}`"
    )


def _unwritable(path: Path, error: OSError) -> CannotRun:
    if isinstance(error, PermissionError):
        return CannotRun(f"{path} can't be written ({error.strerror}): a live run needs root, start it with sudo")
    return CannotRun(
        f"the ledger {path} can't be written ({error.strerror}); nothing is made without it. "
        f"Free some space there (`df -h {path.parent.parent}`) and start again"
    )
