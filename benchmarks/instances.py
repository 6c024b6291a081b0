"""Instances of core placement of any size: the reference scenario widened. The same arguments give the same instance.

Nodes come in clusters of four, one of each kind of the reference scenario (`scenarios/e12.yaml`), each node's speed
times U(0.9, 1.1). Clusters are points drawn uniformly in a square whose side grows with the root of their number, 10 ms
for a cluster's share of it; the delay between two is their distance, at least 1 ms. Each cluster has an ingress and
adds 20 tasks/s. Core services beyond the five of the reference are drawn (20 to 80 ms, 3 to 6 cores, 6 to 16 GB, 1 to
3 streams); each brings a task type that visits it and one service before it. Works and sizes are times U(0.8, 1.2).
α and β grow with the load, so that a request is worth the same in every size: with the reference's α on a thousand
nodes, leaving requests unserved would be cheaper than serving them.
"""

from __future__ import annotations

import math

import numpy as np

from controller.model import INGRESS, Access, Core, Costs, Ingress, Input, Light, Model, Node, Paths, Stage, TaskType
from controller.placement import PlacementParameters

GB, MB, MBIT, MILLI = 1e9, 1e6, 1e6, 1e-3
#: cores, memory (GB), speed, price of the kinds of node; one of each in a cluster.
KINDS = ((32, 48, 1.3, 1.2), (20, 32, 1.0, 1.0), (16, 24, 0.9, 0.9), (12, 16, 0.8, 0.8))
#: work (ms), cores, memory (GB), streams of the reference's core services.
CORE = {
    "vision": (40, 4, 8, 2),
    "llm": (60, 6, 16, 3),
    "audio": (30, 3, 6, 1),
    "fusion": (25, 3, 6, 1),
    "generator": (80, 5, 12, 2),
}
#: work (ms) of the light services that stand between core ones.
LIGHT = {"image": 30, "tokenise": 8, "sound": 20, "retrieve": 35, "safety": 20, "format": 12}
#: share, deadline (ms), {stage: {source: MB}} of the reference's task types, a stage named by its service.
TASKS: tuple[tuple[float, float, dict[str, dict[str, float]]], ...] = (
    (
        0.30,
        700,
        {
            "image": {INGRESS: 2.0},
            "vision": {"image": 0.8},
            "fusion": {"vision": 0.5},
            "llm": {"fusion": 0.4},
            "format": {"llm": 0.3},
        },
    ),
    (0.25, 500, {"sound": {INGRESS: 0.8}, "audio": {"sound": 0.5}, "llm": {"audio": 0.3}, "safety": {"llm": 0.3}}),
    (0.20, 900, {"image": {INGRESS: 3.0}, "vision": {"image": 1.0}, "generator": {"vision": 0.6}}),
    (0.25, 500, {"tokenise": {INGRESS: 0.5}, "retrieve": {"tokenise": 0.25}, "llm": {"retrieve": 0.5}}),
)
REFERENCE_LOAD = 60.0


def instance(nodes: int, services: int, seed: int = 1) -> tuple[Model, PlacementParameters]:
    """The model of so many nodes (a multiple of four, or cut to size) and core services, and its parameters."""
    rng = np.random.Generator(np.random.Philox(seed))
    clusters = math.ceil(nodes / len(KINDS))
    at = rng.uniform(0.0, 10.0 * math.sqrt(clusters), (clusters, 2))
    placed = tuple(
        Node(f"n{i + 1}", f"c{i // 4 + 1}", cpu, memory * GB, speed * rng.uniform(0.9, 1.1), price)
        for i, (cpu, memory, speed, price) in ((i, KINDS[i % 4]) for i in range(nodes))
    )
    weights = rng.dirichlet((12.0,) * clusters)
    ingresses = tuple(Ingress(f"gw{c + 1}", f"c{c + 1}", float(w)) for c, w in enumerate(weights))
    core = _core(services, rng)
    load = 5.0 * nodes
    model = Model(
        nodes=placed,
        ingresses=ingresses,
        core=core,
        light=tuple(
            Light(m, _vary(work, rng) * MILLI, 1, 0.3 * GB, 0.6, Costs(4, 1, 0.5)) for m, work in LIGHT.items()
        ),
        tasks=_tasks([m.name for m in core], rng),
        paths=_paths(placed, ingresses, at),
        access=Access(150 * MBIT, 3),
        load=load,
    )
    scale = load / REFERENCE_LOAD
    return model, PlacementParameters(alpha=40.0 * scale, beta_per_ms=0.02 * scale)


def _vary(value: float, rng: np.random.Generator) -> float:
    return float(value * rng.uniform(0.8, 1.2))


def _core(services: int, rng: np.random.Generator) -> tuple[Core, ...]:
    kinds = dict(list(CORE.items())[:services])
    for k in range(len(CORE), services):
        cores, memory, streams = int(rng.integers(3, 7)), int(rng.integers(6, 17)), int(rng.integers(1, 4))
        kinds[f"core{k + 1}"] = (float(rng.uniform(20, 80)), cores, memory, streams)
    return tuple(
        Core(m, _vary(work, rng) * MILLI, cpu, memory * GB, streams, 8.0, Costs(20, 4))
        for m, (work, cpu, memory, streams) in kinds.items()
    )


def _tasks(core: list[str], rng: np.random.Generator) -> tuple[TaskType, ...]:
    types = [
        (share, deadline, dag)
        for share, deadline, dag in TASKS
        if all(stage in core or stage in LIGHT for stage in dag)
    ]
    for m in core[len(CORE) :]:
        first = core[int(rng.integers(len(CORE)))]
        types.append((0.15, 700, {"image": {INGRESS: 1.0}, first: {"image": 0.6}, m: {first: 0.4}, "format": {m: 0.2}}))
    return tuple(
        TaskType(
            f"type{i + 1}",
            share,
            deadline * MILLI,
            0.1,
            tuple(
                Stage(stage, stage, tuple(Input(source, _vary(size, rng) * MB) for source, size in inputs.items()))
                for stage, inputs in dag.items()
            ),
            0.1 * MB,
        )
        for i, (share, deadline, dag) in enumerate(types)
    )


def _paths(nodes: tuple[Node, ...], ingresses: tuple[Ingress, ...], at: np.ndarray) -> Paths:
    """1 ms within a cluster; between two, their distance on top. Node links 1 Gbit/s, trunks 800 Mbit/s."""
    apart = np.maximum(1.0, np.hypot(*(at[:, None, :] - at[None, :, :]).transpose(2, 0, 1))) * MILLI
    np.fill_diagonal(apart, 0.0)
    hosts = [(x.name, int(x.domain[1:]) - 1) for x in (*nodes, *ingresses)]
    delay, per_byte = {}, {}
    rows = apart.tolist()
    for a, g in hosts:
        for b, h in hosts:
            if a != b:
                delay[a, b] = 1 * MILLI + rows[g][h]
                per_byte[a, b] = 8 / (1000 * MBIT if g == h else 800 * MBIT)
    return Paths(delay, per_byte)
