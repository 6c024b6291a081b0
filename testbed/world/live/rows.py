"""Single tasks, their rows and stage visits, as gateways and stubs speak of them; tables begin at the world's door.

A live run has some thousands of them, a message at a time: objects are clearer here, and cheap enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from testbed.record.tables import STAGE_OUTCOMES, TASK_OUTCOMES, Names, Rows, stage_rows, task_rows
from testbed.world.base import TaskBatch


@dataclass(frozen=True, slots=True)
class TaskDraw:
    """One task, everything random about it drawn beforehand (design.md §3). Nominal units.

    at: intended send, s. access: delay of its access channel, s. work: per stage, s at speed 1 (before
    contention and node speed). size: factor on all bytes of its DAG.
    """

    id: int
    ingress: str
    type: str
    at: float
    deadline: float  # relative, s
    access: float
    work: Mapping[str, float]
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What became of a task. outcome: "on_time" | "late" | "expired" | "refused" | "unanswered"."""

    id: int
    ingress: str
    type: str
    at: float
    deadline: float
    outcome: str
    latency: float | None
    attempts: int
    lag: float  # actual − intended send, s nominal


@dataclass(frozen=True, slots=True)
class StageRow:
    """One visit of one stage at one instance; times nominal since t = 0; outcome "done"|"dropped"|"lost"."""

    task: int
    stage: str
    service: str
    instance: str
    node: str
    attempt: int
    arrived: float
    started: float | None
    finished: float | None
    outcome: str


def draws_of(batch: TaskBatch, names: Names) -> list[TaskDraw]:
    """The tasks of a batch, in its order."""
    columns = zip(
        batch.id.tolist(), batch.ingress.tolist(), batch.type.tolist(), batch.at.tolist(), batch.deadline.tolist(),
        batch.access.tolist(), batch.work.tolist(), batch.size.tolist(), strict=True,
    )  # fmt: skip
    stages = [[names.stages[k] for k in row if k >= 0] for row in names.stage_of.tolist()]
    return [
        TaskDraw(i, names.ingresses[o], names.types[n], at, deadline, access, dict(zip(stages[n], work)), size)  # noqa: B905  columns past a type's last stage are empty
        for i, o, n, at, deadline, access, work, size in columns
    ]


def tables_of(tasks: Iterable[TaskRow], stages: Iterable[StageRow], names: Names) -> Rows:
    """As columns, in order; None becomes NaN."""
    return Rows(
        task_rows(
            (
                t.id, t.at, t.deadline, _or_nan(t.latency), t.lag, names.ingresses.index(t.ingress),
                names.types.index(t.type), t.attempts, TASK_OUTCOMES.index(t.outcome),
            )
            for t in tasks
        ),
        stage_rows(
            (
                s.task, s.arrived, _or_nan(s.started), _or_nan(s.finished), names.instance(s.instance),
                names.stages.index(s.stage), names.services.index(s.service), names.nodes.index(s.node), s.attempt,
                STAGE_OUTCOMES.index(s.outcome),
            )
            for s in stages
        ),
    )  # fmt: skip


def _or_nan(x: float | None) -> float:
    return np.nan if x is None else x
