"""What light control remembers between slots: frozen values that pickle, compare and go through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from controller.light.capacity import Table


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of light control; units in the comments. Defaults: docs/mathematics.md, section 5 where it gives them."""

    V: float = 3.0  # weight of cost against violations
    z0: float = 1.0  # price of a violation while the virtual queue is empty
    z: float = 1.645  # deviations by which the measured mean is inflated
    ewma_up: float = 0.5  # per slot, pooled demand rising
    ewma_down: float = 0.1  # per slot, pooled demand falling
    ewma_local: float = 0.3  # per slot, demand of one cluster: where, not how much
    safety: float = 0.5  # Poisson deviations of one slot's requests added to the demand
    backlog_slots: float = 2.0  # slots in which waiting requests shall be worked off
    pool_radius: float = 0.025  # s: clusters this near (or x̄/2) share their workers
    surplus_slots: float = 6.0  # slots of surplus before a pool shrinks
    table_slots: float = 10.0  # slots between rebuilds of tables and budgets
    samples: float = 1000.0  # service times kept per service
    move_horizon: float = 10.0  # slots within which a change of layout has to pay
    delay_value: float = 0.35  # ν: penalty of one request delayed by its whole waiting budget
    look_slots: float = 3.0  # slots between two looks of a service at its layout, for changes that nothing forces
    link_share: float = 0.5  # of a node's own link that planned traffic may fill
    utilisation: float = (
        0.0  # above 0: p = ⌈λ x̄ / utilisation⌉ in place of eq. (25), mean rates in place of effective capacity
    )
    begin_load: float = 1.0  # load the first layout is sized for, times the planner's rate


@dataclass(frozen=True, slots=True)
class Asked:
    """A start or resize this controller decided and the world may not show yet; slot: when."""

    service: str
    node: str
    workers: int
    slot: int


@dataclass(frozen=True, slots=True)
class LightState:
    """Memory of light control. Keys are service names unless said.

    next: number of the next instance id; samples: last service times, s; latency: q₉₀(T0) by task
    type, s; budgets: w_m, s; queues: Z_m; relaxed: ε̃_m;
    rates: smoothed violation rates; local: demand by sender's cluster, per s; pooled: {service: {pool: per s}}, a
    pool named by its clusters joined with "+"; offered: {ingress: {type: tasks per s}}; recent: sizes wanted in the
    last slots, {service: {pool: (p, …)}}; asked: by instance id;
    leaving: {instance id: id of its replacement, or ""}.
    """

    parameters: Parameters
    slot: int = 0
    now: float = 0.0
    next: int = 0
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    latency: Mapping[str, float] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    queues: Mapping[str, float] = field(default_factory=dict)
    relaxed: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    local: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pooled: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    offered: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recent: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    asked: Mapping[str, Asked] = field(default_factory=dict)
    leaving: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` gives back an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LightState:
        """The inverse of `to_json`, also after a trip through text."""
        values = {f.name: data[f.name] for f in fields(cls)}
        values["parameters"] = Parameters(**data["parameters"])
        values["samples"] = {m: tuple(x) for m, x in data["samples"].items()}
        values["tables"] = {
            m: Table(t["mean"], t["cv"], t["n"], tuple(t["rho"]), tuple(t["u"])) for m, t in data["tables"].items()
        }
        values["recent"] = {m: {pool: tuple(p) for pool, p in pools.items()} for m, pools in data["recent"].items()}
        values["asked"] = {i: Asked(**a) for i, a in data["asked"].items()}
        return cls(**values)
