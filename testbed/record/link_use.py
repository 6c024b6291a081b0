"""How busy each link was through a run, from byte counters read at the observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

MOST = 240  # readings shown; a longer run is read at fewer, so that its records stay small
SLACK = 0.5  # s by which a reading may lie outside the measured window

T = TypeVar("T")  # what a reading holds


class Readings(Generic[T]):
    """Counters read at every observation of a run however long: at most 2 · MOST of them stay, evenly thinned.

    window: [start, end], s, of which the first and the last reading are kept whatever is thinned.
    """

    def __init__(self, window: tuple[float, float]) -> None:
        self._start, self._end = window[0] - SLACK, window[1] + SLACK
        self._every, self._count = 1, 0
        self._edges: list[tuple[float, T]] = []  # of the window: its first reading and its last
        self._ends: list[tuple[float, T]] = []  # of all
        self.kept: list[tuple[float, T]] = []

    def add(self, at: float, read: T) -> None:
        """Ascending in time."""
        if self._count % self._every == 0:
            self.kept.append((at, read))
            if len(self.kept) > 2 * MOST:
                self.kept, self._every = self.kept[::2], 2 * self._every
        self._count += 1
        self._ends[1:] = [(at, read)]
        if self._start <= at <= self._end:
            self._edges[1:] = [(at, read)]

    def window(self) -> tuple[tuple[float, T], tuple[float, T]] | None:
        """(first, last) of the measured window; of the whole run where none lies in it; None where none was read."""
        edges = self._edges or self._ends
        return (edges[0], edges[-1]) if edges else None


def link_use(times: Sequence[float], carried: ArrayLike, names: Sequence[str], rates: ArrayLike) -> dict[str, Any]:
    """{"at_s": [t_1, …, t_k], "share": {link: [u_1, …, u_k]}}: u_i is the share of the rate used in (t_{i-1}, t_i].

    times: when the counters were read, ascending, s, the first being the origin. carried [len(times), links]: bytes.
    rates [links]: bit/s, of the same scale as the bytes over the times. At most MOST readings are used.
    """
    t, sent = np.asarray(times, float), np.asarray(carried, float)
    keep = np.flatnonzero(np.diff(t, prepend=-np.inf) > 1e-9)
    keep = keep[:: max(-(-len(keep) // MOST), 1)]
    if len(keep) < 2:
        return {"at_s": [], "share": {}}
    seconds = np.diff(t[keep])[:, None]
    use = np.round(np.diff(sent[keep], axis=0) * 8.0 / seconds / np.asarray(rates, float), 4)
    return {"at_s": t[keep][1:].tolist(), "share": {n: use[:, k].tolist() for k, n in enumerate(names)}}
