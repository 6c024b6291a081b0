"""A mixed integer program as arrays: what every back end is given, whatever it is built on.

min cᵀx    with  row_lower ≤ A x ≤ row_upper,  lower ≤ x ≤ upper,  x_j whole where integer_j
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Matrix:
    """cost, lower, upper, integer (columns,); row_lower, row_upper (rows,).

    A by rows: start (rows + 1,), index and value (non-zeros,).
    """

    cost: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]
    row_lower: Floats
    row_upper: Floats
    start: Ints
    index: Ints
    value: Floats

    @property
    def columns(self) -> int:
        return len(self.cost)

    @property
    def rows(self) -> int:
        return len(self.row_lower)

    def row_of(self) -> Ints:
        """Row of every non-zero."""
        return np.repeat(np.arange(self.rows), np.diff(self.start))

    def times(self, x: Floats) -> Floats:
        """A x (rows,)."""
        return np.bincount(self.row_of(), self.value * x[self.index], self.rows).astype(float)


@dataclass
class Rows:
    """Rows under construction: blocks of triplets (row, column, value), rows numbered as they come.

    blocks: name → rows of the block, for those who read duals.
    """

    count: int = 0
    blocks: dict[str, slice] = field(default_factory=dict)
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    triplets: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)

    def add(
        self, name: str, lower: ArrayLike, upper: ArrayLike, n: int, terms: Sequence[tuple[Ints, Ints, ArrayLike]]
    ) -> None:
        """n rows at once. terms: (row within the block, column, coefficient), each of one length or a scalar."""
        self.blocks[name] = slice(self.count, self.count + n)
        self.lower.append(np.broadcast_to(np.asarray(lower, float), (n,)))
        self.upper.append(np.broadcast_to(np.asarray(upper, float), (n,)))
        for row, column, value in terms:
            filled = np.broadcast_to(np.asarray(value, float), row.shape)
            self.triplets.append((row + self.count, column, filled))
        self.count += n

    def matrix(self, cost: Floats, lower: Floats, upper: Floats, integer: NDArray[np.bool_]) -> Matrix:
        """All blocks as one matrix, columns ascending within a row."""
        row, column, value = (np.concatenate([t[i] for t in self.triplets]) for i in range(3))
        order = np.lexsort((column, row))
        start = np.zeros(self.count + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=self.count), out=start[1:])
        bounds = np.concatenate(self.lower), np.concatenate(self.upper)
        return Matrix(cost, lower, upper, integer, *bounds, start, column[order], value[order])
