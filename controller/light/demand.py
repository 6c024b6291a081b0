"""Who asks for a light service, how much, and which clusters share its workers (docs/mathematics.md, eq. (23)).

Demand is measured by the cluster (domain) of the *sender*. Clusters that are near one another are pooled: sizing
each on its own costs a fifth more for the same result (mathematics.md §6, trap 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from controller.decision import Placement
from controller.model import INGRESS, Model


def domains(model: Model) -> tuple[str, ...]:
    """Clusters in the order of the model."""
    return tuple(dict.fromkeys([*(o.domain for o in model.ingresses), *(v.domain for v in model.nodes)]))


def representative(model: Model, domain: str) -> str:
    """The endpoint that stands for the senders of a cluster: its first gateway, else its first node."""
    for o in model.ingresses:
        if o.domain == domain:
            return o.name
    return next(v.name for v in model.nodes if v.domain == domain)


def weight(per_slot: float, slots: float) -> float:
    """η of eq. (23) over `slots` slots (may be < 1), from that of one."""
    return -math.expm1(slots * math.log1p(-per_slot)) if per_slot < 1.0 else 1.0


def smooth(old: float, new: float, slots: float, up: float, down: float) -> float:
    """Eq. (23): exponentially weighted mean, one weight per slot upwards, another downwards."""
    return old + weight(up if new > old else down, slots) * (new - old)


def safe(demand: float, slot: float, deviations: float, backlog: float) -> float:
    """Demand with its safety term, per s: `deviations` Poisson deviations of a slot's mean, and the excess backlog."""
    return demand + deviations * math.sqrt(max(demand, 0.0) / slot) + backlog


def task_rates(model: Model, load: float) -> dict[str, dict[str, float]]:
    """The planner's view: {ingress: {task type: tasks per s}} at `load` times the model's rate."""
    shares = sum(n.share for n in model.tasks)
    weights = sum(o.weight for o in model.ingresses)
    return {
        o.name: {n.name: load * model.load * o.weight / weights * n.share / shares for n in model.tasks}
        for o in model.ingresses
    }


def planned(
    model: Model, placement: Placement, rates: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """{service: {sender's cluster: requests per s}} that `rates` of tasks would cause under a core placement.

    A core stage is split as the placement's flows say (the nearest instance where they say nothing); a light stage
    is taken to be served in the cluster that sends to it. A join is counted once, at the sender of its first input.
    """
    demand: dict[str, dict[str, float]] = {m.name: {} for m in model.services()}
    core = {m.name for m in model.core}
    for o in model.ingresses:
        split = {m: _split(model, placement, m, o.name) for m in core}
        for task in model.tasks:
            rate = rates.get(o.name, {}).get(task.name, 0.0)
            where: dict[str, dict[str, float]] = {INGRESS: {o.domain: 1.0}}
            for stage in task.stages:
                senders = where[stage.inputs[0].source]
                for g, share in senders.items():
                    demand[stage.service][g] = demand[stage.service].get(g, 0.0) + rate * share
                where[stage.name] = split[stage.service] if stage.service in core else senders
    return demand


def _split(model: Model, placement: Placement, service: str, ingress: str) -> dict[str, float]:
    """Share of an ingress's requests for a core service that each cluster serves."""
    hosts = placement.instances.get(service, ())
    flows = {v: placement.flows.get((service, ingress, v), 0.0) for v in hosts}
    total = sum(flows.values())
    if total <= 0.0:
        if not hosts:
            return {next(o.domain for o in model.ingresses if o.name == ingress): 1.0}
        nearest = min(hosts, key=lambda v: (model.paths.net(ingress, v, 0.0), v))
        return {model.node(nearest).domain: 1.0}
    shares: dict[str, float] = {}
    for v, flow in flows.items():
        if flow > 0.0:
            g = model.node(v).domain
            shares[g] = shares.get(g, 0.0) + flow / total
    return shares


#: Mean bytes into a service, and where its output goes: (service or INGRESS, mean bytes, share of requests).
Edges = tuple[float, tuple[tuple[str, float, float], ...]]


def edges(model: Model, service: str) -> Edges:
    """Mean bytes into a service, and where its output goes: (service or INGRESS, mean bytes, share of requests)."""
    into: list[tuple[float, float]] = []
    out: dict[str, list[tuple[float, float]]] = {}
    for task in model.tasks:
        sinks = task.sinks()
        names = {s.name for s in task.stages if s.service == service}
        for stage in task.stages:
            if stage.name in names:
                into.append((task.share, sum(i.bytes for i in stage.inputs)))
                if stage.name in sinks:
                    out.setdefault(INGRESS, []).append((task.share, task.output))
            for i in stage.inputs:
                if i.source in names:
                    out.setdefault(stage.service, []).append((task.share, i.bytes))
    weight = sum(w for w, _ in into)
    if weight <= 0.0:
        return 0.0, ()
    return _mean(into), tuple((to, _mean(rows), sum(w for w, _ in rows) / weight) for to, rows in out.items())


def _mean(rows: Sequence[tuple[float, float]]) -> float:
    return sum(w * b for w, b in rows) / sum(w for w, _ in rows)
