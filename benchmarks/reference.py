"""The reference scenario as it stands, in the twin: `python -m benchmarks.reference` prints one JSON line.

A short run goes before, so that everything is compiled and imported. seconds: CPU time, of the one thread there is, of
the run and its records without the core placement; world: of them, inside the world; wall: by the clock on the wall.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from testbed.run.execute import execute, run_id_of
from testbed.run.prepare import prepare
from testbed.world.twin.world import TwinWorld

ROOT = Path(__file__).resolve().parents[1]
VERBS = ("up", "start", "offer", "advance", "observe", "apply", "rows", "events", "status", "measures")


class Clocked:
    """CPU seconds spent in a world's verbs."""

    def __init__(self, world: TwinWorld) -> None:
        self.seconds = 0.0
        for verb in VERBS:
            setattr(world, verb, self._timed(getattr(world, verb)))

    def _timed(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            begun = process_time()
            try:
                return verb(*words)
            finally:
                self.seconds += process_time() - begun

        return call


def run(*sets: str) -> dict[str, float]:
    p = prepare(ROOT / "scenarios" / "e12.yaml", list(sets), "twin")
    with TemporaryDirectory(prefix="reference-") as folder:
        world = TwinWorld(run_id_of(p), lambda text: None)
        clock = Clocked(world)
        begun, wall = process_time(), perf_counter()
        out = Path(folder, "run")
        summary = execute(p, world, out, lambda f: ([], []), lambda seen: None, lambda text: None, world.run_id, False)
        seconds, wall = process_time() - begun, perf_counter() - wall
    return {
        "tasks": summary["tasks"]["offered"], "nominal": p.horizon, "seconds": seconds, "wall": wall,
        "placement": p.placement_s, "world": clock.seconds,
    }  # fmt: skip


if __name__ == "__main__":
    run("run.duration=2 s", "run.warmup=1 s")
    print(json.dumps(run()))
