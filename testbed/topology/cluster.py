"""Clusters of sites: k-medoids on delay (partitioning around medoids, Kaufman and Rousseeuw 1987).

Find k medoids M that minimise Σ_i min_{m∈M} d(i, m). BUILD picks them greedily, SWAP exchanges one medoid for
one other point as long as the best exchange lowers the sum. No dice: ties go to the earlier point.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def count_for(n: int) -> int:
    """How many clusters n sites get: 3 up to 30 sites, then n/10 (design.md §3)."""
    return min(n, 3 if n <= 30 else round(n / 10))


def shortest_delays(n: int, edges: Iterable[tuple[int, int, float]]) -> Matrix:
    """All-pairs shortest delay, s, over undirected edges (Floyd and Warshall); infinity where cut off."""
    d = np.full((n, n), np.inf)
    np.fill_diagonal(d, 0.0)
    for i, j, delay in edges:
        d[i, j] = d[j, i] = min(d[i, j], delay)
    for k in range(n):
        np.minimum(d, d[:, k, None] + d[None, k, :], out=d)
    return d


def medoids(d: Matrix, k: int) -> tuple[list[int], list[int]]:
    """(medoids ascending, index of the own medoid in that list per point). d: symmetric, finite."""
    chosen = _build(d, k)
    while True:
        best = _best_swap(d, chosen)
        if best is None:
            break
        chosen[best[0]] = best[1]
    chosen.sort()
    owner = np.argmin(d[:, chosen], axis=1)
    owner[chosen] = np.arange(len(chosen))  # two medoids at distance 0 keep themselves
    return chosen, [int(c) for c in owner]


def _build(d: Matrix, k: int) -> list[int]:
    chosen = [int(np.argmin(d.sum(axis=0)))]
    nearest = d[:, chosen[0]].copy()
    while len(chosen) < k:
        gain = np.maximum(nearest[:, None] - d, 0.0).sum(axis=0)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        nearest = np.minimum(nearest, d[:, chosen[-1]])
    return chosen


def _best_swap(d: Matrix, chosen: list[int]) -> tuple[int, int] | None:
    """(index into chosen, new point) that lowers the sum most, or None where none does.

    For candidate c: points nearer to c than to their medoid gain whoever leaves; a point whose own medoid
    leaves falls to its second nearest or to c (Schubert and Rousseeuw 2019, FastPAM1).
    """
    to = d[:, chosen]
    order = np.argsort(to, axis=1, kind="stable")
    rows = np.arange(len(d))
    own = order[:, 0]
    first = to[rows, own]
    second = to[rows, order[:, 1]] if len(chosen) > 1 else np.full(len(d), np.inf)
    best: tuple[float, int, int] = (-1e-12, -1, -1)
    for c in range(len(d)):
        if c in chosen:
            continue
        shared = np.minimum(d[:, c] - first, 0.0)
        leaving = np.minimum(d[:, c], second) - first - shared
        change = shared.sum() + np.bincount(own, weights=leaving, minlength=len(chosen))
        out = int(np.argmin(change))
        if change[out] < best[0]:
            best = (float(change[out]), out, c)
    return None if best[1] < 0 else (best[1], best[2])
