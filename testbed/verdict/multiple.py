"""Several claims at once: Holm's step-down procedure, which keeps the chance of *any* false one at the level.

Holm, S. (1979): A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float], alpha: Sequence[float]) -> list[tuple[bool, float]]:
    """Per hypothesis (rejected, level it was held against). alpha: each one's own level, usually all the same.

    Ordered by p/alpha, the k-th of m (from 0) is rejected when p ≤ alpha / (m − k) and all before it were.
    """
    m = len(p)
    order = sorted(range(m), key=lambda i: (p[i] / alpha[i], i))
    out = [(False, 0.0)] * m
    standing = True
    for k, i in enumerate(order):
        level = alpha[i] / (m - k)
        standing = standing and p[i] <= level
        out[i] = standing, level
    return out
