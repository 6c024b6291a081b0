"""What a controller is shown at the start of a slot: measurements of running services only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model import Paths


@dataclass(frozen=True, slots=True)
class InstanceState:
    """One instance as last measured. backlog: requests present (waiting and in service)."""

    id: str
    service: str
    node: str
    workers: int
    backlog: int = 0
    ready: bool = True
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """Measurements of one slot, nominal seconds.

    arrivals:  requests received, by (service, domain of the *sender*), in the last slot
    services:  new service-time samples per service, s (time in service, as measured on its node)
    waits:     waiting times of the requests whose service began in the slot, per service, s
               (requests dropped early count with the wait they had)
    offered:   tasks that arrived, by (ingress, task type), in the last slot
    paths:     current path costs as known to the network control
    dead:      nodes known to be down
    """

    slot: int
    now: float
    instances: tuple[InstanceState, ...]
    arrivals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    services: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    waits: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    offered: Mapping[tuple[str, str], int] = field(default_factory=dict)
    paths: Paths | None = None
    dead: tuple[str, ...] = ()
