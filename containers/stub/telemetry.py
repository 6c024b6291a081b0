"""What a stub tells the hub, once per view: counts, arrivals not finished yet, and rows of finished visits."""

from __future__ import annotations

from collections import Counter
from typing import Any

ROWS_LIMIT = 100_000  # kept while the hub is away; beyond, the oldest go

Row = list[Any]  # task, stage, attempt, arrived, started, finished, outcome, work


class Telemetry:
    """Collects between two reports."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.arrivals: Counter[str] = Counter()  # requests by sender's node
        self.arrived: dict[tuple[int, str, int], float] = {}  # (task, stage, attempt) → when, if not in rows
        self.outcomes: Counter[str] = Counter()  # since the start, for /metrics
        self._last: tuple[int, int] | None = None

    def arrive(self, task: int, stage: str, attempt: int, at: float) -> None:
        self.arrived[task, stage, attempt] = at

    def row(
        self,
        header: dict[str, Any],
        arrived: float,
        started: float | None,
        finished: float | None,
        outcome: str,
        work: float,
    ) -> None:
        """A visit is over. finished: when, also for a request that was dropped."""
        task, stage, attempt = header["task"], header["stage"], header["attempt"]
        self.arrived.pop((task, stage, attempt), None)
        self.outcomes[outcome] += 1
        self.rows.append([task, stage, attempt, arrived, started, finished, outcome, work])
        if len(self.rows) > ROWS_LIMIT:
            del self.rows[: ROWS_LIMIT // 10]

    def changed(self, backlog: int, busy: int) -> bool:
        """Whether there is more to say than the number of the view."""
        return bool(self.rows or self.arrived or self.arrivals) or self._last is None or self._last != (backlog, busy)

    def message(self, backlog: int, busy: int, version: int) -> dict[str, Any]:
        """The report; `sent` empties it once the control socket took it."""
        out: dict[str, Any] = {"t": "telemetry", "v": version, "backlog": backlog, "busy": busy}
        self._last = (backlog, busy)
        if self.arrivals:
            out["arrivals"] = self.arrivals
        if self.arrived:
            out["arrived"] = [[*key, at] for key, at in self.arrived.items()]
        if self.rows:
            out["rows"] = self.rows
        return out

    def sent(self) -> None:
        self.rows = []
        self.arrivals = Counter()
        self.arrived = {}
