"""What will happen, in order of time; of things due at one time, the one planned first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """now: s, the time of what happened last."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, time: float, action: Callable[..., None], *args: Any) -> None:
        """Do action(*args) at `time`, which is not past."""
        heapq.heappush(self._heap, (time, self._planned, action, args))
        self._planned += 1

    def next(self, until: float) -> bool:
        """Let the next thing happen if it is due by `until`."""
        if not self._heap or self._heap[0][0] > until:
            return False
        self.now, _, action, args = heapq.heappop(self._heap)
        action(*args)
        return True
