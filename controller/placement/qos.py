"""Demand and quality score of core services, from the latency profile (docs/mathematics.md §2, eq. (7) to (9)).

Λ_mo = plan_load · λ · gw_o · Σ_n share_n k_nm
L_mov = net(o, v, b_m) + 1.05 x_m / s_v
q_mov = clip(1 − L_mov / d_m, 0, 1)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from controller.model import INGRESS, Core, Model, Stage, TaskType


def stage_count(task: TaskType, service: str) -> int:
    """k_nm: how many stages of the type the service serves."""
    return sum(1 for s in task.stages if s.service == service)


def shares(model: Model) -> dict[str, float]:
    """share_n normalised to sum 1, by task type."""
    total = sum(n.share for n in model.tasks)
    return {n.name: n.share / total for n in model.tasks}


def weights(model: Model) -> dict[str, float]:
    """gw_o normalised to sum 1, by ingress: the planner's view."""
    total = sum(o.weight for o in model.ingresses)
    return {o.name: o.weight / total for o in model.ingresses}


def demand(model: Model, plan_load: float) -> dict[tuple[str, str], float]:
    """Λ_mo in requests per second, by (core service, ingress); pairs without demand are left out. Eq. (7)."""
    share, weight = shares(model), weights(model)
    per_task = {m.name: sum(share[n.name] * stage_count(n, m.name) for n in model.tasks) for m in model.core}
    rates = {
        (m.name, o.name): plan_load * model.load * weight[o.name] * per_task[m.name]
        for m in model.core
        for o in model.ingresses
    }
    return {key: rate for key, rate in rates.items() if rate > 0}


def entering_bytes(model: Model, service: str) -> float:
    """b_m: mean bytes that enter a stage of the service, weighted by the types' shares; 0 for an unused service."""
    stages = [(n.share, s) for n in model.tasks for s in n.stages if s.service == service]
    total = sum(share for share, _ in stages)
    if total <= 0:
        return 0.0
    return sum(share * sum(i.bytes for i in s.inputs) for share, s in stages) / total


def longest(task: TaskType, weight: Callable[[Stage], float]) -> float:
    """Largest sum of stage weights on any path of the DAG; stages stand in topological order."""
    until: dict[str, float] = {INGRESS: 0.0}
    for stage in task.stages:
        until[stage.name] = max(until[i.source] for i in stage.inputs) + weight(stage)
    return max(until.values())


def slack(model: Model, task: TaskType) -> float:
    """What the deadline leaves to core services, s, once access and light services are done; may be negative."""
    light = {m.name: m.work for m in model.light}
    entering = sum(i.bytes for s in task.stages for i in s.inputs if i.source == INGRESS)
    return task.deadline - 8 * entering / model.access.rate - longest(task, lambda s: light.get(s.service, 0.0))


def limits(model: Model) -> dict[str, float]:
    """d_m in seconds, by core service: its share of the tightest slack of the types that use it. Eq. (9)."""
    work = {m.name: m.work for m in model.core}
    found: dict[str, float] = {}
    for task in model.tasks:
        used = {s.service for s in task.stages if s.service in work}
        if used:
            per_work = slack(model, task) / longest(task, lambda s: work.get(s.service, 0.0))
            found |= {m: min(found.get(m, float("inf")), per_work * work[m]) for m in used}
    return found


def path_times(model: Model, services: tuple[Core, ...]) -> NDArray[np.float64]:
    """net(o, v, b_m) (m, o, v) in seconds; infinite where v can't be reached from o. Eq. (1)."""
    shape = (len(model.ingresses), len(model.nodes))
    delay, per_byte = np.full(shape, np.inf), np.zeros(shape)
    for i, o in enumerate(model.ingresses):
        for j, v in enumerate(model.nodes):
            pair = (o.name, v.name)
            if pair in model.paths.delay:
                delay[i, j], per_byte[i, j] = model.paths.delay[pair], model.paths.per_byte[pair]
            elif o.name == v.name:
                delay[i, j] = 0.0
    sizes = np.array([entering_bytes(model, m.name) for m in services])
    return delay + sizes[:, None, None] * per_byte


def latencies(
    model: Model, services: tuple[Core, ...], net: NDArray[np.float64], profile: float
) -> NDArray[np.float64]:
    """L_mov (m, o, v) in seconds, eq. (8): net (m, o, v) and a service time, or what `Model.profile` knows better."""
    known = model.profile
    speed = np.array([v.speed for v in model.nodes])
    service = np.array([profile * m.work / speed for m in services]).reshape(len(services), len(model.nodes))
    node = {v.name: i for i, v in enumerate(model.nodes)}
    ingress = {o.name: i for i, o in enumerate(model.ingresses)}
    of = {m.name: k for k, m in enumerate(services)}
    for (m, v), seconds in known.service.items():
        if m in of:
            service[of[m], node[v]] = seconds
    late: NDArray[np.float64] = net + service[:, None, :]
    for (m, o, v), seconds in known.latency.items():
        if m in of:
            late[of[m], ingress[o], node[v]] = seconds
    for (m, o), factor in known.factor.items():
        if m in of:
            late[of[m], ingress[o]] *= np.array(factor)
    return late


def scores(late: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """q_mov (m, o, v) in 0..1: 1 for no delay at all, 0 at the limit d_m (m,) and beyond, or where that isn't > 0."""
    limit = np.where(limits > 0, limits, 1.0)[:, None, None]
    return np.where((limits > 0)[:, None, None], np.clip(1.0 - late / limit, 0.0, 1.0), 0.0)
