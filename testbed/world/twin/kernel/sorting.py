"""Rows in order, in place: nothing is allocated. Rare or short lists, so a shell sort will do."""

from __future__ import annotations

import numpy as np

from testbed.world.twin.kernel.build import jit


@jit
def sort(rows: np.ndarray, n: int) -> None:
    """rows[:n] (state.SORTED) by key, equal keys by row."""
    gap = n // 2
    while gap > 0:
        for k in range(gap, n):
            key, row = rows[k].key, rows[k].row
            j = k
            while j >= gap and (rows[j - gap].key > key or (rows[j - gap].key == key and rows[j - gap].row > row)):
                rows[j] = rows[j - gap]
                j -= gap
            rows[j].key = key
            rows[j].row = row
        gap //= 2
