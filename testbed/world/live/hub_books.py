"""What the hub knows about its containers, and what it has gathered since the orchestrator last asked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.world.live.hub_connection import Connection, Message
from testbed.world.live.rows import StageRow, TaskDraw, TaskRow

Visit = tuple[int, str, int]  # task, stage, attempt
Attempt = tuple[int, int]  # task, attempt
OUTCOMES = frozenset({"on_time", "late", "expired", "refused", "unanswered"})
STAGE_OUTCOMES = frozenset({"done", "dropped", "lost"})


@dataclass(slots=True)
class Member:
    """A container the hub expects. Times in wire seconds.

    held: visits it has reported as arrived and not as finished. recent: visits it finished lately: what it sent on
    may not have left its node yet.
    """

    id: str
    role: str
    token: str
    config: Message
    connection: Connection | None = None
    ready_at: float | None = None
    state_whole: bool | None = None
    failed: str | None = None
    view_seen: int = 0
    drained: bool = False
    released: set[str] = field(default_factory=set)  # gateways: instances
    held: dict[Visit, float] = field(default_factory=dict)
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)  # finished, task, attempt
    backlog: int = 0
    busy: int = 0
    gateway: dict[str, float] = field(default_factory=dict)
    heard: float = 0.0  # when it reported last, on CLOCK_MONOTONIC
    outbox: list[bytes] = field(default_factory=list)  # lines for a gateway that is not connected yet

    @property
    def longest_deadline(self) -> float:
        """Of all task types, wire s."""
        return float(max((t["deadline"] for t in self.config["types"]), default=0.0))

    def tasks_held(self) -> int:
        return len({task for task, _, _ in self.held})

    def whereabouts(self, lately: float) -> tuple[list[Attempt], list[Attempt]]:
        """(attempts that die with it, attempts that are through): what it finished in the last `lately` s may be still
        here: before its last report, not before now, for a crash is known later than it happens."""
        since = self.heard - lately
        held = {(task, attempt) for task, _, attempt in self.held}
        held |= {(task, attempt) for at, task, attempt in self.recent if at >= since}
        return sorted(held), sorted({(task, attempt) for _, task, attempt in self.recent} - held)


@dataclass(frozen=True, slots=True)
class HubBatch:
    """Everything since the last `take`. Nominal seconds; times since the origin.

    arrivals: requests by (service, sender's endpoint). waits: of requests served or dropped, the latter with the
    wait they had. backlogs: id → (requests present, busy workers), newest. gateway: name → {"inflight", "sent",
    "cpu" (s of CPU since its start, real)}. gone: containers whose control connection ended. notes: for a person.
    """

    stage_rows: list[StageRow] = field(default_factory=list)
    task_rows: list[TaskRow] = field(default_factory=list)
    arrivals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    service_samples: Mapping[str, list[float]] = field(default_factory=dict)
    waits: Mapping[str, list[float]] = field(default_factory=dict)
    backlogs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    gateway: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Books:
    """Turns telemetry into rows. Not thread-safe: the hub's loop owns it."""

    def __init__(self, dilate: float) -> None:
        self._dilate = dilate
        self.origin: float | None = None
        self.draws: dict[int, TaskDraw] = {}  # offered and without a row yet
        self.gone: list[str] = []
        self.notes: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self._stage_rows: list[StageRow] = []
        self._task_rows: list[TaskRow] = []
        self._arrivals: Counter[tuple[str, str]] = Counter()
        self._samples: dict[str, list[float]] = {}
        self._waits: dict[str, list[float]] = {}

    def take(self, members: Mapping[str, Member]) -> HubBatch:
        """Hand over and begin anew."""
        batch = HubBatch(
            self._stage_rows,
            self._task_rows,
            dict(self._arrivals),
            self._samples,
            self._waits,
            {m.id: (m.backlog, m.busy) for m in members.values() if m.role == "stub"},
            {m.config["name"]: dict(m.gateway) for m in members.values() if m.role == "gateway"},
            tuple(self.gone),
            tuple(self.notes),
        )
        self.gone, self.notes = [], []
        self._reset()
        return batch

    def stub(self, member: Member, message: Message, keep_recent: float) -> None:
        """A stub's telemetry. keep_recent: s for which a finished visit stays in `recent`."""
        service = member.config["service"]
        member.backlog, member.busy = int(message["backlog"]), int(message["busy"])
        for source, n in message.get("arrivals", {}).items():
            self._arrivals[service, source] += int(n)
        for task, stage, attempt, at in message.get("arrived", ()):
            member.held[_visit(task, stage, attempt)] = float(at)
        newest = 0.0
        for task, stage, attempt, arrived, started, finished, outcome, _ in message.get("rows", ()):
            if outcome not in STAGE_OUTCOMES:
                raise ValueError(f"outcome {outcome!r} is not one of {sorted(STAGE_OUTCOMES)}")
            visit = _visit(task, stage, attempt)
            member.held.pop(visit, None)
            self._stage_row(member, visit, arrived, started, finished, outcome)
            if outcome == "done":
                member.recent.append((finished, task, attempt))
                newest = finished
        while member.recent and member.recent[0][0] < newest - keep_recent:
            member.recent.popleft()

    def _stage_row(
        self, member: Member, visit: Visit, arrived: float, started: float | None, finished: float | None, outcome: str
    ) -> None:
        service = member.config["service"]
        scale = 1.0 / self._dilate
        if outcome == "done" and started is not None and finished is not None:
            self._samples.setdefault(service, []).append((finished - started) * scale)
            self._waits.setdefault(service, []).append((started - arrived) * scale)
        elif outcome == "dropped" and finished is not None:
            self._waits.setdefault(service, []).append((finished - arrived) * scale)
        task, stage, attempt = visit
        self._stage_rows.append(
            StageRow(
                task,
                stage,
                service,
                member.id,
                member.config["node"],
                attempt,
                self._nominal(arrived),
                None if started is None else self._nominal(started),
                None if finished is None or outcome == "lost" else self._nominal(finished),
                outcome,
            )
        )

    def lose(self, member: Member) -> int:
        """Close the books of a dead instance: what it held is lost. Returns how many tasks that are."""
        tasks = member.tasks_held()
        for visit, arrived in member.held.items():
            self._stage_row(member, visit, arrived, None, None, "lost")
        member.held.clear()
        member.recent.clear()
        member.backlog = member.busy = 0
        return tasks

    def gateway(self, member: Member, message: Message) -> None:
        """A gateway's telemetry: one row per task that is over, no more and no less."""
        member.gateway = {key: float(message[key]) for key in ("inflight", "sent", "cpu")}
        for number, outcome, latency, attempts, lag in message["rows"]:
            if outcome not in OUTCOMES:
                raise ValueError(f"outcome {outcome!r} is not one of {sorted(OUTCOMES)}")
            draw = self.draws.pop(int(number), None)
            if draw is None:
                self.notes.append(f"{member.id}: a second row of task {number} ({outcome}); ignored")
                continue
            scaled = None if latency is None else latency / self._dilate
            row = TaskRow(
                number, draw.ingress, draw.type, draw.at, draw.deadline, outcome, scaled, attempts, lag / self._dilate
            )
            self._task_rows.append(row)

    def _nominal(self, at: float) -> float:
        return (at - (self.origin or 0.0)) / self._dilate


def _visit(task: object, stage: object, attempt: object) -> Visit:
    if type(task) is not int or type(stage) is not str or type(attempt) is not int:
        raise ValueError(f"a visit of task {task!r}, stage {stage!r}, attempt {attempt!r}")
    return task, stage, attempt


def wire_types(tasks: Any, dilate: float, shrink: float) -> list[dict[str, Any]]:
    """`types` of a config message from controller.model.TaskType values: times × dilate, bytes ÷ shrink."""
    return [
        {
            "name": t.name,
            "deadline": t.deadline * dilate,
            "output": t.output / shrink,
            "stages": [
                {
                    "name": s.name,
                    "service": s.service,
                    "inputs": [{"source": i.source, "bytes": i.bytes / shrink} for i in s.inputs],
                }
                for s in t.stages
            ],
        }
        for t in tasks
    ]


def wire_tasks(tasks: Sequence[TaskDraw], dilate: float) -> list[list[Any]]:
    """Rows of a tasks message: times × dilate; the size factor applies to bytes already shrunk in `types`."""
    k = dilate
    return [
        [t.id, t.type, t.at * k, t.deadline * k, t.access * k, {s: w * k for s, w in t.work.items()}, t.size]
        for t in tasks
    ]
