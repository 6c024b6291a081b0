"""Genetic: one seeded genetic algorithm over core and light services at once, for `plan_load`; nothing ever moves.

A genome is a matrix of services × nodes: 0 or 1 instance of a core service, workers of a light one. Its value, to be
minimised, is what `two_tier` weighs, without a network of flows and without learning:

    Σ price_v (c_mt + c_pl p)                     what it costs per slot
    + α Σ_core Σ_o share_mo (1 − max_v q_mov)     the latency score of eq. (9), at the best instance of each ingress
    + 5 α Σ_core [1 − Σ_v cap_mv / Λ_m]⁺          planned demand that finds no stream, eq. (12)
    + Σ_light z₀ λ ψ(p) + 10³ [ψ(p) − ε]⁺         waiting by eq. (20) at the whole demand, as in eq. (25)
    + ν Σ_light Σ_g λ_g min_v net(g, v, b) / x̄    the way to the nearest instance
    + 10³ (missing domains)                       every service in two domains where two can hold it

A genome that overfills a node is repaired: cells of it are emptied in the order of a fixed draw. Truncation selection,
uniform crossover of rows, mutation of single cells, elitism. The draws are Philox of `seed`: the same model gives the
same placement. Why it is written here: docs/decisions/0013.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from controller.decision import Decision, Placement, Start
from controller.light import capacity, demand, measure
from controller.light.index import index, ways
from controller.light.law import Array, Whole
from controller.model import Core, Light, Model
from controller.observation import Observation
from controller.placement import Infeasible
from controller.policies._fixed import Fixed, Room, beside_core, heuristic, stay
from controller.policies._parameters import build, check

#: Most workers of a light service on a node, and most in all.
MOST, MOST_IN_ALL = 8, 80
PENALTY = 1e3
#: ν of eq. (26), as in light control.
DELAY_VALUE = 0.35


@dataclass(frozen=True, slots=True)
class Parameters:
    """population, generations, elite and mutation (per cell) of the algorithm; the rest as in the text above."""

    plan_load: float = 3.0
    rho: float = 0.75
    alpha: float = 40.0
    population: int = 80
    generations: int = 150
    elite: int = 20
    mutation: float = 0.03
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Genetic:
    """Bred, then still."""

    name: str = "genetic"
    routing: str = "estimate"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, Parameters())
        best, value = _bred(model, build(Parameters(), parameters))
        hosts = {
            m.name: tuple(v.name for v, n in zip(model.nodes, row, strict=True) if n)
            for m, row in zip(model.core, best[: len(model.core)].tolist(), strict=True)
        }
        for m in model.core:
            if not hosts[m.name]:
                raise Infeasible(f"policy genetic: {Room.of(model).lack(m)}")
        return heuristic(hosts, f"genetic algorithm, value {value:.1f}")

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, Parameters())
        best, _ = _bred(model, build(Parameters(), parameters))
        room, rows = beside_core(model, placement)
        for m, row in zip(model.light, best[len(model.core) :].tolist(), strict=True):
            workers = {v.name: n for v, n in zip(model.nodes, row, strict=True) if n and room.fits(m, v.name, n)}
            workers = workers or {v.name: 1 for v in model.nodes if room.fits(m, v.name)}
            if not workers:
                raise Infeasible(f"policy genetic: {room.lack(m)}")
            for v, n in workers.items() if sum(row) else list(workers.items())[:1]:
                room.take(m, v, n)
                rows.append((Start(f"{m.name}-{len(rows)}", m.name, v, n), f"{m.name}: bred for the planned load"))
        return Fixed(), Decision(0, tuple(a for a, _ in rows), tuple(r for _, r in rows))

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)


def _bred(model: Model, p: Parameters) -> tuple[Whole, float]:
    """The best genome of all generations (services × nodes) and its value."""
    dice = np.random.Generator(np.random.Philox(p.seed))
    judge = _Judge(model, p)
    services, nodes = judge.most.shape
    order = dice.permutation(services)
    chance = np.where(judge.core, 0.2, 0.1)[:, None]
    genomes = (dice.random((p.population, services, nodes)) < chance) * dice.integers(
        1, judge.most + 1, (p.population, services, nodes)
    )
    genomes = judge.repaired(genomes, order)
    values = judge.values(genomes)
    for _ in range(p.generations):
        best = np.argsort(values, kind="stable")[: p.elite]
        elite, kept = genomes[best], values[best]
        pairs = dice.integers(0, p.elite, (2, p.population - p.elite))
        rows = dice.random((p.population - p.elite, services, 1)) < 0.5
        young = np.where(rows, elite[pairs[0]], elite[pairs[1]])
        change = dice.random(young.shape) < p.mutation
        step = np.where(judge.core[:, None], 1 - 2 * young, dice.integers(-2, 3, young.shape))
        young = judge.repaired(np.clip(np.where(change, young + step, young), 0, judge.most), order)
        genomes, values = np.concatenate((elite, young)), np.concatenate((kept, judge.values(young)))
    best_one = int(np.argmin(values))
    return genomes[best_one], float(values[best_one])


class _Judge:
    """Values and repairs whole populations: genomes (population, services, nodes), core services first."""

    def __init__(self, model: Model, p: Parameters) -> None:
        found, net = index(model), ways(model, model.paths)
        self.p, self.found = p, found
        services: list[Core | Light] = [*model.core, *model.light]
        self.core = np.array([isinstance(m, Core) for m in services])
        self.most = np.where(self.core[:, None], 1, MOST) * np.ones((1, len(model.nodes)), dtype=np.int64)
        self.cpu, self.memory = np.array([m.cpu for m in services]), np.array([m.memory for m in services])
        self.keep = np.array([m.costs.keep for m in services])[:, None] * found.price
        self.parallel = np.array([0.0 if isinstance(m, Core) else m.costs.parallel for m in services])
        self.parallel = self.parallel[:, None] * found.price
        rates = demand.task_rates(model, p.plan_load)
        hosts = {m.name: (model.nodes[0].name,) for m in model.core}
        asked = demand.planned(model, Placement(hosts, "heuristic", 0.0, 0.0, 0.0), rates)
        gateways = np.array([found.endpoint[o.name] for o in model.ingresses])
        nodes = np.arange(len(model.nodes))
        self.quality, self.share, self.cap, self.total = [], [], [], []
        for m in model.core:
            visits = {n.name: sum(s.service == m.name for s in n.stages) for n in model.tasks}
            asks = np.array([sum(r * visits[n] for n, r in rates[o.name].items()) for o in model.ingresses])
            limit = min((n.deadline for n in model.tasks if visits[n.name]), default=1.0) / 4.0
            late = net.net(gateways, nodes, found.edges[m.name][0]) + 1.05 * m.work / found.speed
            self.quality.append(np.clip(1.0 - late / limit, 0.0, 1.0))
            self.total.append(float(asks.sum()))
            self.share.append(asks / max(asks.sum(), 1e-12))
            self.cap.append(p.rho * m.streams * found.speed / m.work)
        self.psi, self.way, self.asked = [], [], []
        for light in model.light:
            table = capacity.table((), light.law, measure.prior_mean(model, light, 0.5))
            asks = np.array([asked[light.name].get(g, 0.0) for g in found.domains])
            seconds = net.net(found.representatives, nodes, found.edges[light.name][0])
            self.psi.append(np.array([1.0, *capacity.violations(float(asks.sum()), table.mean, table, MOST_IN_ALL)]))
            self.way.append(np.minimum(1e3, seconds) / table.mean)
            self.asked.append(asks)
        self.epsilon = [found.targets[m.name] for m in model.light]

    def repaired(self, genomes: Whole, order: Whole) -> Whole:
        """Within CPU and memory of every node: services in the order of `order` take what is left."""
        out = np.zeros_like(genomes)
        cpu = np.broadcast_to(self.found.cpu, genomes[:, 0].shape).copy()
        memory = np.broadcast_to(self.found.memory, cpu.shape).copy()
        for m in [*(k for k in order if self.core[k]), *(k for k in order if not self.core[k])]:
            fits = np.floor(np.minimum(cpu / self.cpu[m], memory / max(self.memory[m], 1e-9)) + 1e-9)
            out[:, m] = np.minimum(genomes[:, m], fits)
            cpu -= out[:, m] * self.cpu[m]
            memory -= out[:, m] * self.memory[m]
        return out

    def values(self, genomes: Whole) -> Array:
        """What is to be minimised, by genome."""
        there = genomes > 0
        value: Array = (there * self.keep + genomes * self.parallel).sum(axis=(1, 2))
        for k, (quality, share) in enumerate(zip(self.quality, self.share, strict=True)):
            best = np.where(there[:, k, None, :], quality, 0.0).max(axis=2)
            unserved = np.maximum(0.0, 1.0 - (there[:, k] * self.cap[k]).sum(axis=1) / max(self.total[k], 1e-12))
            value += self.p.alpha * ((1.0 - best) @ share) + 5.0 * self.p.alpha * unserved
        for k, (psi, way, asked) in enumerate(
            zip(self.psi, self.way, self.asked, strict=True), start=len(self.quality)
        ):
            p = np.minimum(genomes[:, k].sum(axis=1), MOST_IN_ALL)
            late = psi[p]
            value += late * asked.sum() + PENALTY * np.maximum(0.0, late - self.epsilon[k - len(self.quality)])
            value += DELAY_VALUE * np.where(there[:, k, None, :], way, 1e3).min(axis=2) @ asked
        domains = np.stack([there[:, :, self.found.domain == g].any(axis=2) for g in range(len(self.found.domains))])
        value += PENALTY * np.maximum(0, min(2, len(domains)) - domains.sum(axis=0)).sum(axis=1)
        return value


POLICY = Genetic()
