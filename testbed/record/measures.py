"""Measures of a run from its rows: counts, rates, quantiles, cost, waiting. Pure; nominal units."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Row(Protocol):
    """The fields of a task row that measures read."""

    @property
    def type(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def outcome(self) -> str: ...
    @property
    def latency(self) -> float | None: ...
    @property
    def lag(self) -> float: ...


LOST = ("expired", "refused", "unanswered")


def quantile(values: Sequence[float], q: float) -> float | None:
    """The smallest value with at least a share q at or below it; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)) - 1, 0)]


def counts(rows: Sequence[Row]) -> dict[str, Any]:
    """offered = on_time + late + lost; completed = on_time + late; lost split by cause."""
    outcomes: dict[str, int] = defaultdict(int)
    for row in rows:
        outcomes[row.outcome] += 1
    lost = {name: outcomes[name] for name in LOST}
    return {
        "tasks": {
            "offered": len(rows),
            "completed": outcomes["on_time"] + outcomes["late"],
            "on_time": outcomes["on_time"],
            "late": outcomes["late"],
            "lost": sum(lost.values()),
        },
        "lost_by": lost,
    }


def on_time_rate(rows: Iterable[Row]) -> float | None:
    """Share of the offered tasks that came back by their deadline; None of no task."""
    outcomes = [row.outcome == "on_time" for row in rows]
    return sum(outcomes) / len(outcomes) if outcomes else None


def by_type(rows: Sequence[Row]) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """(on-time rate, latency p50/p95/p99 of completed tasks in s), each per task type."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.type].append(row)
    rates = {name: on_time_rate(groups[name]) for name in sorted(groups)}
    latencies = {}
    for name in sorted(groups):
        done = [row.latency for row in groups[name] if row.latency is not None]
        latencies[name] = {"p50": quantile(done, 0.5), "p95": quantile(done, 0.95), "p99": quantile(done, 0.99)}
    return rates, latencies


def cost(
    slots: Sequence[Sequence[Mapping[str, Any]]],
    starts: Sequence[str],
    initial: Sequence[str],
    services: Mapping[str, Any],
    prices: Mapping[str, float],
) -> dict[str, float]:
    """Cost per slot over the measured window (design.md §3).

    slots: per slot the existing instances {service, node, workers}, draining ones included. starts: services
    of the later starts within the window; initial: services of the initial placement. services: name →
    object with costs.deploy (c_dp), costs.keep (c_mt), costs.parallel (c_pl). prices: node → price_v.
    """
    operation = sum(
        prices[i["node"]] * (services[i["service"]].costs.keep + services[i["service"]].costs.parallel * i["workers"])
        for instances in slots
        for i in instances
    )
    n = max(len(slots), 1)
    migration = sum(services[m].costs.deploy for m in starts)
    return {
        "deployment": sum(services[m].costs.deploy for m in initial),
        "operation_per_slot": operation / n,
        "migration_per_slot": migration / n,
        "total_per_slot": (operation + migration) / n,
    }


def waiting(
    stages: Iterable[Any], history: Sequence[tuple[float, Mapping[str, float]]], epsilons: Mapping[str, float]
) -> dict[str, Any]:
    """Per light service the share of its requests that waited longer than the budget w_m in force when they arrived.

    history: (since, service → w_m), s, times ascending, the first before every arrival. A request dropped before
    service waited until it was dropped; one that was lost with its instance is no observation of waiting.
    """
    since = [t for t, _ in history]
    n: dict[str, int] = defaultdict(int)
    violated: dict[str, int] = defaultdict(int)
    for row in stages:
        budget = history[bisect_right(since, row.arrived) - 1][1].get(row.service)
        end = row.started if row.started is not None else row.finished
        if budget is None or end is None or row.outcome == "lost":
            continue
        n[row.service] += 1
        violated[row.service] += end - row.arrived > budget
    return {
        m: {"epsilon": epsilons[m], "violation_rate": violated[m] / n[m] if n[m] else None, "n": n[m]}
        for m in sorted({m for _, budgets in history for m in budgets})
    }


def node_utilisation(
    stages: Iterable[Any], cpu: Mapping[str, float], nodes: Mapping[str, float], start: float, end: float
) -> dict[str, float]:
    """Busy CPU-seconds of each node over C_v × window. cpu: service → cores a request holds while served."""
    busy: dict[str, float] = dict.fromkeys(nodes, 0.0)
    for row in stages:
        if row.started is None or row.finished is None or row.node not in busy:
            continue
        busy[row.node] += max(min(row.finished, end) - max(row.started, start), 0.0) * cpu[row.service]
    return {v: busy[v] / (nodes[v] * (end - start)) for v in nodes}
