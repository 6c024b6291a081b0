"""Measures of a run from its rows: counts, rates, quantiles, cost, waiting. Pure; nominal units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from testbed.record.tables import LATE, LOST, ON_TIME, TASK_OUTCOMES, Array

#: Outcomes of a task that never came back.
LOST_BY = ("expired", "refused", "unanswered")


def quantile(values: ArrayLike, q: float) -> float | None:
    """The smallest value with at least a share q at or below it; None of nothing."""
    found = np.asarray(values, float)
    if not found.size:
        return None
    k = max(math.ceil(q * found.size) - 1, 0)
    return float(np.partition(found, k)[k])


def counts(tasks: Array) -> dict[str, Any]:
    """offered = on_time + late + lost; completed = on_time + late; lost split by cause."""
    outcomes = np.bincount(tasks["outcome"], minlength=len(TASK_OUTCOMES))
    lost = {name: int(outcomes[TASK_OUTCOMES.index(name)]) for name in LOST_BY}
    on_time, late = int(outcomes[ON_TIME]), int(outcomes[LATE])
    return {
        "tasks": {
            "offered": len(tasks),
            "completed": on_time + late,
            "on_time": on_time,
            "late": late,
            "lost": sum(lost.values()),
        },
        "lost_by": lost,
    }


def on_time_rate(tasks: Array) -> float | None:
    """Share of the offered tasks that came back by their deadline; None of no task."""
    return int(np.count_nonzero(tasks["outcome"] == ON_TIME)) / len(tasks) if len(tasks) else None


def by_type(tasks: Array, types: Sequence[str]) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """(on-time rate, latency p50/p95/p99 of completed tasks in s), each per task type that was offered."""
    rates, latencies = {}, {}
    for name in sorted(types):
        mine = tasks[tasks["type"] == types.index(name)]
        if not len(mine):
            continue
        rates[name] = on_time_rate(mine)
        done = mine["latency"][~np.isnan(mine["latency"])]
        latencies[name] = {"p50": quantile(done, 0.5), "p95": quantile(done, 0.95), "p99": quantile(done, 0.99)}
    return rates, latencies


def operation(
    instances: Iterable[tuple[str, str, int]], services: Mapping[str, Any], prices: Mapping[str, float]
) -> float:
    """Cost of one slot: price_v (c_mt + c_pl p) over the instances that exist, draining ones included (design.md §3).

    instances: (service, node, workers). services: name → object with costs.keep (c_mt), costs.parallel (c_pl).
    """
    return float(sum(prices[v] * (services[m].costs.keep + services[m].costs.parallel * p) for m, v, p in instances))


def cost(
    slots: Sequence[float], starts: Sequence[str], initial: Sequence[str], services: Mapping[str, Any]
) -> dict[str, float]:
    """Cost per slot over the measured window (design.md §3).

    slots: operation of each of its slots. starts: services of the later starts within the window; initial: services of
    the initial placement. services: name → object with costs.deploy (c_dp).
    """
    n = max(len(slots), 1)
    migration = sum(services[m].costs.deploy for m in starts)
    return {
        "deployment": sum(services[m].costs.deploy for m in initial),
        "operation_per_slot": sum(slots) / n,
        "migration_per_slot": migration / n,
        "total_per_slot": (sum(slots) + migration) / n,
    }


def waiting(
    stages: Iterable[Array],
    services: Sequence[str],
    history: Sequence[tuple[float, Mapping[str, float]]],
    epsilons: Mapping[str, float],
) -> dict[str, Any]:
    """Per light service the share of its requests that waited longer than the budget w_m in force when they arrived.

    stages: the table in chunks. history: (since, service → w_m), s, times ascending, the first before every arrival.
    A request dropped before service waited until it was dropped; one that was lost with its instance is no
    observation of waiting.
    """
    table = np.array([[budgets.get(m, np.nan) for m in services] for _, budgets in history])
    begins = [t for t, _ in history]
    n, violated = np.zeros(len(services), int), np.zeros(len(services), int)
    for s in stages:
        budget = table[np.searchsorted(begins, s["arrived"], side="right") - 1, s["service"]]
        end = np.where(np.isnan(s["started"]), s["finished"], s["started"])
        seen = ~np.isnan(budget) & ~np.isnan(end) & (s["outcome"] != LOST)
        over = seen & (end - s["arrived"] > budget)
        n += np.bincount(s["service"][seen], minlength=len(services))
        violated += np.bincount(s["service"][over], minlength=len(services))
    out = {}
    for m in sorted({m for _, budgets in history for m in budgets}):
        k = services.index(m)
        rate = int(violated[k]) / int(n[k]) if n[k] else None
        out[m] = {"epsilon": epsilons[m], "violation_rate": rate, "n": int(n[k])}
    return out


def node_utilisation(
    stages: Iterable[Array], cpu: Sequence[float], nodes: Mapping[str, float], start: float, end: float
) -> dict[str, float]:
    """Busy CPU-seconds of each node over C_v × window. cpu: per service code, the cores a request holds while served.

    stages: the table in chunks. nodes: name → C_v, in the order of the nodes' codes.
    """
    busy = np.zeros(len(nodes))
    for s in stages:
        inside = np.minimum(s["finished"], end) - np.maximum(s["started"], start)
        held = np.maximum(inside, 0.0) * np.asarray(cpu)[s["service"]]
        busy += np.bincount(s["node"], np.nan_to_num(held), minlength=len(nodes))  # NaN: it was not served
    return {v: float(busy[k]) / (c * (end - start)) for k, (v, c) in enumerate(nodes.items())}
