"""The two tables of a run as NumPy columns, and the book of names their codes stand for.

One row per task (TASKS) and one per visit of a stage at an instance (STAGES). Times are nominal seconds since t = 0;
what did not happen is NaN. Fields are ordered so that nothing is padded but the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import SEEK_END
from itertools import chain
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from controller.model import Model

Array = NDArray[Any]

#: What became of a task; its code is the position here. A task without an answer yet has the last one.
TASK_OUTCOMES = ("on_time", "late", "expired", "refused", "unanswered")
ON_TIME, LATE, EXPIRED, REFUSED, UNANSWERED = range(5)
#: What became of a visit. "dropped" in the queue, before its service began; "lost" with its instance.
STAGE_OUTCOMES = ("done", "dropped", "lost")
DONE, DROPPED, LOST = range(3)

#: at: intended send. deadline: relative. latency: NaN unless it came back. lag: actual − intended send.
TASKS = np.dtype(
    [
        ("id", "i8"),
        ("at", "f8"),
        ("deadline", "f8"),
        ("latency", "f8"),
        ("lag", "f8"),
        ("ingress", "i2"),
        ("type", "i2"),
        ("attempts", "i2"),
        ("outcome", "i1"),
    ],
    align=True,
)

#: stage: code of the stage's name (`Names.stages`). attempt counts from 1. started: NaN for a visit that was not
#: served. finished: also of one that was dropped, when; NaN for one that was lost.
STAGES = np.dtype(
    [
        ("task", "i8"),
        ("arrived", "f8"),
        ("started", "f8"),
        ("finished", "f8"),
        ("instance", "i4"),
        ("stage", "i2"),
        ("service", "i2"),
        ("node", "i2"),
        ("attempt", "i2"),
        ("outcome", "i1"),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are new since the last time: `tasks` of dtype TASKS, `stages` of dtype STAGES."""

    tasks: Array
    stages: Array


def no_rows() -> Rows:
    return Rows(np.empty(0, TASKS), np.empty(0, STAGES))


@dataclass
class Names:
    """Names ↔ codes; a code is a position. All but `instances` follow from the model, in its order.

    stages: distinct stage names in order of first appearance over the types. stage_of, service_of [types, S]:
    codes of the stage at each position of each type, -1 past its last; S is the most stages a type has.
    """

    ingresses: tuple[str, ...]
    types: tuple[str, ...]
    stages: tuple[str, ...]
    services: tuple[str, ...]
    nodes: tuple[str, ...]
    stage_of: Array
    service_of: Array
    instances: list[str] = field(default_factory=list)
    _instances: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model) -> Names:
        """The book of this model, no instance in it yet."""
        stages = tuple(dict.fromkeys(s.name for n in model.tasks for s in n.stages))
        services = tuple(m.name for m in model.services())
        width = max((len(n.stages) for n in model.tasks), default=0)
        stage_of = np.full((len(model.tasks), width), -1, np.int16)
        service_of = np.full((len(model.tasks), width), -1, np.int16)
        for n, kind in enumerate(model.tasks):
            for i, s in enumerate(kind.stages):
                stage_of[n, i], service_of[n, i] = stages.index(s.name), services.index(s.service)
        return cls(
            tuple(o.name for o in model.ingresses),
            tuple(n.name for n in model.tasks),
            stages,
            services,
            tuple(v.name for v in model.nodes),
            stage_of,
            service_of,
        )

    def instance(self, name: str) -> int:
        """The code of an instance, a new one when it is seen for the first time."""
        code = self._instances.setdefault(name, len(self.instances))
        if code == len(self.instances):
            self.instances.append(name)
        return code


def task_rows(values: Iterable[Sequence[Any]]) -> Array:
    """A TASKS table of tuples in the order of its fields."""
    return np.array([tuple(v) for v in values], TASKS)


def stage_rows(values: Iterable[Sequence[Any]]) -> Array:
    """A STAGES table of tuples in the order of its fields."""
    return np.array([tuple(v) for v in values], STAGES)


class TaskBook:
    """Every task that was offered, in order of its id (1, 2, 3, …), and what became of it so far."""

    def __init__(self) -> None:
        self._rows, self._closed = np.empty(1024, TASKS), np.zeros(1024, bool)
        self.offered = self.resolved = self.on_time = 0

    def offer(self, rows: Array) -> None:
        """Add tasks; their ids carry on from the last one's, so that row i is task i + 1."""
        n, end = self.offered, self.offered + len(rows)
        if len(rows) and (rows["id"][0] != n + 1 or rows["id"][-1] != end):
            raise ValueError(f"tasks {rows['id'][0]} to {rows['id'][-1]} offered after task {n}: ids must carry on")
        while end > len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._closed = np.concatenate([self._closed, np.zeros_like(self._closed)])
        self._rows[n:end] = rows
        self.offered = end

    def resolve(self, rows: Array) -> None:
        """What became of tasks that were offered, one row each. ValueError for a stranger and for a second row."""
        at = rows["id"] - 1
        if len(at) and not (at.min() >= 0 and at.max() < self.offered):
            raise ValueError(f"rows of tasks {rows['id'].min()} to {rows['id'].max()}; {self.offered} were offered")
        self._rows[at] = rows
        self._closed[at] = True
        self.resolved += len(at)
        self.on_time += int(np.count_nonzero(rows["outcome"] == ON_TIME))
        if np.count_nonzero(self._closed) != self.resolved:
            raise ValueError("a task has a second row")

    def intended(self, until: float) -> int:
        """How many were to be sent by then; rows are in order of time."""
        return int(np.searchsorted(self._rows["at"][: self.offered], until, side="right"))

    def rows(self) -> Array:
        """One row per task offered, in order of id; one without an answer is unanswered."""
        return self._rows[: self.offered]


#: Pieces that may lie about before they are joined: a piece of few rows is mostly overhead.
LOOSE = 64


class Pile:
    """A table that grows by pieces and is never put together as a whole: it is read once, chunk by chunk.

    file: read-write and ours alone; pieces go there as they are joined, so that an hour's table takes no memory.
    """

    def __init__(self, dtype: np.dtype[Any], chunk: int = 1 << 18, file: IO[bytes] | None = None) -> None:
        self._dtype, self._chunk, self._pieces = dtype, chunk, list[Array]()
        self._joined = 0  # of the pieces, those that are many in one
        self._file, self._filed = file, 0  # rows

    def add(self, rows: Array) -> None:
        """OSError where the file can't take them."""
        if len(rows):
            self._pieces.append(rows)
        if len(self._pieces) - self._joined < LOOSE:
            return
        some = np.concatenate(self._pieces[self._joined :])
        if self._file is None:
            self._pieces[self._joined :] = [some]
            self._joined += 1
        else:
            self._file.seek(0, SEEK_END)
            left = memoryview(some.tobytes())
            while left:  # a file without a buffer may take a part
                left = left[self._file.write(left) :]
            self._filed, self._pieces = self._filed + len(some), []

    def __len__(self) -> int:
        return self._filed + sum(map(len, self._pieces))

    def chunks(self) -> Iterator[Array]:
        """All rows in the order they came, pieces joined while they are no longer than a chunk; one empty of none."""
        some, n = [np.empty(0, self._dtype)], 0
        for piece in chain(self._from_file(), self._pieces):
            if n and n + len(piece) > self._chunk:
                yield np.concatenate(some)
                some, n = [], 0
            some.append(piece)
            n += len(piece)
        yield np.concatenate(some)

    def _from_file(self) -> Iterator[Array]:
        for first in range(0, self._filed, self._chunk):
            assert self._file is not None
            self._file.seek(first * self._dtype.itemsize)
            n = min(self._chunk, self._filed - first)
            yield np.frombuffer(self._file.read(n * self._dtype.itemsize), self._dtype)
