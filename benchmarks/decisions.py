"""What a decision costs: routing one request, admitting one task, control slots of 12 to 1,000 nodes, drawing one task.

Ratio of routing: against choosing by a fixed weight (`random.choices`), what a user without a view would write. Wide
instances are the reference scenario grown (benchmarks/grown.py): four nodes and 20 tasks/s a group, seeded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.grown import grown, spread
from controller.decision import Action, Migrate, Placement, Resize, Start
from controller.light import control, demand, loops
from controller.light.routing import Target, View, route
from controller.light.state import Parameters
from controller.model import Model
from controller.observation import InstanceState, Observation
from testbed.run.prepare import prepare

#: groups of four nodes → ms that a slot may take at p99.
GOALS = {3: 1, 25: 3, 250: 15}
SLOTS, REPEATS = 60, 5
ROOT = Path(__file__).resolve().parents[1]


def per_call(work: Callable[[], object], least_s: float = 0.3) -> float:
    """Seconds of one call, over at least `least_s` of calls."""
    n, total = 0, 0.0
    while total < least_s:
        before = time.perf_counter()
        for _ in range(200):
            work()
        total += time.perf_counter() - before
        n += 200
    return total / n


def main() -> None:
    """Print the table."""
    nodes = [f"n{i}" for i in range(6)]
    targets = tuple(Target(f"m-{i}", v, "10.0.0.1", 7000, 2, i, 0.03) for i, v in enumerate(nodes))
    index = {v: i for i, v in enumerate([*nodes, "gw"])}
    flat = tuple(tuple(0.001 * abs(i - j) for j in range(7)) for i in range(7))
    view = View({"m": targets}, index, flat, flat)
    ours = per_call(lambda: route(view, "m", "gw", 1000.0))
    theirs = per_call(lambda: random.choices(targets, (1, 2, 3, 3, 2, 1)))
    print(f"route, 6 instances          {ours * 1e6:8.2f} µs   {ours / theirs:5.1f} × random.choices")

    p = prepare(ROOT / "scenarios" / "e12.yaml", [], "plan")
    source = p.source()
    before = time.perf_counter()
    drawn = source.until(20.0)
    print(f"draw a task                 {(time.perf_counter() - before) / len(drawn) * 1e6:8.2f} µs")
    print(f"core placement, e12         {p.placement_s:8.2f} s, gap {p.placement.gap:.2%}, {p.placement.status}")
    for groups, goal in GOALS.items():
        p50, p99 = decide(grown(groups, 1000).resolved.model)
        text = f"one control slot, {4 * groups} nodes"
        print(f"{text:28s}{p50 * 1e3:8.2f} ms p50, {p99 * 1e3:.2f} ms p99 of {SLOTS} (goal: {goal} ms)")


def decide(model: Model, seed: int = 1) -> tuple[float, float]:
    """Seconds of `step` at the median and at p99 over SLOTS slots, each the least of REPEATS calls: it is pure.

    Decisions take effect at once; arrivals are Poisson in the reference's bursts (0.7 and 1.6 of the mean for 4 and 2
    slots on average, each cluster its own), service times Gamma, 60 a slot.
    """
    loops.ready()
    placed = core_only(model)
    state, decision = control.begin(model, placed, Parameters())
    there = {a.id: InstanceState(a.id, a.service, a.node, a.workers) for a in decision.actions if isinstance(a, Start)}
    asked = demand.planned(model, placed, demand.task_rates(model, 1.0))
    rates = {(m.name, g): rate for m in model.light for g, rate in asked[m.name].items()}
    tasks = {(o.name, n.name): model.load * o.weight * n.share for o in model.ingresses for n in model.tasks}
    dice = np.random.Generator(np.random.Philox(seed))
    burst = {o.domain: bool(dice.random() < 1 / 3) for o in model.ingresses}
    took = []
    for k in range(1, SLOTS + 1):
        burst = {g: not b if dice.random() < (0.5 if b else 0.25) else b for g, b in burst.items()}
        seen = Observation(
            k, float(k), tuple(there.values()),
            {key: int(dice.poisson(rate * (1.6 if burst.get(key[1]) else 0.7))) for key, rate in rates.items()},
            {m.name: tuple((m.work / np.maximum(dice.gamma(2.0, 0.5, 60), 0.1)).tolist()) for m in model.light},
            {m.name: tuple(dice.exponential(0.01, 60).tolist()) for m in model.light},
            {key: int(dice.poisson(rate)) for key, rate in tasks.items()},
            model.paths,
        )  # fmt: skip
        least = float("inf")
        for _ in range(REPEATS):
            before = time.perf_counter()
            after, decision = control.step(model, state, seen)
            least = min(least, time.perf_counter() - before)
        took.append(least)
        state = after
        for a in decision.actions:
            apply(there, a)
    took.sort()
    return took[SLOTS // 2], took[round(0.99 * (SLOTS - 1))]


def core_only(model: Model) -> Placement:
    """The core instances of `grown.spread`: one of every service in every group of four nodes."""
    hosts: dict[str, list[str]] = {m.name: [] for m in model.core}
    for a in spread(model).actions:
        if isinstance(a, Start) and a.service in hosts:
            hosts[a.service].append(a.node)
    return Placement({m: tuple(v) for m, v in hosts.items()}, "heuristic", 0.0, float("-inf"), float("nan"))


def apply(there: dict[str, InstanceState], action: Action) -> None:
    """As if instances came and went in no time."""
    if isinstance(action, Migrate):
        there.pop(action.drain, None)
        action = action.start
    if isinstance(action, Start):
        there[action.id] = InstanceState(action.id, action.service, action.node, action.workers)
    elif isinstance(action, Resize):
        there[action.id] = replace(there[action.id], workers=action.workers)
    else:
        there.pop(action.id, None)


if __name__ == "__main__":
    main()
