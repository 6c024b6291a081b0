"""Rows in order, in place: nothing is allocated. Rare and short lists, so a shell sort will do."""

from __future__ import annotations

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.state import State


@jit
def by_number(s: State, n: int) -> None:
    """Transfers order[:n] by their numbers."""
    gap = n // 2
    while gap > 0:
        for k in range(gap, n):
            row = s.order[k]
            j = k
            while j >= gap and s.x[s.order[j - gap]].number > s.x[row].number:
                s.order[j] = s.order[j - gap]
                j -= gap
            s.order[j] = row
        gap //= 2


@jit
def by_serial(s: State, n: int) -> None:
    """Visits order[:n] by their serials."""
    gap = n // 2
    while gap > 0:
        for k in range(gap, n):
            row = s.order[k]
            j = k
            while j >= gap and s.v[s.order[j - gap]].serial > s.v[row].serial:
                s.order[j] = s.order[j - gap]
                j -= gap
            s.order[j] = row
        gap //= 2


@jit
def by_task(s: State, n: int) -> None:
    """held[:n] by task, then attempt."""
    gap = n // 2
    while gap > 0:
        for k in range(gap, n):
            task, attempt = s.held[k, 0], s.held[k, 1]
            j = k
            while j >= gap and (
                s.held[j - gap, 0] > task or (s.held[j - gap, 0] == task and s.held[j - gap, 1] > attempt)
            ):
                s.held[j, 0] = s.held[j - gap, 0]
                s.held[j, 1] = s.held[j - gap, 1]
                j -= gap
            s.held[j, 0] = task
            s.held[j, 1] = attempt
        gap //= 2
