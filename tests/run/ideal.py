"""An ideal world: time jumps, every task comes back at half its deadline, disturbances are noted. For the loop."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from controller.decision import Decision
from controller.observation import Observation
from testbed.record.tables import ON_TIME, STAGES, TASKS, Rows
from testbed.world.base import Bed, Disturbance, Event, TaskBatch


class IdealWorld:
    name = "ideal"

    def __init__(self, early_at: float | None = None) -> None:
        self.time, self.early_at = 0.0, early_at
        self.open = np.empty(0, TASKS)
        self.log: list[tuple[str, float, Any]] = []
        self.late_offers = 0

    def cannot(self, scenario: Any, topology: Any) -> list[str]:
        return []

    def up(self, bed: Bed) -> None:
        self.log.append(("up", self.time, None))

    def start(self) -> None:
        self.time = 0.0

    def offer(self, tasks: TaskBatch) -> None:
        self.late_offers += np.count_nonzero(tasks.at < self.time)
        self.open = np.concatenate([self.open, tasks.rows()])

    def advance(self, until: float) -> None:
        if self.early_at is not None and self.time < self.early_at < until:
            until, self.early_at = self.early_at, None
        self.time = max(self.time, until)

    def now(self) -> float:
        return self.time

    def observe(self, slot: int) -> Observation:
        self.log.append(("observe", self.time, slot))
        return Observation(slot, self.time, ())

    def apply(self, decision: Decision) -> None:
        self.log.append(("apply", self.time, decision))

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        self.log.append(("disturb", self.time, target))
        return Disturbance("d", verb, target, shape, self.time, True, "seen")

    def undo(self, disturbance: Disturbance) -> Disturbance:
        self.log.append(("undo", self.time, disturbance.target))
        return replace(disturbance, reverted_at=self.time)

    def events(self) -> list[Event]:
        return []

    def rows(self) -> Rows:
        over = self.open["at"] + self.open["deadline"] / 2 <= self.time
        done, self.open = self.open[over], self.open[~over]
        done["outcome"], done["latency"] = ON_TIME, done["deadline"] / 2
        return Rows(done, np.empty(0, STAGES))

    def measures(self) -> Mapping[str, Any]:
        return {}

    def status(self) -> Mapping[str, Any]:
        return {"instances": [], "nodes": [], "links": []}

    def down(self) -> None:
        self.log.append(("down", self.time, None))
