"""What a run costs besides its world and its policy: draws, loop and records, in a world that costs nothing.

Draws are held against one NumPy generator per key, as they were before decision 11. CPU time of this process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.decision import Decision
from controller.observation import Observation
from testbed.record.tables import ON_TIME, STAGES, TASKS, Rows, no_rows
from testbed.run.execute import execute
from testbed.run.prepare import Prepared, prepare
from testbed.scenario.streams import stream
from testbed.world.base import Bed, Disturbance, Event, TaskBatch

ROOT = Path(__file__).parents[1]


class Free:
    """A world without a cost: every task is back at half its deadline, after one visit per stage of the widest type."""

    name = "twin"
    time = 0.0
    bed: Bed

    def cannot(self, scenario: Any, topology: Any) -> list[str]:
        return []

    def up(self, bed: Bed) -> None:
        self.bed, self.open = bed, np.empty(0, TASKS)

    def start(self) -> None: ...

    def offer(self, tasks: TaskBatch) -> None:
        self.open = np.concatenate([self.open, tasks.rows()])

    def advance(self, until: float) -> None:
        self.time = until

    def now(self) -> float:
        return self.time

    def observe(self, slot: int) -> Observation:
        return Observation(slot, self.time, ())

    def apply(self, decision: Decision) -> None: ...

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        return Disturbance("d", verb, target, shape, self.time, True, "")

    def undo(self, disturbance: Disturbance) -> Disturbance:
        return replace(disturbance, reverted_at=self.time)

    def events(self) -> list[Event]:
        return []

    def rows(self) -> Rows:
        if not hasattr(self, "bed"):
            return no_rows()
        over = self.open["at"] + self.open["deadline"] / 2 <= self.time
        done, self.open = self.open[over], self.open[~over]
        done["outcome"], done["latency"] = ON_TIME, done["deadline"] / 2
        each = self.bed.names.stage_of.shape[1]
        visits = np.zeros(each * len(done), STAGES)
        visits["task"], visits["arrived"] = np.repeat(done["id"], each), np.repeat(done["at"], each)
        visits["started"], visits["finished"] = visits["arrived"] + 0.01, visits["arrived"] + 0.06
        visits["instance"] = self.bed.names.instance("somewhere")
        return Rows(done, visits)

    def measures(self) -> Mapping[str, Any]:
        return {}

    def status(self) -> Mapping[str, Any]:
        return {"instances": [], "nodes": [], "links": []}

    def down(self) -> None: ...


def prepared(load: float) -> Prepared:
    return prepare(ROOT / "scenarios" / "e12.yaml", [f"load={load}", "policy.name=nothing"], "twin")


def draws(p: Prepared) -> tuple[int, float, float]:
    """(tasks, µs a task in blocks, µs a task with a generator per key)."""
    before = time.process_time()
    n = len(p.source().until(p.horizon))
    blocks = time.process_time() - before
    model, some = p.resolved.model, 500
    before = time.process_time()
    for k in range(some):
        kind = model.tasks[k % len(model.tasks)]
        stream(1, "task", "gw", k).random()
        stream(1, "access", "gw", k).gamma(3.0, 1 / 3)
        for s in kind.stages:
            stream(1, "work", "gw", k, s.name).gamma(2.0, 0.5)
    return n, 1e6 * blocks / n, 1e6 * (time.process_time() - before) / some


def whole(p: Prepared) -> float:
    """CPU s of a run but for its world, its policy and its placement."""
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        execute(p, Free(), Path(folder) / "run", lambda f: ([], []), lambda s: None, lambda s: None, "r", latest=False)
        return time.process_time() - before


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="pipeline", description=__doc__)
    parser.add_argument("--loads", type=float, nargs="*", default=[1.0, 33.0], help="multiples of e12's 60 tasks/s")
    whole(prepared(1.0))  # imports and caches
    print("   tasks  draws, µs/task  a generator per key  ratio  whole, CPU s  µs/task  peak MB")
    for load in parser.parse_args(arguments).loads:
        p = prepared(load)
        n, blocks, keyed = draws(p)
        seconds = whole(p)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{n:8d}  {blocks:14.2f}  {keyed:19.1f}  {keyed / blocks:5.1f}  {seconds:12.3f}  {1e6 * seconds / n:7.1f}"
            f"  {peak:7.0f}"
        )
