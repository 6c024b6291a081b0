"""Half-filled joins: a stage with several inputs waits here until each predecessor came once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Key = tuple[int, int, str]  # task, attempt, stage


@dataclass(slots=True)
class Half:
    header: dict[str, Any]  # of the first part; the parts differ in sender only
    arrived: float
    missing: set[str] = field(default_factory=set)


class Joins:
    """Keyed by attempt, so a part of an earlier attempt never completes a later one."""

    def __init__(self) -> None:
        self._half: dict[Key, Half] = {}

    def __len__(self) -> int:
        return len(self._half)

    def add(self, key: Key, header: dict[str, Any], sources: frozenset[str], now: float) -> tuple[bool, bool]:
        """Count a part in: (it is the first one, the join is complete). A second copy of a part changes nothing."""
        half = self._half.get(key)
        first = half is None
        if half is None:
            half = self._half[key] = Half(header, now, set(sources))
        half.missing.discard(header["from"])
        if not half.missing:
            del self._half[key]
            return first, True
        return first, False

    def overdue(self, now: float, grace: float) -> list[tuple[Key, Half]]:
        """Remove and return what can't be filled in time any more (deadline + grace has passed)."""
        out = [(k, h) for k, h in self._half.items() if h.header["deadline"] + grace < now]
        for key, _ in out:
            del self._half[key]
        return out

    def older(self, task: int, attempt: int, stage: str) -> list[tuple[Key, Half]]:
        """Remove and return the same join's earlier attempts: the gateway has given them up."""
        out = [(k, h) for k, h in self._half.items() if k[0] == task and k[2] == stage and k[1] < attempt]
        for key, _ in out:
            del self._half[key]
        return out

    def clear(self) -> list[tuple[Key, Half]]:
        out = list(self._half.items())
        self._half.clear()
        return out
