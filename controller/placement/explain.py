"""Why there is no placement, in words: which service lacks which resource, where, and by how much.

A service that no node can hold alone is found by looking. Services that don't fit together are found by making the
resources, or else N−1, elastic in the same program and minimising the shortage (docs/mathematics.md §2).
"""

from __future__ import annotations

from typing import Any

import pulp

from controller.model import Core, Model
from controller.placement.parameters import PlacementParameters
from controller.placement.program import Program, bare, diversity, largest_instances, resources, sparsity, total
from controller.placement.solver import Solved, solve
from controller.placement.tables import free_cpu, tables

#: Shortages below this (cores, GB, requests/s) are the solver's tolerance.
NOTICEABLE = 1e-4
#: A hundredth of the least shortage is near enough for a message, and so many nodes are enough for it.
GAP, NODES = 0.01, 2000


def homeless(model: Model, parameters: PlacementParameters) -> list[str]:
    """One sentence per service that no node could hold, even if it held nothing else."""
    t = tables(model, parameters)
    return [_too_big(model, m, parameters) for m in t.services if not t.cap[m.name]]


def _too_big(model: Model, m: Core, parameters: PlacementParameters) -> str:
    roomiest = max(model.nodes, key=lambda v: (v.memory, v.name))
    fastest = max(model.nodes, key=lambda v: (v.cpu, v.name))
    cores = free_cpu(fastest, parameters)
    said = []
    if m.memory > roomiest.memory:
        said.append(
            f"{m.name} needs {_gb(m.memory)} memory; the largest node, {roomiest.name}, "
            f"has {_gb(roomiest.memory)} free: "
            f"{_gb(m.memory - roomiest.memory)} too little"
        )
    if m.cpu > cores:
        said.append(
            f"{m.name} needs {m.cpu:.1f} cores; the largest node, {fastest.name}, has {cores:.1f} free "
            f"({fastest.cpu:.1f} less {parameters.light_cpu_share:.0%} kept for light services): "
            f"{m.cpu - cores:.1f} cores too few"
        )
    if not said:
        enough = [v for v in model.nodes if v.memory >= m.memory]
        best = max(enough, key=lambda v: (v.cpu, v.name))
        said.append(
            f"{m.name} needs {_gb(m.memory)} memory and {m.cpu:.1f} cores on one node; of the nodes with the memory, "
            f"{best.name} has most cores, {free_cpu(best, parameters):.1f} free: "
            f"{m.cpu - free_cpu(best, parameters):.1f} cores too few"
        )
    return "; ".join(said)


def shortage(model: Model, parameters: PlacementParameters, backend: str | None) -> str:
    """What the least that is asked for lacks, when every service alone has a home but all together have not."""
    return _lacking_resources(model, parameters, backend) or _lacking_survivors(model, parameters, backend)


def _lacking_resources(model: Model, parameters: PlacementParameters, backend: str | None) -> str:
    """Least extra cores and memory with which replicas and diversity could be met; "" if none are needed."""
    p = bare(model, parameters)
    sparsity(p)
    diversity(p)
    # More instances than the least never lessen a shortage: leave them out of the message.
    p.require(*(total((1, p.y[m, v]) for v in caps) <= p.tables.least[m] for m, caps in p.tables.cap.items()))
    scale = {"cores": sum(v.cpu for v in model.nodes), "GB memory": sum(v.memory / 1e9 for v in model.nodes)}
    extra: dict[tuple[str, str], Any] = {}
    for i, (kind, node, load, limit) in enumerate(p.loads()):
        extra[kind, node] = pulp.LpVariable(f"extra_{i}", 0)
        p.require(load - extra[kind, node] <= limit)
    p.problem.setObjective(total((1 / scale[kind], x) for (kind, _), x in extra.items()))
    answer = solve(p.problem, backend, gap=GAP, nodes=NODES)
    missing = {key: answer.values[x.name] for key, x in extra.items() if answer.values[x.name] > NOTICEABLE}
    kinds = [kind for kind in scale if any(k == kind for k, _ in missing)]
    return "; ".join(_short_of(p, kind, {v: x for (k, v), x in missing.items() if k == kind}, answer) for kind in kinds)


def _short_of(p: Program, kind: str, missing: dict[str, float], answer: Solved) -> str:
    """One sentence for one resource. The service named first is the one that asks most of it on the short nodes."""
    unit, few = ("cores", "few") if kind == "cores" else ("GB memory", "little")
    need = {m.name: m.cpu if kind == "cores" else m.memory / 1e9 for m in p.tables.services}
    count = {m: sum(answer.values[p.y[m, v].name] > 0.5 for v in p.tables.cap[m]) for m in need}
    here = {m: sum(answer.values[p.y[m, v].name] > 0.5 for v in missing if (m, v) in p.y) for m in need}
    first = max(need, key=lambda m: (here[m] * need[m], m))
    others = [f"{count[m]} of {m} ({count[m] * need[m]:.1f})" for m in need if m != first and count[m]]
    free = sum(limit for k, _, _, limit in p.loads() if k == kind)
    kept = f", {p.parameters.light_cpu_share:.0%} kept for light services" if kind == "cores" else ""
    apart = ", but not on the nodes where they fit" if sum(count[m] * need[m] for m in need) <= free else ""
    where = ", ".join(f"{v} {x:.1f}" for v, x in missing.items())
    plural = "instance of {} needs" if count[first] == 1 else "instances of {} need"
    return (
        f"{count[first]} {plural.format(first)} {count[first] * need[first]:.1f} {unit}"
        + (f" beside {', '.join(others)}" if others else "")
        + f"; the nodes have {free:.1f} free in all{kept}{apart}: {sum(missing.values()):.1f} {unit} too {few} "
        f"(missing on {where})"
    )


def _lacking_survivors(model: Model, parameters: PlacementParameters, backend: str | None) -> str:
    """By how much the survivors of a crash fall short when N−1 gives way; "" if it doesn't have to."""
    p = bare(model, parameters)
    sparsity(p)
    diversity(p)
    resources(p)
    short: dict[str, Any] = {}
    for i, (m, largest) in enumerate(largest_instances(p).items()):
        short[m] = pulp.LpVariable(f"short_{i}", 0)
        p.require(p.surviving(m, largest) + short[m] >= p.tables.survive[m])
    p.problem.setObjective(total((1 / p.tables.total[m], x) for m, x in short.items()))
    answer = solve(p.problem, backend, gap=GAP, nodes=NODES)
    missing = {m: answer.values[x.name] for m, x in short.items() if answer.values[x.name] > NOTICEABLE}
    return "; ".join(
        f"{m}: after the loss of one node its survivors carry {p.tables.survive[m] - x:.1f} requests/s, "
        f"{p.tables.survive[m]:.1f} are asked for (sigma {parameters.sigma:g} times the nominal load): "
        f"{x:.1f} too few, "
        f"with at most {p.tables.most[m]} instances in the cores and memory that are left"
        for m, x in missing.items()
    )


def concessions(model: Model, parameters: PlacementParameters) -> list[str]:
    """What a small instance can't have and is not asked for: one sentence per service and constraint."""
    t = tables(model, parameters)
    said = []
    for m in t.least:
        hosts, wanted = len(t.cap[m]), parameters.sigma * t.total[m] / parameters.plan_load
        if t.least[m] < parameters.r:
            said.append(f"{m}: {t.least[m]} of {parameters.r} replicas asked for, no more nodes can hold it")
        if t.spread[m] < parameters.r and hosts >= parameters.r:
            said.append(f"{m}: {t.spread[m]} of {parameters.r} domains asked for, no more can hold it")
        if t.survive[m] < wanted * (1 - 1e-9):
            said.append(
                f"{m}: after the loss of one node {t.survive[m]:.1f} of {wanted:.1f} requests/s survive at best, "
                f"on the {min(hosts, t.most[m])} nodes it may take"
            )
    return said


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
