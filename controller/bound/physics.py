"""The least time a task can take, whoever routes it (docs/mathematics.md §4).

Every choice is made with the task's own draws known, nothing ever waits, and a transfer has the shortest delay and the
widest path at once. All of it can only shorten the time, so the share that meets the deadline is an upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.bound.values import Array, Crowd, Network
from controller.model import INGRESS, Model, TaskType

#: Rounding of sums of a dozen floats; a task this much late is on time.
ROUNDING = 1e-9


@dataclass
class Reach:
    """Least delay (s) and least time per byte (s) between any two ports of a network, over all paths."""

    network: Network
    _site: dict[str, int] = field(default_factory=dict)
    _delay: Array = field(default_factory=lambda: np.zeros((0, 0)))
    _rate: Array = field(default_factory=lambda: np.zeros((0, 0)))
    _kept: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Array, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Floyd–Warshall over the sites, twice: (min, +) on delays and (max, min) on peak rates."""
        sites = dict.fromkeys(p.site for p in self.network.ports.values())
        sites |= dict.fromkeys(s for t in self.network.trunks for s in (t.source, t.target))
        self._site = {s: i for i, s in enumerate(sites)}
        self._delay = np.full((len(sites), len(sites)), np.inf)
        self._rate = np.zeros((len(sites), len(sites)))
        np.fill_diagonal(self._delay, 0.0)
        np.fill_diagonal(self._rate, np.inf)
        for t in self.network.trunks:
            at = self._site[t.source], self._site[t.target]
            self._delay[at] = min(self._delay[at], t.pipe.delay)
            self._rate[at] = max(self._rate[at], t.pipe.peak)
        for k in range(len(sites)):
            self._delay = np.minimum(self._delay, self._delay[:, k, None] + self._delay[None, k])
            self._rate = np.maximum(self._rate, np.minimum(self._rate[:, k, None], self._rate[None, k]))

    def between(self, sources: Sequence[str], targets: Sequence[str]) -> tuple[Array, Array]:
        """(delay, time per byte), each of shape (sources, targets); 0 from a port to itself, ∞ without a path."""
        key = tuple(sources), tuple(targets)
        if key not in self._kept:
            out, into = [self.network.ports[a] for a in sources], [self.network.ports[b] for b in targets]
            at = np.ix_([self._site[p.site] for p in out], [self._site[p.site] for p in into])
            delay = self._delay[at] + _column(p.out.delay for p in out) + _column(p.into.delay for p in into).T
            rate = np.minimum(_column(p.out.peak for p in out), _column(p.into.peak for p in into).T)
            rate = np.maximum(np.minimum(rate, self._rate[at]), 1e-9)
            elsewhere = np.array([[a != b for b in targets] for a in sources])
            self._kept[key] = np.where(elsewhere, delay, 0.0), np.where(elsewhere, 8.0 / rate, 0.0)
        return self._kept[key]


def _column(values: object) -> Array:
    return np.fromiter(values, dtype=float)[:, None]  # type: ignore[call-overload, no-any-return]


def least_times(model: Model, reach: Reach, hosts: Mapping[str, Sequence[str]], crowd: Crowd) -> Array:
    """T0 of every task of the crowd, s, shape (N,). Eq. (29). hosts: service → nodes it may be served on.

    Per stage and node: its earliest end, if the stage is there and all before it went their best ways. Where two
    branches part after a common stage, each may take another node for that stage: shorter still, so still a bound.
    """
    task = _type(model, crowd.type)
    speed = {v.name: v.speed for v in model.nodes}
    ends: dict[str, tuple[tuple[str, ...], Array]] = {INGRESS: ((crowd.ingress,), crowd.access[None, :])}
    for k, stage in enumerate(task.stages):
        nodes = tuple(hosts[stage.service])
        if not nodes:
            return np.full(crowd.access.shape, np.inf)
        begun = np.maximum.reduce([_arrive(reach, ends[i.source], nodes, i.bytes, crowd.size) for i in stage.inputs])
        ends[stage.name] = nodes, begun + crowd.work[k] / np.array([speed[v] for v in nodes])[:, None]
    home = (crowd.ingress,)
    back = [_arrive(reach, ends[s], home, task.output, crowd.size)[0] for s in task.sinks()]
    least: Array = np.maximum.reduce(back)
    return least


def _type(model: Model, name: str) -> TaskType:
    return next(n for n in model.tasks if n.name == name)


def _arrive(
    reach: Reach, sent: tuple[tuple[str, ...], Array], targets: tuple[str, ...], size: float, factor: Array | None
) -> Array:
    """Earliest arrival at each target, shape (targets, N), of `size` bytes that are ready at each source at `sent`."""
    sources, ready = sent
    delay, per_byte = reach.between(sources, targets)
    arrived = np.empty((len(targets), ready.shape[1]))
    for j in range(len(targets)):
        if factor is None:
            arrived[j] = (ready + (delay[:, j] + size * per_byte[:, j])[:, None]).min(axis=0)
        else:
            arrived[j] = (ready + delay[:, j, None] + size * per_byte[:, j, None] * factor).min(axis=0)
    return arrived
