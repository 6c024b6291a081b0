"""The innermost loops of light control: what NumPy would do in dozens of steps over a few dozen numbers each.

Plain Python, compiled by Numba where it is installed: the same operations in the same order, so the same bits. Compiled
code is kept beside this file (or in the user's cache) and is per file: nothing here may call another file. Arrays hold
numbers of nodes, clusters (their places in `Index.domains`) and columns (candidate nodes of one service), from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from controller.light.law import Array, Flags, Whole

P = ParamSpec("P")
R = TypeVar("R")
FLOATS, TABLE, WHOLES, TRUTHS = "float64[:]", "float64[:, :]", "int64[:]", "boolean[:]"


class _Compiled(Generic[P, R]):
    """A function that is compiled when `ready` is called, and plain Python until then, with the same bits.

    So a command that only plans neither waits for Numba nor writes what it compiles. For one signature: another would
    be compiled in the middle of a run.
    """

    def __init__(self, function: Callable[P, R], result: str, arguments: tuple[str, ...]) -> None:
        self._function, self._signature = function, f"{result}({', '.join(arguments)})"
        self._run: Callable[P, R] = function
        self._compiled = False
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(*args, **kwargs)

    def ready(self) -> None:
        """Compiles, once."""
        if not self._compiled:
            self._run, self._compiled = _made(self._function, self._signature), True


def _made(function: Callable[P, R], signature: str) -> Callable[P, R]:
    try:
        from numba import njit
    except ImportError:  # not installed, or not for this NumPy: as it is, slower
        return function
    compile_: Any = njit
    try:
        made: Callable[P, R] = compile_(signature, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        made = compile_(signature, error_model="numpy")(function)
    return made


def _compiled(result: str, *arguments: str) -> Callable[[Callable[P, R]], _Compiled[P, R]]:
    return lambda function: _Compiled(function, result, arguments)


@_compiled("void", TRUTHS, TRUTHS, WHOLES, FLOATS, WHOLES, "int64", "int64")
def fastest(chosen: Flags, able: Flags, domain: Whole, seconds: Array, rank: Whole, clusters: int, most: int) -> None:
    """Marks, of the nodes able to take one, the `most` of least `seconds` in each cluster; ties to the lower rank."""
    best = np.full((clusters, most), -1)
    for v in range(len(able)):
        if not able[v]:
            continue
        row = best[domain[v]]
        new = v
        for k in range(most):
            old = row[k]
            if old < 0 or seconds[new] < seconds[old] or (seconds[new] == seconds[old] and rank[new] < rank[old]):
                row[k] = new
                if old < 0:
                    break
                new = old
    for g in range(clusters):
        for k in range(most):
            if best[g, k] >= 0:
                chosen[best[g, k]] = True


@_compiled("void", FLOATS, TABLE, TABLE, WHOLES, WHOLES, "float64", "float64", "float64")
def add_nearest(
    seconds: Array, delay: Array, per_byte: Array, nodes: Whole, ends: Whole, size: float, share: float, most: float
) -> None:
    """Adds `share` of eq. (1) for `size` bytes from each node to the nearest of `ends`, at most `most` (s)."""
    for k in range(len(nodes)):
        v = nodes[k]
        least = most
        for e in ends:
            least = min(least, delay[v, e] + size * per_byte[v, e])
        seconds[k] += share * least


@_compiled(
    TABLE, TABLE, TABLE, WHOLES, WHOLES, "float64", FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS,
    "float64", "float64", "float64",
)  # fmt: skip
def request_costs(
    delay: Array, per_byte: Array, sources: Whole, nodes: Whole, size: float, served: Array, onward: Array,
    into: Array, wide_in: Array, out: Array, wide_out: Array, sent: float, rate: float, most: float,
) -> Array:  # fmt: skip
    """c_gv of eq. (26), s, sources × nodes: way in (at most `most`), `served`, `onward`, the wait for the node's link.

    That wait is as M/M/1 would have it, in and out, with `rate` more requests of `size` and `sent` bytes per s. into,
    out: bytes per s there already; wide_in, wide_out: that fit. These four are by node, served and onward by column.
    """
    found = np.empty((len(sources), len(nodes)))
    for j in range(len(nodes)):
        v = nodes[j]
        busy = min(0.95, (into[v] + rate * size) / wide_in[v])
        wait = size / wide_in[v] * busy / (1.0 - busy)
        busy = min(0.95, (out[v] + rate * sent) / wide_out[v])
        wait += sent / wide_out[v] * busy / (1.0 - busy)
        for i in range(len(sources)):
            way = delay[sources[i], v] + size * per_byte[sources[i], v]
            found[i, j] = min(most, way) + served[j] + onward[j] + wait
    return found


@_compiled(
    "Tuple((int64, int64, float64, float64))", TABLE, FLOATS, WHOLES, TRUTHS, WHOLES, WHOLES, WHOLES, WHOLES, FLOATS,
    FLOATS, "boolean", "float64", "float64", "int64", "int64",
)  # fmt: skip
def best_change(
    costs: Array, demand: Array, mine: Whole, movable: Flags, opened: Whole, room: Whole, domain: Whole, rank: Whole,
    keep: Array, deploy: Array, running: bool, delay: float, horizon: float, workers: int, clusters: int,
) -> tuple[int, int, float, float]:  # fmt: skip
    """(column opened, column closed, gain, request-seconds per s saved) of the change that gains most; −1 for none.

    mine: columns with an instance, of which `movable` may be closed; opened: columns that may be opened; running:
    whether anything runs yet; clusters: that must stay covered. Of equal gains the last names win, nothing being the
    first name.
    """
    n, most = len(mine), max(1, workers)
    least, second = np.full(len(demand), np.inf), np.full(len(demand), np.inf)
    nearest = np.zeros(len(demand), np.int64)
    for g in range(len(demand)):
        for k in range(n):
            c = costs[g, mine[k]]
            if c < least[g]:
                second[g], least[g], nearest[g] = least[g], c, k
            elif c < second[g]:
                second[g] = c
    waits = 0.0
    for g in range(len(demand)):
        waits += demand[g] * least[g]
    count = np.zeros(domain.max() + 1, np.int64)
    places, covered = 0, 0
    for v in mine:
        places += room[v]
        covered += count[domain[v]] == 0
        count[domain[v]] += 1
    top, best_open, best_close, saved = -np.inf, -1, -1, 0.0
    for i in range(-1, n):
        if i >= 0 and not movable[i]:
            continue
        closed = mine[i] if i >= 0 else -1
        for j in range(-1, len(opened)):
            new = opened[j] if j >= 0 else -1
            # Room for all workers, at most one instance per worker, clusters covered.
            after_n = n + (new >= 0) - (closed >= 0)
            if (new < 0 and closed < 0) or after_n > most or after_n < 1:
                continue
            spread, places_after = covered, places
            if closed >= 0:
                places_after -= room[closed]
                spread -= count[domain[closed]] == 1
            if new >= 0:
                places_after += room[new]
                alone = closed >= 0 and count[domain[closed]] == 1 and domain[closed] == domain[new]
                spread += count[domain[new]] == 0 or alone
            if places_after < workers or spread < clusters:
                continue
            after = 0.0
            for g in range(len(demand)):
                c = second[g] if i >= 0 and nearest[g] == i else least[g]
                if new >= 0:
                    c = min(c, costs[g, new])
                after += demand[g] * c
            more = (keep[new] if new >= 0 else 0.0) - (keep[closed] if closed >= 0 else 0.0)
            price = deploy[closed] if new < 0 else deploy[new] if closed < 0 or running else 0.0
            gain = (delay * (waits - after) - more) * horizon - price
            better = gain > top
            if gain == top:
                first, other = (rank[new] if new >= 0 else -1), (rank[best_open] if best_open >= 0 else -1)
                if first == other:
                    first, other = (rank[closed] if closed >= 0 else -1), (rank[best_close] if best_close >= 0 else -1)
                better = first > other
            if better:
                top, best_open, best_close, saved = gain, new, closed, waits - after
    return best_open, best_close, top, saved


def ready() -> None:
    """All of them compiled: before a run begins, so that no slot of it waits for that."""
    for loop in (fastest, add_nearest, request_costs, best_change):
        loop.ready()
