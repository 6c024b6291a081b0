"""Instances for the controller's tests: the reference scenario E12 and one small enough to enumerate.

Numbers of E12: twelve nodes in three clusters, five core and eight light services, four task types. Per seed, each
work, each size and each edge is multiplied once by U(0.8, 1.2), each node's speed by U(0.9, 1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, permutations

import numpy as np

from controller.model import (
    INGRESS,
    Access,
    Core,
    Costs,
    Ingress,
    Input,
    Law,
    Light,
    Model,
    Node,
    Paths,
    Stage,
    TaskType,
)

GB, MB, MBIT = 1e9, 1e6, 1e6
MILLI = 1e-3

#: kind → cores, memory (GB), speed, price; one of each per cluster.
KINDS = {
    "big": (32, 48, 1.3, 1.2),
    "medium": (20, 32, 1.0, 1.0),
    "small": (16, 24, 0.9, 0.9),
    "tiny": (12, 16, 0.8, 0.8),
}
#: core service → work (ms), cores, memory (GB), streams, start-up (s); all cost 20 to deploy and 4 per slot.
CORE = {
    "vision": (40, 4, 8, 2, 8),
    "llm": (60, 6, 16, 3, 15),
    "audio": (30, 3, 6, 1, 6),
    "fusion": (25, 3, 6, 1, 5),
    "generator": (80, 5, 12, 2, 10),
}
#: light service → work (ms), shape of the rate factor, memory per worker (GB), start-up (ms); costs 4, 1, 0.5.
LIGHT = {
    "image": (30, 2, 0.3, 600),
    "tokenise": (8, 3, 0.2, 400),
    "sound": (20, 2, 0.3, 500),
    "retrieve": (35, 2, 0.5, 800),
    "rank": (25, 2, 0.4, 600),
    "safety": (20, 3, 0.3, 500),
    "format": (12, 3, 0.2, 400),
    "render": (40, 2, 0.5, 800),
}
Dag = Mapping[str, Mapping[str, float]]
#: task → share, deadline (ms), result (MB), {stage: {predecessor or ingress: MB}}; a stage is named by its service.
TASKS: dict[str, tuple[float, float, float, Dag]] = {
    "vqa": (
        0.30,
        700,
        0.1,
        {
            "image": {INGRESS: 2.0},
            "vision": {"image": 0.8},
            "tokenise": {INGRESS: 0.02},
            "fusion": {"vision": 0.5, "tokenise": 0.05},
            "llm": {"fusion": 0.4},
            "format": {"llm": 0.3},
        },
    ),
    "speech": (
        0.25,
        500,
        0.3,
        {
            "sound": {INGRESS: 0.8},
            "audio": {"sound": 0.5},
            "llm": {"audio": 0.3},
            "safety": {"llm": 0.3},
            "format": {"safety": 0.3},
        },
    ),
    "ar": (
        0.20,
        900,
        1.5,
        {
            "image": {INGRESS: 3.0},
            "vision": {"image": 1.0},
            "generator": {"vision": 0.6},
            "render": {"generator": 1.0},
        },
    ),
    "rag": (
        0.25,
        500,
        0.1,
        {
            "tokenise": {INGRESS: 0.5},
            "retrieve": {"tokenise": 0.25},
            "llm": {"retrieve": 0.5},
            "rank": {"llm": 0.3},
            "format": {"rank": 0.25},
        },
    ),
}


def e12(seed: int = 1, clusters: int = 3) -> Model:
    """The reference scenario as the planner sees it; the same seed gives the same model.

    clusters other than 3: the same scenario wider, 4 nodes and 20 tasks/s more with each cluster.
    """
    rng = np.random.Generator(np.random.Philox(seed))

    def vary(value: float, spread: float = 0.2) -> float:
        return float(value * rng.uniform(1 - spread, 1 + spread))

    domains = [f"c{i + 1}" for i in range(clusters)]
    nodes = tuple(
        Node(f"n{4 * c + k + 1}", cluster, cpu, memory * GB, vary(speed, 0.1), price)
        for c, cluster in enumerate(domains)
        for k, (cpu, memory, speed, price) in enumerate(KINDS.values())
    )
    weights = rng.dirichlet((12,) * clusters)
    ingresses = tuple(Ingress(f"gw{c + 1}", g, float(w)) for c, (g, w) in enumerate(zip(domains, weights, strict=True)))
    pairs = sorted(combinations(range(clusters), 2), key=lambda p: (p[1] - p[0], p))
    trunks = {frozenset((domains[a], domains[b])): float(rng.uniform(6, 14)) * MILLI for a, b in pairs}
    return Model(
        nodes=nodes,
        ingresses=ingresses,
        core=tuple(
            Core(m, vary(x) * MILLI, cpu, memory * GB, streams, startup, Costs(20, 4))
            for m, (x, cpu, memory, streams, startup) in CORE.items()
        ),
        light=tuple(
            Light(m, vary(x) * MILLI, 1, memory * GB, startup * MILLI, Costs(4, 1, 0.5), Law("gamma", shape=shape))
            for m, (x, shape, memory, startup) in LIGHT.items()
        ),
        tasks=tuple(
            TaskType(n, share, deadline * MILLI, 0.10, dag(stages, vary), vary(out) * MB)
            for n, (share, deadline, out, stages) in TASKS.items()
        ),
        paths=full_mesh(nodes, ingresses, trunks, inside=1 * MILLI, node=1000 * MBIT, gateway=10_000 * MBIT),
        access=Access(150 * MBIT, 3),
        load=20.0 * clusters,
    )


def small() -> Model:
    """Three nodes in two domains, two core services, two light ones, two task types: 64 placements in all."""
    nodes = (
        Node("n1", "west", 16, 24 * GB, 1.2, 1.2),
        Node("n2", "west", 10, 16 * GB, 1.0, 0.9),
        Node("n3", "east", 16, 24 * GB, 1.0, 1.0),
    )
    ingresses = (Ingress("gw1", "west", 0.6), Ingress("gw2", "east", 0.4))
    vqa: Dag = {"image": {INGRESS: 1.0}, "vision": {"image": 0.8}, "llm": {"vision": 0.4}, "format": {"llm": 0.3}}
    chat: Dag = {"llm": {INGRESS: 0.3}, "format": {"llm": 0.2}}
    return Model(
        nodes=nodes,
        ingresses=ingresses,
        core=(
            Core("vision", 40 * MILLI, 4, 8 * GB, 2, 2, Costs(20, 4)),
            Core("llm", 60 * MILLI, 4, 12 * GB, 3, 3, Costs(20, 4)),
        ),
        light=(
            Light("image", 30 * MILLI, 1, 0.3 * GB, 0.6, Costs(4, 1, 0.5)),
            Light("format", 12 * MILLI, 1, 0.2 * GB, 0.4, Costs(4, 1, 0.5), Law("gamma", shape=3)),
        ),
        tasks=(
            TaskType("vqa", 0.5, 0.7, 0.1, dag(vqa), 0.1 * MB),
            TaskType("chat", 0.5, 0.4, 0.1, dag(chat), 0.1 * MB),
        ),
        paths=full_mesh(
            nodes,
            ingresses,
            {frozenset(("west", "east")): 8 * MILLI},
            1 * MILLI,
            node=1000 * MBIT,
            gateway=10_000 * MBIT,
        ),
        access=Access(150 * MBIT, 3),
        load=20.0,
    )


def _same(value: float) -> float:
    return value


def dag(stages: Dag, vary: Callable[[float], float] = _same) -> tuple[Stage, ...]:
    """Stages of a DAG {stage: {source: MB}}, each named by its service."""
    return tuple(
        Stage(name, name, tuple(Input(source, vary(size) * MB) for source, size in inputs.items()))
        for name, inputs in stages.items()
    )


def full_mesh(
    nodes: tuple[Node, ...],
    ingresses: tuple[Ingress, ...],
    trunks: Mapping[frozenset[str], float],
    inside: float,
    node: float,
    gateway: float,
    trunk: float = 800 * MBIT,
) -> Paths:
    """Path costs over one switch per domain: `trunks` (s) by pair of domains, `inside` (s) between two hosts of one.

    Rates in bit/s. The path of least delay is taken, over another domain where that is shorter.
    """
    domain = {x.name: x.domain for x in (*nodes, *ingresses)}
    rate = {v.name: node for v in nodes} | {o.name: gateway for o in ingresses}
    between = {(g, h): trunks.get(frozenset((g, h)), 0.0) for g in domain.values() for h in domain.values()}
    for k in set(domain.values()):
        between |= {(g, h): min(d, between[g, k] + between[k, h]) for (g, h), d in between.items()}
    delay, per_byte = {}, {}
    for a, b in permutations(domain, 2):
        crosses = domain[a] != domain[b]
        delay[a, b] = inside + between[domain[a], domain[b]]
        per_byte[a, b] = 8 / min(rate[a], rate[b], trunk if crosses else rate[a])
    return Paths(delay, per_byte)
