"""The fluid program: how much of what physics allows the machines and links can carry (docs/mathematics.md §4).

    max  Σ_no a_no     subject to eq. (31) to (36)

a_no: tasks of type n from o per second that end on time; g: stage visits per second by node; W: their work, seconds
at speed 1 per second; k, x, f: transfers per second that stay on a node, leave it, and cross a trunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.bound.values import Array, Crowd, Network
from controller.model import INGRESS, Core, Model, Stage, TaskType
from controller.placement.matrix import Matrix, Rows
from controller.placement.solver import solve

#: Shares of the served tasks at which the convex least-work curve is touched from below.
TANGENTS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
#: What the solver may violate a constraint by; given back to the bound.
TOLERANCE = 1e-6
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Edge:
    """A transfer of a type: `size` bytes, from where a stage ran (None: a gateway) to where the next runs."""

    source: str | None
    target: str | None
    size: float


#: A sum: (variable, coefficient), a variable being the number of its column.
Terms = list[tuple[int, float]]


@dataclass
class Fluid:
    """The program under construction."""

    model: Model
    network: Network
    hosts: Mapping[str, Sequence[str]]
    busy: dict[tuple[str, str], Terms] = field(default_factory=dict)  # (service, node) → W / s_v
    carried: dict[str, Terms] = field(default_factory=dict)  # pipe → Gbit/s
    most: list[float] = field(default_factory=list)  # of every variable; the least is 0
    rows: list[tuple[Terms, float, float]] = field(default_factory=list)  # a sum, its least and its most

    def variable(self, most: float = np.inf) -> int:
        self.most.append(most)
        return len(self.most) - 1

    def at_least(self, terms: Iterable[tuple[int, float]], least: float) -> None:
        self.rows.append((list(terms), least, np.inf))

    def at_most(self, terms: Iterable[tuple[int, float]], most: float) -> None:
        self.rows.append((list(terms), -np.inf, most))

    def equal(self, terms: Iterable[tuple[int, float]]) -> None:
        self.rows.append((list(terms), 0.0, 0.0))

    def matrix(self, costs: Terms) -> Matrix:
        """Minimise a sum of costs. One block, because blocks are made one by one."""
        cost = np.zeros(len(self.most))
        for x, c in costs:
            cost[x] += c
        row = np.repeat(np.arange(len(self.rows)), [len(terms) for terms, _, _ in self.rows])
        column = np.array([x for terms, _, _ in self.rows for x, _ in terms], np.int64)
        value = np.array([c for terms, _, _ in self.rows for _, c in terms])
        rows = Rows()
        least, most = [low for _, low, _ in self.rows], [high for _, _, high in self.rows]
        rows.add("fluid", least, most, len(self.rows), [(row, column, value)])
        return rows.matrix(cost, np.zeros(len(cost)), np.array(self.most), np.zeros(len(cost), bool))


def carried_share(
    model: Model,
    network: Network,
    hosts: Mapping[str, Sequence[str]],
    crowds: Sequence[Crowd],
    chances: Sequence[Array],
) -> float:
    """Largest on-time share of all tasks. chances: of each crowd's samples, to be on time at all.

    hosts: service → nodes; of a core service with one entry per instance, of a light one where it may be.
    """
    p = Fluid(model, network, hosts)
    offered = sum(c.rate for c in crowds)
    arrived: Terms = []
    for n in model.tasks:
        own = [(c, q) for c, q in zip(crowds, chances, strict=True) if c.type == n.name]
        if own:
            arrived += _type(p, n, own)
    for terms, capacity in (*_cores(p), *_lights(p), *_pipes(p)):
        p.at_most(terms, capacity)
    answer = solve(p.matrix([(a, -1.0) for a, _ in arrived]))
    if answer.status != "optimal":
        return 1.0  # nothing proven: physics alone is a bound, too
    return min(1.0, -answer.bound / offered + TOLERANCE)


def _type(p: Fluid, n: TaskType, own: list[tuple[Crowd, Array]]) -> Terms:
    """Variables and constraints of one type; its (a_no, 1). Eq. (31) and (32)."""
    home = {c.ingress: (p.variable(c.rate * float(q.mean())), 1.0) for c, q in own}
    arrived = list(home.values())
    visits: dict[str | None, dict[str, int]] = {None: {o: a for o, (a, _) in home.items()}}
    for k, stage in enumerate(n.stages):
        visits[stage.name] = {v: p.variable() for v in dict.fromkeys(p.hosts[stage.service])}
        p.equal([*((g, 1.0) for g in visits[stage.name].values()), *((a, -c) for a, c in arrived)])
        _work(p, stage, k, own, visits[stage.name], arrived)
    least = min((float(c.size[q > 0].min(initial=np.inf)) for c, q in own if c.size is not None), default=1.0)
    for e in _edges(n):
        size = e.size * (least if np.isfinite(least) else 0.0)
        if size > 0:
            _transfer(p, size * 8.0 / GIGA, visits[e.source], visits[e.target])
    return arrived


def _edges(n: TaskType) -> Iterator[Edge]:
    for stage in n.stages:
        for i in stage.inputs:
            yield Edge(None if i.source == INGRESS else i.source, stage.name, i.bytes)
    for sink in n.sinks():
        yield Edge(sink, None, n.output)


def _work(
    p: Fluid, stage: Stage, k: int, own: list[tuple[Crowd, Array]], visits: Mapping[str, int], arrived: Terms
) -> None:
    """Work of a stage by node, whichever tasks are chosen: the least-work curve and its tangents. Eq. (33)."""
    work = np.concatenate([c.work[k][q > 0] for c, q in own])
    mass = np.concatenate([c.rate / len(q) * q[q > 0] for c, q in own])
    if not len(work):
        return
    speed = {v.name: v.speed for v in p.model.nodes}
    done = {v: p.variable() for v in visits}
    for v, w in done.items():
        p.busy.setdefault((stage.service, v), []).append((w, 1.0 / speed[v]))
        p.at_least([(w, 1.0), (visits[v], -float(work.min()))], 0.0)
    for slope, offset in tangents(work, mass):
        p.at_least([*((w, 1.0) for w in done.values()), *((a, -slope * c) for a, c in arrived)], offset)


def tangents(work: Array, mass: Array) -> list[tuple[float, float]]:
    """(slope, offset) of lines below the least work that a rate `a` of the samples can have: W ≥ slope · a + offset.

    The least work of a is convex: the samples with the least work first. mass: tasks/s that each sample stands for.
    """
    order = np.argsort(work, kind="stable")
    work, mass = work[order], mass[order]
    rate = np.concatenate([[0.0], np.cumsum(mass)])
    total = np.concatenate([[0.0], np.cumsum(mass * work)])
    lines = []
    for share in TANGENTS:
        i = min(int(np.searchsorted(rate, share * rate[-1])), len(work) - 1)
        lines.append((float(work[i]), float(total[i] - work[i] * rate[i])))
    return list(dict.fromkeys(lines))


def _transfer(p: Fluid, gigabits: float, sources: Mapping[str, int], targets: Mapping[str, int]) -> None:
    """One edge of a DAG as a flow: stay, or leave over the port, cross trunks, and enter over another. Eq. (34)."""
    ports = p.network.ports
    stay = {v: p.variable() for v in sources if v in targets}
    balance: dict[str, Terms] = {t.site: [] for t in ports.values()}
    for ends, name, sign in ((sources, "out", 1.0), (targets, "in", -1.0)):
        for v, g in ends.items():
            moves = [(g, 1.0), (stay[v], -1.0)] if v in stay else [(g, 1.0)]
            if v in stay:  # what stays is part of what there is
                p.at_least(moves, 0.0)
            p.carried.setdefault(f"{v} {name}", []).extend((x, c * gigabits) for x, c in moves)
            balance.setdefault(ports[v].site, []).extend((x, c * sign) for x, c in moves)
    for t in p.network.trunks:
        crosses = p.variable()
        p.carried.setdefault(f"{t.source}->{t.target}", []).append((crosses, gigabits))
        balance.setdefault(t.source, []).append((crosses, -1.0))
        balance.setdefault(t.target, []).append((crosses, 1.0))
    for terms in balance.values():
        if terms:
            p.equal(_merged(terms))


def _merged(terms: Terms) -> Terms:
    """One coefficient per variable: a variable that leaves and enters at one site must not be named twice."""
    found: dict[int, float] = {}
    for x, c in terms:
        found[x] = found.get(x, 0.0) + c
    return list(found.items())


#: A load and what it may be at most.
Limit = tuple[Terms, float]


def _cores(p: Fluid) -> Iterator[Limit]:
    """κ_m streams of every instance. Eq. (35)."""
    for m in p.model.core:
        for v in dict.fromkeys(p.hosts[m.name]):
            if busy := p.busy.get((m.name, v)):
                yield busy, float(m.streams * list(p.hosts[m.name]).count(v))


def _lights(p: Fluid) -> Iterator[Limit]:
    """CPU and memory that core instances leave on a node, used by busy light workers only. Eq. (36)."""
    for v in p.model.nodes:
        held: list[tuple[Core, int]] = [(m, list(p.hosts[m.name]).count(v.name)) for m in p.model.core]
        busy = [(m, p.busy.get((m.name, v.name), [])) for m in p.model.light]
        cores = [(w, c * m.cpu) for m, terms in busy for w, c in terms]
        memory = [(w, c * m.memory / GIGA) for m, terms in busy for w, c in terms]
        if cores:
            yield cores, max(v.cpu - sum(m.cpu * k for m, k in held), 0.0)
            yield memory, max(v.memory - sum(m.memory * k for m, k in held), 0.0) / GIGA


def _pipes(p: Fluid) -> Iterator[Limit]:
    """Bits per second of every direction of every link. Eq. (37)."""
    rates = {f"{t.source}->{t.target}": t.pipe.rate for t in p.network.trunks}
    for name, port in p.network.ports.items():
        rates |= {f"{name} out": port.out.rate, f"{name} in": port.into.rate}
    for name, terms in p.carried.items():
        yield _merged(terms), rates[name] / GIGA
