"""What the containers reported and nobody has asked for yet: rows of the run, and the samples of a slot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from testbed.record.tables import Names, Rows
from testbed.world.live.hub import HubBatch
from testbed.world.live.rows import StageRow, TaskDraw, TaskRow, tables_of


class Intake:
    """names: of services and types, for the tables. domain: of each endpoint. note: hears what was said."""

    def __init__(self, names: Names, domain: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._names, self._domain, self._note = names, domain, note
        self.backlogs: Mapping[str, tuple[int, int]] = {}
        self._task_rows: list[TaskRow] = []
        self._stage_rows: list[StageRow] = []
        self._arrivals: Counter[tuple[str, str]] = Counter()
        self._services: dict[str, list[float]] = defaultdict(list)
        self._waits: dict[str, list[float]] = defaultdict(list)
        self._offered: list[TaskDraw] = []
        self._seen = 0.0

    def offer(self, draws: Sequence[TaskDraw]) -> None:
        """Tasks that will arrive: they count as offered in the slot they do."""
        self._offered += draws

    def absorb(self, batch: HubBatch) -> None:
        """Keep what the hub gathered."""
        self._task_rows += batch.task_rows
        self._stage_rows += batch.stage_rows
        self.backlogs = batch.backlogs
        for (service, sender), n in batch.arrivals.items():
            self._arrivals[service, self._domain[sender]] += n
        for service, values in batch.service_samples.items():
            self._services[service] += values
        for service, values in batch.waits.items():
            self._waits[service] += values
        for text in batch.notes:
            self._note(text)

    def slot(self, now: float) -> dict[str, Any]:
        """The fields of an Observation that are counts and samples since the last call. now: nominal s."""
        offered: dict[tuple[str, str], int] = defaultdict(int)
        for t in self._offered:
            if self._seen <= t.at < now:
                offered[t.ingress, t.type] += 1
        self._offered = [t for t in self._offered if t.at >= now]
        self._seen = now
        found = {
            "arrivals": dict(self._arrivals),
            "services": {m: tuple(x) for m, x in self._services.items()},
            "waits": {m: tuple(x) for m, x in self._waits.items()},
            "offered": dict(offered),
        }
        self._arrivals.clear()
        self._services.clear()
        self._waits.clear()
        return found

    def rows(self) -> Rows:
        """Of tasks and stages, since the last call."""
        out = tables_of(self._task_rows, self._stage_rows, self._names)
        self._task_rows, self._stage_rows = [], []
        return out
