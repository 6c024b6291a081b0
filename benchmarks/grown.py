"""The reference scenario made wider and longer: `python -m benchmarks.grown GROUPS TASKS` prints one JSON line.

A group is what the reference has per cluster: four nodes (one of each kind), 20 tasks/s, one instance of every core
service and four workers of every light one. Groups share clusters when there are more than fifty. Nobody decides and
nothing is placed by a solver: what is timed is the world, the loop and the records.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from benchmarks.tandem import peak
from controller.decision import Decision, Start
from controller.model import Model, Node
from testbed.run.execute import execute, run_id_of
from testbed.run.prepare import Prepared, prepare
from testbed.world.twin.world import TwinWorld

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("big", "medium", "small", "tiny")
MOST_CLUSTERS, PER_GROUP, WORKERS = 50, 20.0, 4


def spread(model: Model) -> Decision:
    """Every service in every group of four nodes: core services and light workers dealt over the group's nodes."""
    by_domain: dict[str, list[Node]] = {}
    for v in model.nodes:
        by_domain.setdefault(v.domain, []).append(v)
    groups = [nodes[i : i + len(KINDS)] for nodes in by_domain.values() for i in range(0, len(nodes), len(KINDS))]
    # vision and audio on the first node, llm on the second, …: the order in which they fit (memory 48, 32, 24, 16 GB)
    seat = {"vision": 0, "llm": 1, "audio": 2, "fusion": 2, "generator": 0}
    starts = []
    for k, nodes in enumerate(groups):
        starts += [Start(f"{m.name}-{k}", m.name, nodes[seat[m.name]].name, m.streams) for m in model.core]
        starts += [
            Start(f"{m.name}-{k}", m.name, nodes[i % len(nodes)].name, WORKERS) for i, m in enumerate(model.light)
        ]
    return Decision(0, tuple(starts), ("spread",) * len(starts))


def grown(groups: int, tasks: int) -> Prepared:
    """Warm-up 1 s, then so long that about `tasks` are offered."""
    clusters = min(groups, MOST_CLUSTERS)
    if groups % clusters:
        raise ValueError(f"{groups} groups don't divide over {clusters} clusters")
    kinds = ", ".join(KINDS * (groups // clusters))
    seconds = tasks / (PER_GROUP * groups)
    mesh = "ring" if clusters > 3 else "full_mesh"
    sets = [
        *(f"topology.{k}={v}" for k, v in (("clusters", clusters), ("nodes", f"[{kinds}]"), ("mesh", mesh))),
        *("policy.name=nothing", f"arrivals.rate={PER_GROUP * groups:g} /s"),
        *("run.warmup=1 s", f"run.duration={seconds:g} s"),
    ]
    p = prepare(ROOT / "scenarios" / "e12.yaml", sets, "twin")
    return dataclasses.replace(p, initial=spread(p.resolved.model))


def run(p: Prepared) -> tuple[float, float, dict[str, object]]:
    """(CPU seconds of the one thread there is, seconds by the clock on the wall, summary) of a run, records written."""
    with TemporaryDirectory(prefix="grown-") as folder:
        world = TwinWorld(run_id_of(p), lambda text: None)
        begun, wall = process_time(), perf_counter()
        out = Path(folder, "run")
        summary = execute(p, world, out, lambda f: ([], []), lambda seen: None, lambda text: None, world.run_id, False)
        return process_time() - begun, perf_counter() - wall, summary


def measure(groups: int, tasks: int) -> dict[str, float]:
    """Seconds and peak memory of one run; a short one goes before, so that everything is compiled and imported."""
    run(grown(1, 50))
    p = grown(groups, tasks)
    before = peak()
    seconds, wall, summary = run(p)
    counted = summary["tasks"]
    assert isinstance(counted, dict)
    return {
        "nodes": len(p.resolved.model.nodes), "tasks": counted["offered"], "on_time": counted["on_time"],
        "nominal": p.horizon, "seconds": seconds, "wall": wall, "peak_bytes": peak(), "before_bytes": before,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
