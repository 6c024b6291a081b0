"""One task in flight at its gateway, and its row."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import routing

#: A result this much after the deadline still counts as late instead of unanswered: 2 deadlines, at most 5 wire s.
GRACE_DEADLINES = 2.0
GRACE_LIMIT = 5.0


@dataclass(slots=True, eq=False)
class Task:
    """Times are absolute wire seconds. intended: the send the latency counts from (access phase included)."""

    id: int
    spec: routing.TypeSpec
    intended: float
    deadline: float
    access: float
    work: dict[str, float]
    size: float
    lag: float = 0.0
    attempts: int = 0
    expired: bool = False
    waiting: bool = False  # for a view that shows a way
    bound: set[str] = field(default_factory=set)  # instances of join stages, of any attempt
    binding: set[str] = field(default_factory=set)  # of the current attempt
    answered: set[str] = field(default_factory=set)  # sinks whose result is here
    timer: asyncio.TimerHandle | None = None

    @property
    def last_moment(self) -> float:
        """When it is resolved without a result."""
        return self.deadline + min(GRACE_DEADLINES * (self.deadline - self.intended), GRACE_LIMIT)
