"""A run's folder: files are written whole or not at all, events as they happen, a completion marker last."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass
from itertools import chain
from math import isfinite
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any

from testbed.errors import CannotRun, InputError
from testbed.record.tables import STAGE_OUTCOMES, TASK_OUTCOMES, Array, Names

SCHEMA_VERSION = 1
MARKER = "complete"
EVENTS = "events.jsonl"
PER = 32  # rows in one statement
CHUNK = 1_600 * PER  # rows that are Python objects at a time

_TASKS = (
    "create table tasks (id integer primary key, ingress text, type text, at_s real, deadline_s real, outcome text,"
    " latency_s real, attempts integer, lag_s real)"
)
_STAGES = (
    "create table stages (task integer, stage text, service text, instance text, node text, attempt integer,"
    " arrived_s real, started_s real, finished_s real, outcome text)"
)


def no_file(path: Path) -> None:
    """Raises InputError where a file is in place of the folder for records."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise InputError(f"{path}: is a file; --out names a folder, and a new one is best")


def vacant(path: Path) -> None:
    """Raises InputError where the records of a run can't go: a file, or a folder that holds something."""
    no_file(path)
    try:
        full = path.is_dir() and any(path.iterdir())
    except OSError as error:
        raise CannotRun(f"{path}: can't be read ({error.strerror}); name another folder with --out") from None
    if full:
        raise InputError(f"{path}: the folder is not empty; name a new one with --out, nothing was overwritten")


class RunFolder:
    """Opens DIR for one run. Raises InputError if it already holds a run, CannotRun if it can't be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        vacant(path)
        self.lost = ""  # why the records are not whole, once a line could not be written
        self._made, self._made_parent = not os.path.exists(path), not os.path.exists(path.parent)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._logs = {EVENTS: (path / EVENTS).open("a", encoding="utf-8")}
        except OSError as error:
            raise CannotRun(
                f"{path}: results can't be written ({error.strerror}); name another folder with --out"
            ) from None

    def event(self, kind: str, planned: float | None = None, actual: float | None = None, **data: Any) -> None:
        """Append one line to events.jsonl: planned and actual time, nominal s since t = 0 (null before it).

        CannotRun the first time it can't be written; then nothing more is, and `lost` says why.
        """
        if not self.lost:
            line = {"kind": kind, "planned_s": _short(planned), "actual_s": _short(actual), **plain(data)}
            self.append(EVENTS, json.dumps(line, separators=(",", ":")))

    def append(self, name: str, line: str) -> None:
        """Add a line to a file of lines. CannotRun the first time it can't be written; then nothing more is."""
        if self.lost:
            return
        try:
            if name not in self._logs:
                self._logs[name] = (self.path / name).open("a", encoding="utf-8")
            self._logs[name].write(line + "\n")
            self._logs[name].flush()
        except OSError as error:
            self.lost = _unwritable(self.path, error)
            raise CannotRun(self.lost) from error

    def scratch(self) -> IO[bytes]:
        """A file without a name, on the records' own disk; gone with the run, however that ends."""
        try:
            return TemporaryFile(dir=self.path, buffering=0)
        except OSError as error:
            raise CannotRun(_unwritable(self.path, error)) from error

    def write(self, name: str, text: str) -> None:
        """Write a file whole or not at all (temporary file, fsync, rename). CannotRun when it can't be written."""
        with self._whole(name) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(text)

    @contextmanager
    def _whole(self, name: str) -> Iterator[Path]:
        """A temporary file that takes its name at the end of the block, or is gone."""
        temporary = self.path / f".{name}.new"
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, self.path / name)
        except (OSError, sqlite3.Error) as error:
            raise CannotRun(_unwritable(self.path, error)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self.write(name, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")

    def write_rows(self, tasks: Array, stages: Iterable[Array], names: Names) -> None:
        """tasks.sqlite: one row per task and per stage visit, in the order given; codes as names, NaN as null.

        stages: the table in chunks.
        """
        with self._whole("tasks.sqlite") as temporary, closing(sqlite3.connect(temporary)) as base:
            base.execute("pragma journal_mode=off")  # no half-written file is ever seen: it is renamed when whole
            base.execute("pragma synchronous=off")
            base.execute(_TASKS)
            base.execute(_STAGES)
            _insert(base, "tasks", 9, tasks, lambda rows: _task_tuples(rows, names))
            for chunk in stages:
                _insert(base, "stages", 10, chunk, lambda rows: _stage_tuples(rows, names))
            base.commit()

    def complete(self, latest: bool = True) -> None:
        """The last file: whoever finds it may believe the others. Then, if asked, `latest` beside DIR points here."""
        try:
            for file in self._logs.values():
                os.fsync(file.fileno())
        except OSError as error:
            raise CannotRun(_unwritable(self.path, error)) from error
        self.write(MARKER, f"{SCHEMA_VERSION}\n")
        if not latest:
            return
        here = self.path.resolve()  # DIR may be "."
        link = here.parent / "latest"
        if link.is_symlink() or not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(here.name)

    def discard(self) -> None:
        """Nothing ran: no folder that looks like a run and keeps the next one from using its name."""
        self._close()
        for name in self._logs:
            (self.path / name).unlink()
        if self._made:
            self.path.rmdir()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._give_back()

    def _close(self) -> None:
        for file in self._logs.values():
            try:
                file.close()
            except OSError:  # it tries once more to write what it could not
                if not self.lost:
                    raise

    def _give_back(self) -> None:
        """Under sudo the results belong to whoever asked for them, also the folder above if we made it."""
        user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
        if os.geteuid() != 0 or user is None or group is None:
            return
        above = [self.path.parent] if self._made_parent else []
        inside = self.path.iterdir() if self.path.is_dir() else ()
        for path in (*above, self.path, *inside, self.path.parent / "latest"):
            if path.is_symlink() or path.exists():
                os.chown(path, int(user), int(group), follow_symlinks=False)


def _unwritable(path: Path, error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    return f"{path}: the records can't be written ({why}), so this run has none; free some space and run it again"


def _insert(
    base: sqlite3.Connection, table: str, width: int, rows: Array, tuples: Callable[[Array], Iterable[tuple[Any, ...]]]
) -> None:
    """Many rows in one statement, PER of them: a third less time than one by one."""
    row = f"({','.join('?' * width)})"
    whole = len(rows) - len(rows) % PER
    for i in range(0, whole, CHUNK):
        values = list(chain.from_iterable(tuples(rows[i : min(i + CHUNK, whole)])))
        step = PER * width
        base.executemany(
            f"insert into {table} values {','.join([row] * PER)}",
            (values[k : k + step] for k in range(0, len(values), step)),
        )
    base.executemany(f"insert into {table} values {row}", tuples(rows[whole:]))


def _named(column: Array, names: Sequence[str]) -> Iterable[str]:
    return map(names.__getitem__, column.tolist())


def _task_tuples(t: Array, names: Names) -> Iterable[tuple[Any, ...]]:
    """In the order of the table's columns; SQLite stores NaN as null."""
    return zip(
        t["id"].tolist(), _named(t["ingress"], names.ingresses), _named(t["type"], names.types), t["at"].tolist(),
        t["deadline"].tolist(), _named(t["outcome"], TASK_OUTCOMES), t["latency"].tolist(), t["attempts"].tolist(),
        t["lag"].tolist(), strict=True,
    )  # fmt: skip


def _stage_tuples(s: Array, names: Names) -> Iterable[tuple[Any, ...]]:
    """In the order of the table's columns; SQLite stores NaN as null."""
    return zip(
        s["task"].tolist(), _named(s["stage"], names.stages), _named(s["service"], names.services),
        _named(s["instance"], names.instances), _named(s["node"], names.nodes), s["attempt"].tolist(),
        s["arrived"].tolist(), s["started"].tolist(), s["finished"].tolist(), _named(s["outcome"], STAGE_OUTCOMES),
        strict=True,
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def plain(value: Any) -> Any:
    """JSON-ready copy: dataclasses to objects, tuples and sets to lists, floats that JSON can't hold to null."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is float:
        return round(value, 9) if isfinite(value) else None
    if kind is dict:
        return {k if type(k) is str else _key(k): plain(v) for k, v in value.items()}
    if kind is list or kind is tuple:
        return [plain(v) for v in value]
    return _plain_other(value)


def _plain_other(value: Any) -> Any:
    """What is none of JSON's own types, or a kind of one."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return plain(dict(value))
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, (list, tuple)):
        return plain(list(value))
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return plain(kind(value))
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _key(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """(summary, metadata, events) of a finished run. Raises InputError where the folder holds none."""
    if not os.path.isfile(path / MARKER):
        raise InputError(
            f"{path}: no finished run here (its completion marker is missing); name the folder a run printed"
        )
    try:
        summary = json.loads((path / "summary.json").read_text())
        metadata = json.loads((path / "metadata.json").read_text())
        events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: its records are damaged ({error}); run the scenario again") from None
    return summary, metadata, events


def read_rows(path: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of tasks.sqlite, tasks in order of their number."""
    return (
        ask(path, "select * from tasks order by id"),
        ask(path, "select * from stages order by arrived_s, task"),
    )


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of a run's tasks.sqlite to a query."""
    base = sqlite3.connect(f"file:{path / 'tasks.sqlite'}?mode=ro", uri=True)
    try:
        return base.execute(query).fetchall()
    finally:
        base.close()
