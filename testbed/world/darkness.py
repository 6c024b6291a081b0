"""When a service could not be reached at all: the blackout of a move, measured the same way in every world."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Darkness:
    """When each service had no instance to route to. Times nominal, s."""

    services: set[str]
    _since: dict[str, float] = field(default_factory=dict)
    _past: list[tuple[str, float, float]] = field(default_factory=list)

    def seen(self, routable: set[str], now: float) -> None:
        """From now on these services, and no others, have an instance that takes requests."""
        for m in self.services:
            if m in routable and m in self._since:
                self._past.append((m, self._since.pop(m), now))
            elif m not in routable:
                self._since.setdefault(m, now)

    def within(self, service: str, start: float, end: float) -> float:
        """Seconds of [start, end] in which the service was dark."""
        spans = [(a, b) for m, a, b in self._past if m == service]
        if service in self._since:
            spans.append((self._since[service], end))
        return sum((max(min(b, end) - max(a, start), 0.0) for a, b in spans), 0.0)
