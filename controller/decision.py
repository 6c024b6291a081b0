"""Decisions are values; worlds apply them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Start:
    """Create an instance. workers: κ_m for a core service, p for a light one."""

    id: str
    service: str
    node: str
    workers: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop an instance once everything routed to it is answered."""

    id: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Change the worker count of a running instance by a control message."""

    id: str
    workers: int


@dataclass(frozen=True, slots=True)
class Migrate:
    """One move: `start` on another node, then drain `drain`, of the same service."""

    start: Start
    drain: str


Action = Start | Drain | Resize | Migrate


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions of one slot, in order, with one reason per action (same index)."""

    slot: int
    actions: tuple[Action, ...] = ()
    reasons: tuple[str, ...] = ()
    diagnostics: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Result of core placement. instances: {core service: (node, …)}; seconds is measured by the caller.

    status: "optimal" | "feasible" (a limit was reached, bound and gap are proven) |
            "infeasible" | "heuristic" (no bound: bound is -inf, gap is nan).
    objective and bound include the constant α·|M_C|; gap = (objective − bound) / objective.
    unserved: {core service: share of its planned demand that no instance can carry}.
    """

    instances: Mapping[str, tuple[str, ...]]
    status: str
    objective: float
    bound: float
    gap: float
    flows: Mapping[tuple[str, str, str], float] = field(default_factory=dict)  # (service, ingress, node) → z_mov
    unserved: Mapping[str, float] = field(default_factory=dict)
    explanation: str = ""
