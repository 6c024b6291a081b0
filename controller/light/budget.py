"""Waiting budgets (docs/mathematics.md, eq. (21)).

    w_m = max(0.4 x̄_m, min_n 0.6 (D_n − q₉₀(T0_n) − core waits) x̄_m / Σ_light x̄)

T0_n: end-to-end latency of type n with no queue anywhere: access, paths, service times. Its quantile comes from a
Kronecker (rank-one lattice) sequence instead of dice: dimension 0 is the fading of the access channel, dimension i
the service time of stage i, so the same model and layout always give the same budgets. The guarantee is on
*waiting*: the tail of the service itself is physics, and no number of workers removes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from controller.light import law as laws
from controller.light.capacity import erlang_c
from controller.model import INGRESS, Ingress, Law, Model, Paths, TaskType

#: Share of the slack handed out as waiting, and the least budget in units of x̄.
SHARE = 0.6
LEAST = 0.4
POINTS = 512
QUANTILE = 0.9


@lru_cache(maxsize=64)
def lattice(n: int, dimensions: int) -> laws.Array:
    """n × dimensions points of [0, 1): frac(½ + i αᵈ), 1/α the root of x^{d+1} = x + 1 (low discrepancy)."""
    root = 1.5
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    alpha = root ** -np.arange(1.0, dimensions + 1)
    points: laws.Array = (0.5 + np.outer(np.arange(1.0, n + 1), alpha)) % 1.0
    return points


@lru_cache(maxsize=256)
def _grid(law: Law) -> laws.Array:
    return np.array(laws.points(law, 1000))


@lru_cache(maxsize=64)
def _gains(m: float) -> laws.Array:
    """1000 quantiles of the Nakagami-m power gain Gamma(m, 1/m); 1 without fading (m = 0)."""
    if m <= 0:
        return np.ones(1000)
    return laws.gamma_quantiles(m, (np.arange(1000) + 0.5) / 1000) / m


def _pick(grid: laws.Array, u: laws.Array) -> laws.Array:
    picked: laws.Array = grid[(u * len(grid)).astype(int)]
    return picked


def uncontended(
    model: Model,
    paths: Paths,
    task: TaskType,
    ingress: Ingress,
    nodes: Mapping[str, Sequence[str]],
    core_waits: Mapping[str, float],
) -> laws.Array:
    """POINTS values of T0_n from one ingress, s, each core stage with its mean wait added.

    nodes: service → nodes of its instances; each stage goes to the instance nearest in net + x̄ of whoever sends
    it (the gateway for a join). Services without an instance are skipped: the caller has nothing to size then.
    """
    points = lattice(POINTS, len(task.stages) + 1)
    entering = sum(i.bytes for s in task.stages for i in s.inputs if i.source == INGRESS)
    access = 8.0 * entering / model.access.rate / _pick(_gains(model.access.m), points[:, 0])
    at: dict[str, tuple[str, laws.Array]] = {INGRESS: (ingress.name, access)}
    for k, stage in enumerate(task.stages, start=1):
        service = model.service(stage.service)
        join = len(stage.inputs) > 1
        sender = ingress.name if join else at[stage.inputs[0].source][0]
        total = sum(i.bytes for i in stage.inputs)
        speeds = {v: model.node(v).speed for v in nodes.get(stage.service, ())}
        if not speeds:
            at[stage.name] = at[stage.inputs[0].source]
            continue
        node = min(speeds, key=lambda v: (paths.net(sender, v, total) + service.work / speeds[v], v))
        arrivals = [at[i.source][1] + paths.net(at[i.source][0], node, i.bytes) for i in stage.inputs]
        begun = np.maximum.reduce(arrivals) + core_waits.get(stage.service, 0.0)
        at[stage.name] = node, begun + service.work / speeds[node] * _pick(_grid(service.law), points[:, k])
    back = [at[s][1] + paths.net(at[s][0], ingress.name, task.output) for s in task.sinks()]
    latency: laws.Array = np.maximum.reduce(back)
    return latency


def core_waits(model: Model, rates: Mapping[str, float], nodes: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean wait of each core service, s, from its request rate (per s): Allen–Cunneen, C(p, a) x̄ (1 + cv²) / 2(p − a).

    At 95 % utilisation and above the value of 95 % is taken: a wait without bound says nothing about a budget.
    """
    waits: dict[str, float] = {}
    for service in model.core:
        hosts = nodes.get(service.name, ())
        if not hosts:
            continue
        p = service.streams * len(hosts)
        speed = sum(model.node(v).speed for v in hosts) / len(hosts)
        mean = service.work * laws.mean(service.law) / speed
        grid = _grid(service.law)
        squared_cv = float(grid.var() / grid.mean() ** 2)
        a = min(rates.get(service.name, 0.0) * mean, 0.95 * p)
        waits[service.name] = erlang_c(p, a) * mean / (p - a) * (1.0 + squared_cv) / 2.0
    return waits


def budgets(
    model: Model,
    paths: Paths,
    means: Mapping[str, float],
    nodes: Mapping[str, Sequence[str]],
    waits: Mapping[str, float],
) -> dict[str, float]:
    """w_m of every light service, s. means: x̄ of the light services; waits: of the core services (`core_waits`)."""
    light = {m.name for m in model.light}
    result = {m: LEAST * means[m] for m in light}
    least: dict[str, float] = {}
    for task in model.tasks:
        stages = [s.service for s in task.stages if s.service in light]
        if not stages:
            continue
        reachable = [uncontended(model, paths, task, o, nodes, waits) for o in model.ingresses]
        finite = [t for t in reachable if np.all(np.isfinite(t))]
        if not finite:
            continue
        slack = task.deadline - max(float(np.quantile(t, QUANTILE)) for t in finite)
        per_second = SHARE * slack / sum(means[m] for m in stages)
        for m in stages:
            least[m] = min(least.get(m, float("inf")), per_second * means[m])
    return {m: max(result[m], least.get(m, 0.0)) for m in result}
