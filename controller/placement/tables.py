"""Everything the integer program reads, computed once from the model (docs/mathematics.md §2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.model import Core, Ingress, Model, Node
from controller.placement import qos
from controller.placement.parameters import PlacementParameters


@dataclass(frozen=True, slots=True)
class Tables:
    """services: the core services that some task type uses. Names are keys throughout.

    demand: Λ_mo > 0, 1/s. cap: cap_mv, 1/s, for the nodes that could hold m if they held nothing else.
    least, most: r_m and N_m. spread: r_mG. survive: S_m, 1/s. score: q_mov for the nodes o may be served from.
    """

    services: tuple[Core, ...]
    demand: Mapping[tuple[str, str], float]
    total: Mapping[str, float]
    cap: Mapping[str, Mapping[str, float]]
    least: Mapping[str, int]
    most: Mapping[str, int]
    spread: Mapping[str, int]
    survive: Mapping[str, float]
    score: Mapping[tuple[str, str], Mapping[str, float]]


def free_cpu(node: Node, parameters: PlacementParameters) -> float:
    """Cores of a node that core services may take: what is reserved for light services is not among them."""
    return (1 - parameters.light_cpu_share) * node.cpu


def holds(node: Node, m: Core, parameters: PlacementParameters) -> bool:
    """Whether the node could hold an instance if it held nothing else (a millionth of slack for rounding)."""
    return m.cpu <= free_cpu(node, parameters) * (1 + 1e-6) and m.memory <= node.memory * (1 + 1e-6)


def capacity(node: Node, m: Core, rho: float) -> float:
    """cap_mv: requests per second of an instance at utilisation ρ. Eq. (12)."""
    return rho * m.streams * node.speed / m.work


def tables(model: Model, parameters: PlacementParameters) -> Tables:
    demand = qos.demand(model, parameters.plan_load)
    used = {m for m, _ in demand}
    services = tuple(m for m in model.core if m.name in used)
    total = {m.name: sum(rate for (k, _), rate in demand.items() if k == m.name) for m in services}
    hosts = {m.name: [v for v in model.nodes if holds(v, m, parameters)] for m in services}
    cap = {m.name: {v.name: capacity(v, m, parameters.rho) for v in hosts[m.name]} for m in services}
    most = {m: most_instances(cap[m].values(), total[m], parameters) for m in cap}
    return Tables(
        services=services,
        demand=demand,
        total=total,
        cap=cap,
        least={m: min(int(parameters.r), len(hosts[m])) for m in hosts},
        most=most,
        spread={m: min(int(parameters.r), len({v.domain for v in hosts[m]})) for m in hosts},
        survive={
            m: min(parameters.sigma * total[m] / parameters.plan_load, _after_a_loss(cap[m].values(), most[m]))
            for m in cap
        },
        score=_scores(model, parameters, services, hosts, demand),
    )


def most_instances(caps: Iterable[float], total: float, parameters: PlacementParameters) -> int:
    """N_m = max(r + 1, ⌈1.1 N_min⌉ + 1), N_min the fewest of the fastest nodes that carry `total` (all, if none do)."""
    carried, fewest = 0.0, 0
    for cap in sorted(caps, reverse=True):
        if carried >= total:
            break
        carried, fewest = carried + cap, fewest + 1
    # 1.1 · 10 is a little more than 11 in floating point.
    return max(int(parameters.r) + 1, math.ceil(parameters.n_max_factor * fewest - 1e-9) + 1)


def _after_a_loss(caps: Iterable[float], most: int) -> float:
    """What the `most` fastest nodes carry without the fastest of them: more can't be asked of (16)."""
    return sum(sorted(caps, reverse=True)[1:most])


def _scores(
    model: Model,
    parameters: PlacementParameters,
    services: tuple[Core, ...],
    hosts: Mapping[str, list[Node]],
    demand: Mapping[tuple[str, str], float],
) -> dict[tuple[str, str], dict[str, float]]:
    """q_mov by (m, o) over the nodes of the nearest domains that can be reached; see the remark at (17)."""
    limits = qos.limits(model)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for m in services:
        size = qos.entering_bytes(model, m.name)
        for o in model.ingresses:
            if (m.name, o.name) not in demand:
                continue
            near = _nearest(model, o, hosts[m.name], size, int(parameters.nearest_clusters))
            found[m.name, o.name] = {
                v.name: qos.score(qos.latency(model, m, o, v, size, parameters.profile), limits[m.name]) for v in near
            }
    return found


def _nearest(model: Model, o: Ingress, hosts: list[Node], size: float, clusters: int) -> list[Node]:
    """The hosts in the `clusters` domains nearest to o, unreachable ones left out."""
    time = {v.name: model.paths.net(o.name, v.name, size) for v in hosts}
    nearest: dict[str, float] = {}
    for v in hosts:
        if time[v.name] < math.inf:
            nearest[v.domain] = min(nearest.get(v.domain, math.inf), time[v.name])
    chosen = set(sorted(nearest, key=lambda g: (nearest[g], g))[:clusters])
    return [v for v in hosts if v.domain in chosen and time[v.name] < math.inf]
