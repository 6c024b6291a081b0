"""Why there is no placement, in words: which service lacks which resource, where, and by how much.

A service that no node can hold alone is found by looking. Services that don't fit together are found by making the
resources, or else N−1, elastic in the same program and minimising the shortage (docs/mathematics.md §2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from controller.model import Core, Model
from controller.placement import program
from controller.placement.matrix import Floats, Ints
from controller.placement.parameters import PlacementParameters
from controller.placement.program import Columns, Constraint, Costs, Program
from controller.placement.solver import solve
from controller.placement.tables import Mask, Tables, free_cpu

#: Shortages below this (cores, GB, requests/s) are the solver's tolerance.
NOTICEABLE = 1e-4
#: A hundredth of the least shortage is near enough for a message, and so many nodes are enough for it.
GAP, NODES = 0.01, 2000
NONE = np.empty(0, np.int64)


def homeless(t: Tables) -> list[str]:
    """One sentence per service that no node could hold, even if it held nothing else."""
    return [_too_big(t.model, m, t.parameters) for m, held in zip(t.services, t.holds, strict=True) if not held.any()]


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


def shortage(t: Tables) -> str:
    """What the least that is asked for lacks, when every service alone has a home but all together have not."""
    return _lacking_resources(t) or _lacking_survivors(t)


def _bare(t: Tables, *constraints: Constraint) -> Program:
    """The constraints on y alone: nobody is served, nothing costs."""
    nobody = Columns(t.holds, np.zeros(t.serves.shape, bool), np.zeros((0, 1, 1, 1), bool))
    free = Costs(np.zeros(t.serves.shape), np.zeros(t.demand.shape), np.zeros((0, 1, 1, 1)), (), NONE, NONE)
    p = program.assemble(t, free, nobody, constraints)
    p.cost[0] = np.zeros(len(p.y))
    return p


def _lacking_resources(t: Tables) -> str:
    """Least extra cores and memory with which replicas and diversity could be met; "" if none are needed."""
    p = _bare(t, program.sparsity, program.diversity)
    # More instances than the least never lessen a shortage: leave them out of the message.
    p.rows.add("fewest", -np.inf, t.least, len(t.services), [(p.y_of[0], p.y, 1.0)])
    m, v = p.y_of
    each = np.arange(len(t.model.nodes))
    extra = []
    for need, room in zip(t.need, t.room, strict=True):
        extra.append(p.new(np.full(len(room), 1.0 / room.sum()), np.inf))
        p.rows.add("elastic", -np.inf, room, len(room), [(v, p.y, need[m]), (each, extra[-1], -1.0)])
    answer = solve(p.matrix(), gap=GAP, nodes=NODES)
    y = np.zeros(t.holds.shape, bool)
    y[p.y_of] = answer.values[p.y] > 0.5
    return "; ".join(_short_of(t, k, answer.values[x], y) for k, x in enumerate(extra) if _some(answer.values[x]))


def _some(shortages: Floats) -> bool:
    return bool((shortages > NOTICEABLE).any())


def _short_of(t: Tables, kind: int, extra: Floats, y: Mask) -> str:
    """One sentence for one resource. The service named first is the one that asks most of it on the short nodes."""
    unit, few = (("cores", "few"), ("GB memory", "little"))[kind]
    missing = extra > NOTICEABLE
    need, count, here = t.need[kind], y.sum(axis=1), y[:, missing].sum(axis=1)
    names = [m.name for m in t.services]
    first = max(range(len(names)), key=lambda m: (here[m] * need[m], names[m]))
    others = [
        f"{count[m]} of {names[m]} ({count[m] * need[m]:.1f})" for m in range(len(names)) if m != first and count[m]
    ]
    free = t.room[kind][t.holds.any(axis=0)].sum()
    kept = f", {t.parameters.light_cpu_share:.0%} kept for light services" if kind == 0 else ""
    apart = ", but not on the nodes where they fit" if (count * need).sum() <= free else ""
    where = ", ".join(f"{v.name} {x:.1f}" for v, x in zip(t.model.nodes, extra, strict=True) if x > NOTICEABLE)
    plural = "instance of {} needs" if count[first] == 1 else "instances of {} need"
    return (
        f"{count[first]} {plural.format(names[first])} {count[first] * need[first]:.1f} {unit}"
        + (f" beside {', '.join(others)}" if others else "")
        + f"; the nodes have {free:.1f} free in all{kept}{apart}: {extra[missing].sum():.1f} {unit} too {few} "
        f"(missing on {where})"
    )


def _lacking_survivors(t: Tables) -> str:
    """By how much the survivors of a crash fall short when N−1 gives way; "" if it doesn't have to."""
    p = _bare(t, program.sparsity, program.diversity, program.resources)
    largest = program.largest_instances(p)
    short = p.new(1.0 / t.total, np.inf)
    each, cap = np.arange(len(t.services)), t.cap[p.y_of]
    terms: list[tuple[Ints, Ints, ArrayLike]] = [(p.y_of[0], p.y, cap), (each, largest, -1.0), (each, short, 1.0)]
    p.rows.add("survival", t.survive, np.inf, len(each), terms)
    answer = solve(p.matrix(), gap=GAP, nodes=NODES)
    return "; ".join(
        f"{t.services[m].name}: after the loss of one node its survivors carry {t.survive[m] - x:.1f} requests/s, "
        f"{t.survive[m]:.1f} are asked for (sigma {t.parameters.sigma:g} times the nominal load): "
        f"{x:.1f} too few, "
        f"with at most {t.most[m]} instances in the cores and memory that are left"
        for m, x in enumerate(answer.values[short].tolist())
        if x > NOTICEABLE
    )


def concessions(t: Tables) -> list[str]:
    """What a small instance can't have and is not asked for: one sentence per service and constraint."""
    said, r = [], t.parameters.r
    for m, name in enumerate(m.name for m in t.services):
        hosts, wanted = int(t.holds[m].sum()), t.parameters.sigma * t.total[m] / t.parameters.plan_load
        if t.least[m] < r:
            said.append(f"{name}: {t.least[m]} of {r} replicas asked for, no more nodes can hold it")
        if t.spread[m] < r and hosts >= r:
            said.append(f"{name}: {t.spread[m]} of {r} domains asked for, no more can hold it")
        if t.survive[m] < wanted * (1 - 1e-9):
            said.append(
                f"{name}: after the loss of one node {t.survive[m]:.1f} of {wanted:.1f} requests/s survive at best, "
                f"on the {min(hosts, t.most[m])} nodes it may take"
            )
    return said


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
