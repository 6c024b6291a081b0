"""The bounded queue of a stub: earliest deadline first, or first in first out."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, Protocol, TypeVar


class Dated(Protocol):
    deadline: float


Item = TypeVar("Item", bound=Dated)


class Pending(Generic[Item]):
    """discipline: "edf" | "fifo"; limit: requests that may wait (those in service are not counted)."""

    def __init__(self, discipline: str, limit: int) -> None:
        if discipline not in ("edf", "fifo"):
            raise ValueError(f"queue {discipline!r} is not one of 'edf', 'fifo'")
        self._edf = discipline == "edf"
        self._limit = limit
        self._heap: list[tuple[float, int, Item]] = []
        self._line: deque[Item] = deque()
        self._count = 0  # equal deadlines leave in the order they came

    def __len__(self) -> int:
        return len(self._heap) + len(self._line)

    def push(self, item: Item) -> bool:
        """Take `item`; False when the queue is full (nothing was taken)."""
        if len(self) >= self._limit:
            return False
        if self._edf:
            self._count += 1
            heapq.heappush(self._heap, (item.deadline, self._count, item))
        else:
            self._line.append(item)
        return True

    def pop(self) -> Item | None:
        """The next request to serve, or None."""
        if self._edf:
            return heapq.heappop(self._heap)[2] if self._heap else None
        return self._line.popleft() if self._line else None

    def clear(self) -> list[Item]:
        """Remove and return everything, in the order of service."""
        out = []
        while (item := self.pop()) is not None:
            out.append(item)
        return out
