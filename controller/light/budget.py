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
from controller.light import loops
from controller.light.capacity import erlang_c
from controller.light.index import index, ways
from controller.model import INGRESS, Law, Model, Paths, TaskType

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


@lru_cache(maxsize=64)
def _gains(m: float) -> laws.Array:
    """1000 quantiles of the Nakagami-m power gain Gamma(m, 1/m); 1 without fading (m = 0)."""
    if m <= 0:
        return np.ones(1000)
    return laws.gamma_quantiles(m, (np.arange(1000) + 0.5) / 1000) / m


def _pick(grid: laws.Array, dimensions: int, k: int) -> laws.Array:
    """POINTS values of `grid` by dimension k of the sequence."""
    picked: laws.Array = grid[(lattice(POINTS, dimensions)[:, k] * len(grid)).astype(int)]
    return picked


@lru_cache(maxsize=64)
def _access(m: float, dimensions: int) -> laws.Array:
    """POINTS power gains of the access channel."""
    return _pick(_gains(m), dimensions, 0)


@lru_cache(maxsize=256)
def _factors(law: Law, dimensions: int, k: int) -> laws.Array:
    """POINTS factors on the work of stage k, from 1."""
    return _pick(laws.grid(law), dimensions, k)


def _quantile(rows: laws.Array) -> laws.Array:
    """QUANTILE of every row, by linear interpolation as `numpy.quantile` does, which takes five times as long."""
    at = QUANTILE * (rows.shape[1] - 1)
    k = int(at)
    near = np.partition(rows, (k, k + 1), axis=1)[:, k : k + 2]
    found: laws.Array = near[:, 1] - (near[:, 1] - near[:, 0]) * (1.0 - (at - k))
    return found


def uncontended(
    model: Model,
    paths: Paths,
    task: TaskType,
    nodes: Mapping[str, Sequence[str]],
    core_waits: Mapping[str, float],
) -> laws.Array:
    """POINTS values of T0_n from every ingress (one row each), s, each core stage with its mean wait added.

    nodes: service → nodes of its instances; each stage goes to the instance nearest in net + x̄ of whoever sends
    it (the gateway for a join). Services without an instance are skipped: the caller has nothing to size then.
    A row is infinite where an ingress reaches no instance.
    """
    found, net = index(model), ways(model, paths)
    dimensions = len(task.stages) + 1
    entering = sum(i.bytes for s in task.stages for i in s.inputs if i.source == INGRESS)
    access = 8.0 * entering / model.access.rate / _access(model.access.m, dimensions)
    gateways = found.gateways
    at: dict[str, tuple[laws.Whole, laws.Array]] = {INGRESS: (gateways, np.tile(access, (len(gateways), 1)))}

    def arrival(inputs: Sequence[tuple[str, float]], here: laws.Whole) -> laws.Array:
        """When the last of what these stages send, bytes, is there."""
        begin = np.full((len(gateways), POINTS), -np.inf)
        for source, size in inputs:
            sources, sent = at[source]
            loops.reach(begin, sent, sources, net.delay, here, net.per_byte, size)
        return begin

    for k, stage in enumerate(task.stages, start=1):
        service = found.services[stage.service]
        hosts = sorted(set(nodes.get(stage.service, ())))
        if not hosts:
            at[stage.name] = at[stage.inputs[0].source]
            continue
        sender = gateways if len(stage.inputs) > 1 else at[stage.inputs[0].source][0]
        ends = np.array([found.endpoint[v] for v in hosts], dtype=np.int64)
        seconds = service.work / found.speed[ends]
        size = sum(i.bytes for i in stage.inputs)
        chosen = loops.nearest(net.delay, net.per_byte, sender, ends, size, seconds)
        here = ends[chosen]
        done = arrival([(i.source, i.bytes) for i in stage.inputs], here)
        loops.serve(done, core_waits.get(stage.service, 0.0), seconds[chosen], _factors(service.law, dimensions, k))
        at[stage.name] = here, done
    return arrival([(s, task.output) for s in task.sinks()], gateways)


def core_waits(model: Model, rates: Mapping[str, float], nodes: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean wait of each core service, s, from its request rate (per s): Allen–Cunneen, C(p, a) x̄ (1 + cv²) / 2(p − a).

    At 95 % utilisation and above the value of 95 % is taken: a wait without bound says nothing about a budget.
    """
    found = index(model)
    waits: dict[str, float] = {}
    for service in model.core:
        hosts = [found.position[v] for v in nodes.get(service.name, ())]
        if not hosts:
            continue
        p = service.streams * len(hosts)
        mean = found.means[service.name] / float(found.speed[hosts].sum() / len(hosts))
        a = min(rates.get(service.name, 0.0) * mean, 0.95 * p)
        waits[service.name] = erlang_c(p, a) * mean / (p - a) * (1.0 + laws.squared_cv(service.law)) / 2.0
    return waits


def latencies(
    model: Model,
    paths: Paths,
    nodes: Mapping[str, Sequence[str]],
    waits: Mapping[str, float],
    tasks: Sequence[TaskType],
) -> dict[str, float]:
    """q₉₀(T0_n) of those of `tasks` that use a light service, s, from the ingress where it is longest.

    waits: of the core services (`core_waits`). A type that no ingress can have served is left out.
    """
    light = {m.name for m in model.light}
    result: dict[str, float] = {}
    for task in tasks:
        if any(s.service in light for s in task.stages):
            rows = uncontended(model, paths, task, nodes, waits)
            finite = rows[np.isfinite(rows[:, 0])]
            if len(finite):
                result[task.name] = float(_quantile(finite).max())
    return result


def shares(model: Model, means: Mapping[str, float], latency: Mapping[str, float]) -> dict[str, float]:
    """w_m of every light service, s, from the x̄ of the light services and `latencies`."""
    least: dict[str, float] = {}
    for task in model.tasks:
        if task.name not in latency:
            continue
        stages = [s.service for s in task.stages if s.service in means]
        per_second = SHARE * (task.deadline - latency[task.name]) / sum(means[m] for m in stages)
        for m in stages:
            least[m] = min(least.get(m, float("inf")), per_second * means[m])
    return {m: max(LEAST * x, least.get(m, 0.0)) for m, x in means.items()}


def budgets(
    model: Model,
    paths: Paths,
    means: Mapping[str, float],
    nodes: Mapping[str, Sequence[str]],
    waits: Mapping[str, float],
) -> dict[str, float]:
    """Eq. (21) in one go. means: x̄ of the light services; waits: of the core services (`core_waits`)."""
    return shares(model, means, latencies(model, paths, nodes, waits, model.tasks))
