"""Monolithic: the whole application once in every place; a task stays in the place it came to; nothing ever moves.

A place is a domain with an ingress: one node can't hold all services (the core services of E12 alone fill the memory
of its largest). Each place gets every service that its own tasks use, sized for its own planned demand at
`plan_load`: core instances until their streams carry it at `rho`, on the node with the most memory left; one instance
of each light service with ⌈λ x̄ / rho_light⌉ workers, on the node with the most CPU left. What does not fit in its place
stands on the nearest node that has room. Senders take the nearest instance, so nothing is shared between places until
one fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.decision import Decision, Placement, Start
from controller.light import demand
from controller.light import law as laws
from controller.model import Core, Light, Model, Node
from controller.observation import Observation
from controller.placement import Infeasible
from controller.policies._fixed import Fixed, Room, beside_core, heuristic, stay
from controller.policies._parameters import build, check


@dataclass(frozen=True, slots=True)
class Parameters:
    """plan_load: multiple of the nominal load to provide for; rho, rho_light: highest mean utilisation."""

    plan_load: float = 3.0
    rho: float = 0.75
    rho_light: float = 0.5


@dataclass(frozen=True, slots=True)
class Monolithic:
    """A replica per place."""

    name: str = "monolithic"
    routing: str = "nearest"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room = Room.of(model)
        speed = {v.name: v.speed for v in model.nodes}
        hosts: dict[str, list[str]] = {m.name: [] for m in model.core}
        unserved: dict[str, float] = {}
        for g, rates in _demand(model, p.plan_load).items():
            for m in sorted(model.core, key=lambda m: (-m.memory, m.name)):
                left = rates.get(m.name, 0.0)
                while left > 1e-9:
                    node = _room_near(model, m, g, room, 1, hosts[m.name])
                    if node is None:
                        unserved[m.name] = unserved.get(m.name, 0.0) + left
                        break
                    room.take(m, node)
                    hosts[m.name].append(node)
                    left -= p.rho * m.streams * speed[node] / m.work
        for m in model.core:
            if m.name in unserved and not hosts[m.name]:
                raise Infeasible(f"policy monolithic: {room.lack(m)}")
        whole = {m: sum(r.get(m, 0.0) for r in _demand(model, p.plan_load).values()) for m in unserved}
        return heuristic(
            {m: tuple(found) for m, found in hosts.items()}, "the whole application in every place",
            unserved={m: left / whole[m] for m, left in unserved.items()},
        )  # fmt: skip

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room, rows = beside_core(model, placement)
        for m in model.light:
            for g, rates in _demand(model, p.plan_load).items():
                if m.name not in rates and any(m.name in r for r in _demand(model, p.plan_load).values()):
                    continue
                rate = rates.get(m.name, 0.0)
                wanted = max(1, math.ceil(rate * m.work * laws.mean(m.law) / p.rho_light))
                node = None
                while node is None and wanted > 0:
                    node = _room_near(model, m, g, room, wanted, [])
                    wanted -= node is None
                if node is None:
                    continue
                room.take(m, node, wanted)
                reason = f"{m.name}: {rate:.1f}/s planned in {g}"
                rows.append((Start(f"{m.name}-{len(rows)}", m.name, node, wanted), reason))
            if not any(start.service == m.name for start, _ in rows):
                raise Infeasible(f"policy monolithic: {room.lack(m)}")
        return Fixed(), Decision(0, tuple(a for a, _ in rows), tuple(r for _, r in rows))

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)


def _demand(model: Model, load: float) -> dict[str, dict[str, float]]:
    """{place: {service: planned requests per s of its own tasks}}; services that no task of it uses are left out."""
    found: dict[str, dict[str, float]] = {}
    rates = demand.task_rates(model, load)
    for o in model.ingresses:
        here = found.setdefault(o.domain, {})
        for n in model.tasks:
            for s in n.stages:
                here[s.service] = here.get(s.service, 0.0) + rates[o.name][n.name]
    return found


def _room_near(model: Model, m: Core | Light, domain: str, room: Room, workers: int, hosts: list[str]) -> str | None:
    """The node of the place with the most of what `m` is short of, else the nearest node with room; None for none."""
    here = demand.representative(model, domain)
    able = [v for v in model.nodes if room.fits(m, v.name, workers) and v.name not in hosts]
    left = room.memory if isinstance(m, Core) else room.cpu

    def rank(v: Node) -> tuple[float, float, str]:
        return -1.0 if v.domain == domain else model.paths.net(here, v.name, 0.0), -left[v.name], v.name

    found = min(able, key=rank, default=None)
    return None if found is None else found.name


POLICY = Monolithic()
