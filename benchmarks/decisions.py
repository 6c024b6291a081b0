"""What a decision costs: routing one request, admitting one task, one control slot, drawing one task.

Ratio of routing: against choosing by a fixed weight (`random.choices`), what a user without a view would write.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from controller.decision import Start
from controller.light.routing import Target, View, route
from controller.observation import InstanceState, Observation
from testbed.run.prepare import prepare

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

    state, model = p.state, p.resolved.model
    there = tuple(InstanceState(a.id, a.service, a.node, a.workers) for a in p.initial.actions if isinstance(a, Start))
    took = []
    for k in range(1, 41):
        arrivals = {(m.name, d): 5 for m in model.light for d in {o.domain for o in model.ingresses}}
        samples = {m.name: tuple(m.work * f for f in (0.5, 1.0, 1.5) * 5) for m in model.light}
        seen = Observation(k, float(k), there, arrivals, samples)
        before = time.perf_counter()
        state, _ = p.policy.step(model, state, seen)
        took.append(time.perf_counter() - before)
    took.sort()
    print(f"one control slot, e12       {took[20] * 1e3:8.2f} ms p50, {took[-1] * 1e3:.2f} ms max of {len(took)}")
    print(f"core placement, e12         {p.placement_s:8.2f} s, gap {p.placement.gap:.2%}, {p.placement.status}")


if __name__ == "__main__":
    main()
