"""An independent oracle for eq. (10) to (17): every y is tried, the rest is a linear program for SciPy.

Nothing of controller.placement is used but the parameters: demand, scores, bounds and traffic are worked out again
from the equations, for instances so small that plain loops do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.optimize import linprog

from controller.model import INGRESS, Model, TaskType
from controller.placement import PlacementParameters

ALL = frozenset(("capacity", "resources", "sparsity", "diversity", "survival", "flows"))
Pairs = frozenset[tuple[str, str]]


def optimum(model: Model, p: PlacementParameters, constraints: frozenset[str] = ALL) -> float:
    """The optimal value of (10); +inf when no y meets the constraints on y."""
    return min((_continuous(model, p, y, constraints) for y in _placements(model, p, constraints)), default=math.inf)


def _placements(model: Model, p: PlacementParameters, constraints: frozenset[str]) -> Iterator[Pairs]:
    alone = [(m, v) for m in model.core for v in model.nodes if m.cpu <= _free(p, v.cpu) + 1e-9]
    alone = [(m, v) for m, v in alone if m.memory <= v.memory]
    for bits in product((False, True), repeat=len(alone)):
        chosen = [pair for pair, bit in zip(alone, bits, strict=True) if bit]
        if _allowed(model, p, alone, chosen, constraints):
            yield frozenset((m.name, v.name) for m, v in chosen)


def _free(p: PlacementParameters, cpu: float) -> float:
    return (1 - p.light_cpu_share) * cpu


def _cap(p: PlacementParameters, m, v) -> float:
    return p.rho * m.streams * v.speed / m.work


def _allowed(model: Model, p: PlacementParameters, alone, chosen, constraints: frozenset[str]) -> bool:
    if "resources" in constraints:
        for v in model.nodes:
            here = [m for m, u in chosen if u is v]
            if sum(m.cpu for m in here) > _free(p, v.cpu) + 1e-9 or sum(m.memory for m in here) > v.memory:
                return False
    for m in model.core:
        caps = sorted((_cap(p, m, v) for k, v in alone if k is m), reverse=True)
        mine = [v for k, v in chosen if k is m]
        load = sum(_rate(model, m.name, o.weight) for o in model.ingresses)
        fewest = next((k for k in range(len(caps) + 1) if sum(caps[:k]) >= p.plan_load * load), len(caps))
        most = max(p.r + 1, math.ceil(1.1 * fewest) + 1)
        if "sparsity" in constraints and not min(p.r, len(caps)) <= len(mine) <= most:
            return False
        domains = {v.domain for k, v in alone if k is m}
        if "diversity" in constraints and len({v.domain for v in mine}) < min(p.r, len(domains)):
            return False
        if "survival" in constraints:
            wanted = min(p.sigma * load, sum(caps[1:most]))
            have = [_cap(p, m, v) for v in mine]
            if sum(have) - max(have, default=0) < wanted - 1e-9:
                return False
    return True


def _rate(model: Model, service: str, weight: float) -> float:
    """Nominal requests per second of an ingress with this weight."""
    per_task = sum(n.share * sum(s.service == service for s in n.stages) for n in model.tasks)
    return model.load * weight / sum(o.weight for o in model.ingresses) * per_task / sum(n.share for n in model.tasks)


def _paths(task: TaskType) -> list[list[str]]:
    """All paths from the gateway to a sink, as stage names."""
    stage = {s.name: s for s in task.stages}

    def back(name: str) -> list[list[str]]:
        found = []
        for i in stage[name].inputs:
            found += [[name]] if i.source == INGRESS else [[*path, name] for path in back(i.source)]
        return found

    return [path for sink in task.sinks() for path in back(sink)]


def _score(model: Model, p: PlacementParameters, m, o, v) -> float:
    core, light = {c.name: c.work for c in model.core}, {c.name: c.work for c in model.light}
    limit, into = math.inf, []
    for n in model.tasks:
        service = {s.name: s.service for s in n.stages}
        into += [(n.share, sum(i.bytes for i in s.inputs)) for s in n.stages if s.service == m.name]
        if m.name not in service.values():
            continue
        entering = sum(i.bytes for s in n.stages for i in s.inputs if i.source == INGRESS)
        lights = max(sum(light.get(service[s], 0.0) for s in path) for path in _paths(n))
        cores = max(sum(core.get(service[s], 0.0) for s in path) for path in _paths(n))
        limit = min(limit, (n.deadline - 8 * entering / model.access.rate - lights) * m.work / cores)
    size = sum(a * b for a, b in into) / sum(a for a, _ in into)
    late = model.paths.net(o.name, v.name, size) + 1.05 * m.work / v.speed
    return 0.0 if limit <= 0 else min(1.0, max(0.0, 1 - late / limit))


def _edges(model: Model) -> list[tuple[float, str, str, float]]:
    """(share, m, m', b_e) with lights contracted, by walking every path back from a core stage to a core stage."""
    core = {m.name for m in model.core}
    total = sum(n.share for n in model.tasks)
    found = []
    for n in model.tasks:
        stage = {s.name: s for s in n.stages}
        for target in (s for s in n.stages if s.service in core):
            size: dict[str, float] = {}
            trail = [(target.name, math.inf)]
            while trail:
                name, least = trail.pop()
                for i in stage[name].inputs:
                    if i.source == INGRESS:
                        continue
                    smallest = min(least, i.bytes)
                    if stage[i.source].service in core:
                        size[i.source] = max(size.get(i.source, 0.0), smallest)
                    else:
                        trail.append((i.source, smallest))
            found += [(n.share / total, stage[s].service, target.service, b) for s, b in size.items()]
    return found


def _between(model: Model, g: str, h: str, size: float) -> float:
    return float(
        np.mean([model.paths.net(a.name, b.name, size) for a in model.nodes for b in model.nodes
                 if a.domain == g and b.domain == h])
    )  # fmt: skip


def _continuous(model: Model, p: PlacementParameters, y: Pairs, constraints: frozenset[str]) -> float:
    """Value of (10) for fixed y: z only where y is, then one linear program in z, s and w."""
    names: list[tuple] = []
    cost: list[float] = []

    def variable(key: tuple, coefficient: float) -> None:
        names.append(key)
        cost.append(coefficient)

    load = {m.name: sum(_rate(model, m.name, o.weight) for o in model.ingresses) for m in model.core}
    constant = sum(
        v.price * (m.costs.keep + m.costs.deploy / p.horizon_slots)
        for m in model.core for v in model.nodes if (m.name, v.name) in y
    ) + p.alpha * len(model.core)  # fmt: skip
    for m in model.core:
        for o in model.ingresses:
            part = _rate(model, m.name, o.weight) / load[m.name]
            variable(("s", m.name, o.name), 5 * p.alpha * part)
            for v in model.nodes:
                if (m.name, v.name) in y:
                    variable(("z", m.name, o.name, v.name), -p.alpha * part * _score(model, p, m, o, v))
    domains = sorted({v.domain for v in model.nodes})
    edges = _edges(model) if "flows" in constraints else []
    total = sum(o.weight for o in model.ingresses)
    for k, (share, _, _, size) in enumerate(edges):
        for o in model.ingresses:
            for g, h in product(domains, domains):
                weight = p.beta_per_ms * 1e3 * share * o.weight / total
                variable(("w", k, o.name, g, h), weight * _between(model, g, h, size))
    at = {key: i for i, key in enumerate(names)}
    equal: list[tuple[dict[int, float], float]] = []
    below: list[tuple[dict[int, float], float]] = []
    served = {(m.name, o.name): [key for key in names if key[:3] == ("z", m.name, o.name)]
              for m in model.core for o in model.ingresses}  # fmt: skip
    for (m, o), zs in served.items():
        equal.append(({at[key]: 1.0 for key in (("s", m, o), *zs)}, 1.0))
    if "capacity" in constraints:
        for m in model.core:
            for v in model.nodes:
                row = {at["z", m.name, o.name, v.name]: p.plan_load * _rate(model, m.name, o.weight)
                       for o in model.ingresses if (m.name, v.name) in y}  # fmt: skip
                below.append((row, _cap(p, m, v)))
    for k, (_, m, target, _) in enumerate(edges):
        for o in model.ingresses:
            for g in domains:
                here = {v.name for v in model.nodes if v.domain == g}
                row = {at["w", k, o.name, g, h]: 1.0 for h in domains}
                equal.append((row | {at[z]: -1.0 for z in served[m, o.name] if z[3] in here}, 0.0))
                row = {at["w", k, o.name, h, g]: -1.0 for h in domains}
                below.append((row | {at[z]: 1.0 for z in served[target, o.name] if z[3] in here}, 0.0))
    return constant + _minimum(np.array(cost), equal, below)


def _minimum(cost: np.ndarray, equal, below) -> float:
    def matrix(rows) -> tuple[np.ndarray, np.ndarray]:
        a = np.zeros((len(rows), len(cost)))
        for i, (row, _) in enumerate(rows):
            a[i, list(row)] = list(row.values())
        return a, np.array([b for _, b in rows])

    (a_eq, b_eq), (a_ub, b_ub) = matrix(equal), matrix(below)
    ub = {"A_ub": a_ub, "b_ub": b_ub} if len(b_ub) else {}
    result = linprog(cost, A_eq=a_eq, b_eq=b_eq, method="highs", **ub)
    assert result.success, result.message
    return float(result.fun)


def optimum_without_traffic(model: Model, p: PlacementParameters) -> float:
    """The optimal value of (10) with β = 0, over all placements of up to six nodes and three services.

    Without traffic a service's value depends on its own instances alone: every set of nodes of every service is priced
    once, and then every combination that nodes have room for is looked at.
    """
    nodes = len(model.nodes)
    sets = [frozenset(i for i in range(nodes) if bits >> i & 1) for bits in range(1 << nodes)]
    alone = [(m, v) for m in model.core for v in model.nodes if m.cpu <= _free(p, v.cpu) + 1e-9]
    alone = [(m, v) for m, v in alone if m.memory <= v.memory]
    options: list[list[tuple[float, frozenset[int]]]] = []
    for m in model.core:
        one = replace(model, core=(m,))
        hosts = [i for i, v in enumerate(model.nodes) if any(k is m and u is v for k, u in alone)]
        mine = [(k, v) for k, v in alone if k is m]
        found = []
        for chosen in sets:
            pairs = [(m, model.nodes[i]) for i in chosen]
            if chosen <= set(hosts) and _allowed(one, p, mine, pairs, ALL - {"resources", "flows"}):
                found.append((_alone(model, p, m, frozenset((m.name, v.name) for _, v in pairs)), chosen))
        options.append(found)
    best = math.inf
    for combination in product(*options):
        value = sum(x for x, _ in combination)
        if value < best and _fits(model, p, [chosen for _, chosen in combination]):
            best = value
    return best


def _alone(model: Model, p: PlacementParameters, m, pairs: Pairs) -> float:
    """Value of one service's part of (10) for its instances, its share of the constant α |M_C| included."""
    whole = _continuous(model, p, pairs, ALL - {"flows"})
    others = len(model.core) - 1
    return whole - others * 6 * p.alpha  # the others are served by nobody: 1 + 5 times α each


def _fits(model: Model, p: PlacementParameters, chosen: list[frozenset[int]]) -> bool:
    for i, v in enumerate(model.nodes):
        here = [m for m, places in zip(model.core, chosen, strict=True) if i in places]
        if sum(m.cpu for m in here) > _free(p, v.cpu) + 1e-9 or sum(m.memory for m in here) > v.memory:
            return False
    return True


def violations(model: Model, p: PlacementParameters, instances: dict[str, tuple[str, ...]], flows: dict) -> list[str]:
    """Every constraint of (11) to (16) that a placement breaks, in words; none for a right one."""
    alone = [(m, v) for m in model.core for v in model.nodes if m.cpu <= _free(p, v.cpu) + 1e-9]
    alone = [(m, v) for m, v in alone if m.memory <= v.memory]
    chosen = [(m, v) for m in model.core for v in model.nodes if v.name in instances[m.name]]
    kinds = ("resources", "sparsity", "diversity", "survival")
    found = [k for k in kinds if not _allowed(model, p, alone, chosen, frozenset((k,)))]
    load = {(m.name, o.name): p.plan_load * _rate(model, m.name, o.weight) for m in model.core for o in model.ingresses}
    for m, v in ((m, v) for m in model.core for v in model.nodes):
        carried = sum(load[m.name, o.name] * flows.get((m.name, o.name, v.name), 0.0) for o in model.ingresses)
        if carried > (_cap(p, m, v) if v.name in instances[m.name] else 0.0) + 1e-4:
            found.append(f"capacity of {m.name} on {v.name}")
    for m, o in load:
        if sum(flows.get((m, o, v.name), 0.0) for v in model.nodes) > 1 + 1e-5:
            found.append(f"coverage of {m} from {o}")
    return found
