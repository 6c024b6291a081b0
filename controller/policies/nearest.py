"""Nearest: every ingress gets what it needs as near as there is room, sized for mean rates; nothing ever moves.

Core: for each ingress (largest weight first) and core service, its planned demand goes to instances in the order of
path + service time, opening them where there is room, until it is carried at utilisation ρ. Light: each cluster gets
⌈λ_g x̄ / ρ⌉ workers for what its own senders ask on average, on its own nodes, the nearest to its gateway first;
what does not fit there goes to the nearest nodes that have room. No pooling, no margin for chance, no measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.decision import Decision, Placement, Start
from controller.light import demand
from controller.light import law as laws
from controller.model import Core, Light, Model
from controller.observation import Observation
from controller.placement import Infeasible
from controller.policies._fixed import Fixed, Room, beside_core, heuristic, stay
from controller.policies._parameters import build, check


@dataclass(frozen=True, slots=True)
class Parameters:
    """plan_load: multiple of the nominal load to provide for; rho: highest mean utilisation."""

    plan_load: float = 3.0
    rho: float = 0.75
    light_cpu_share: float = 0.4  # share of every node's CPU that core services leave to light ones


@dataclass(frozen=True, slots=True)
class Nearest:
    """Greedy by distance."""

    name: str = "nearest"
    routing: str = "nearest"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room, spare = Room.of(model, p.light_cpu_share), dict[tuple[str, str], float]()
        flows: dict[tuple[str, str, str], float] = {}
        unserved: dict[str, float] = {}
        for m in model.core:
            rates = _core_rates(model, m, p.plan_load)
            for o in sorted(rates, key=lambda o: (-rates[o], o)):
                left = _serve(model, m, o, rates[o], p.rho, room, spare, flows)
                if left > 0:
                    unserved[m.name] = unserved.get(m.name, 0.0) + left / sum(rates.values())
            if rates and not any(k == m.name for k, _ in spare):
                raise Infeasible(f"policy nearest: {room.lack(m)}")
        hosts = {m.name: tuple(v.name for v in model.nodes if (m.name, v.name) in spare) for m in model.core}
        return heuristic(hosts, "greedy by distance", flows=flows, unserved=unserved)

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room, rows = beside_core(model, placement)
        asked = demand.planned(model, placement, demand.task_rates(model, p.plan_load))
        for m in model.light:
            workers: dict[str, int] = {}
            wanted = {g: rate for g, rate in asked[m.name].items() if rate > 0} or {demand.domains(model)[0]: 0.0}
            for g, rate in wanted.items():
                _fill(model, m, g, rate, p.rho, room, workers)
            if not workers:
                raise Infeasible(f"policy nearest: {room.lack(m)}")
            for v, count in workers.items():
                reason = f"{m.name}: nearest room for " + ", ".join(f"{g} {x:.1f}/s" for g, x in wanted.items())
                rows.append((Start(f"{m.name}-{len(rows)}", m.name, v, count), reason))
        return Fixed(), Decision(0, tuple(a for a, _ in rows), tuple(r for _, r in rows))

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)


def _core_rates(model: Model, m: Core, load: float) -> dict[str, float]:
    """Planned requests per s of a core service by ingress; ingresses that never ask are left out."""
    visits = {n.name: sum(s.service == m.name for s in n.stages) for n in model.tasks}
    rates = demand.task_rates(model, load)
    asked = {o: sum(rate * visits[n] for n, rate in by_type.items()) for o, by_type in rates.items()}
    return {o: rate for o, rate in asked.items() if rate > 0}


def _serve(
    model: Model,
    m: Core,
    ingress: str,
    rate: float,
    rho: float,
    room: Room,
    spare: dict[tuple[str, str], float],
    flows: dict[tuple[str, str, str], float],
) -> float:
    """Give `rate` (per s) of an ingress to the nearest instances, opening them; returns what found no capacity."""
    into, _ = demand.edges(model, m.name)
    left = rate
    for v in sorted(model.nodes, key=lambda v: (model.paths.net(ingress, v.name, into) + m.work / v.speed, v.name)):
        if left <= 1e-9 or math.isinf(model.paths.net(ingress, v.name, into)):
            break
        if (m.name, v.name) not in spare:
            if not room.fits(m, v.name):
                continue
            room.take(m, v.name)
            spare[m.name, v.name] = rho * m.streams * v.speed / m.work
        given = min(left, spare[m.name, v.name])
        if given > 0:
            spare[m.name, v.name] -= given
            flows[m.name, ingress, v.name] = given / rate
            left -= given
    return left if left > 1e-9 else 0.0


def _fill(model: Model, m: Light, domain: str, rate: float, rho: float, room: Room, workers: dict[str, int]) -> None:
    """Workers for one cluster's own mean rate: its own nodes first, each group by distance from its gateway."""
    here = demand.representative(model, domain)
    order = sorted(
        model.nodes, key=lambda v: (v.domain != domain, model.paths.net(here, v.name, 0.0), -v.speed, v.name)
    )
    left = rate * m.work * laws.mean(m.law) / rho  # workers of speed 1 still wanted
    first = True
    for v in order:
        while (left > 1e-9 or first) and room.fits(m, v.name):
            room.take(m, v.name)
            workers[v.name] = workers.get(v.name, 0) + 1
            left -= v.speed
            first = False


POLICY = Nearest()
