"""Tasks, drawn before they are sent: every random thing about a task comes from Philox streams keyed by name.

Arrivals of an ingress are a unit-rate Poisson process read through the cumulative intensity Λ_o(t) (time
change): the k-th arrival is where Λ_o reaches E_1 + … + E_k. A load spike changes the intensity and nothing
else, so two policies, two worlds and two spikes of one seed still share every draw they can share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from controller.model import Model
from testbed.load.draws import BLOCK, Block, Drawer
from testbed.load.laws import exponential
from testbed.load.shapes import Intensity
from testbed.load.trace import TraceWindow
from testbed.record.tables import Array, Names
from testbed.scenario.streams import uniforms
from testbed.world.base import TaskBatch


class _Arrivals:
    """One ingress's arrivals: unit-rate targets by blocks, read through its intensity, handed out in order."""

    def __init__(self, name: str, intensity: Intensity, seed: int) -> None:
        self.name, self.intensity, self.seed = name, intensity, seed
        self._blocks, self._total = 0, 0.0
        self._targets, self._times = np.empty(0), np.empty(0)  # of arrivals not yet handed out

    def set_factor(self, value: float, at: float, since: float) -> None:
        """Times that were not handed out move; what was asked for, up to `since`, is history."""
        self.intensity.set_factor(value, at)
        self._times = np.maximum(self.intensity.inverse(self._targets), since)

    def before(self, time: float) -> Array:
        """Times of the arrivals before `time` that were not handed out yet, s."""
        while not len(self._times) or self._times[-1] < time:
            self._extend()
        n = int(np.searchsorted(self._times, time, side="left"))
        out, self._targets, self._times = self._times[:n], self._targets[n:], self._times[n:]
        return out

    def _extend(self) -> None:
        """The next BLOCK targets: sums of Exp(1), four to a counter."""
        u = uniforms(self._blocks * BLOCK // 4, BLOCK // 4, self.seed, "arrivals", self.name).ravel()
        targets = np.cumsum(np.concatenate([[self._total], exponential(u)]))[1:]
        self._blocks, self._total = self._blocks + 1, float(targets[-1])
        self._targets = np.concatenate([self._targets, targets])
        self._times = np.concatenate([self._times, self.intensity.inverse(targets)])


@dataclass
class _Shelf:
    """Tasks of one ingress in order: which comes next, and the block it lies in."""

    name: str
    code: int
    drawer: Drawer
    block: Block | None = None
    next: int = 0

    def take(self, n: int) -> list[tuple[Block, slice]]:
        """The next n tasks, by pieces of blocks."""
        out = []
        while n:
            index, inside = divmod(self.next, BLOCK)
            if self.block is None or self.block.first != index * BLOCK:
                self.block = self.drawer.block(self.name, index)
            some = min(n, BLOCK - inside)
            out.append((self.block, slice(inside, inside + some)))
            self.next, n = self.next + some, n - some
        return out


class _Log:
    """Times handed out at one ingress, ascending, s: a piece for each time it was asked for some."""

    def __init__(self) -> None:
        self._pieces: deque[Array] = deque()

    def add(self, times: Array) -> None:
        if len(times):
            self._pieces.append(times)

    def forget(self, before: float) -> None:
        while self._pieces and self._pieces[0][-1] < before:
            self._pieces.popleft()

    def count(self, start: float, end: float) -> int:
        """How many lie in [start, end)."""
        return sum(int(np.count_nonzero((start <= at) & (at < end))) for at in self._pieces)

    def __len__(self) -> int:
        return sum(map(len, self._pieces))


@dataclass
class TaskSource:
    """All tasks of a run, asked for window by window, in time order.

    weights: the true share of each ingress. horizon: end of the offered load, s.
    """

    model: Model
    weights: Mapping[str, float]
    seed: int
    horizon: float
    intensities: Mapping[str, Intensity] = field(default_factory=dict)
    trace: TraceWindow | None = None
    _drawn_to: float = 0.0
    _next: int = 1

    def __post_init__(self) -> None:
        self._names = names = Names.of(self.model)
        drawer = Drawer(self.model, names, self.seed)
        self._shelves = [_Shelf(o, code, drawer) for code, o in enumerate(names.ingresses)]
        self._arrivals = {o: _Arrivals(o, shape, self.seed) for o, shape in self.intensities.items()}
        self._log = {o: _Log() for o in names.ingresses}
        core = {m.name for m in self.model.core}
        self._is_core = np.array([m.name in core for m in self.model.services()])[names.service_of]

    @property
    def names(self) -> tuple[str, ...]:
        """Every ingress."""
        return tuple(self._log)

    @property
    def drawn_to(self) -> float:
        """Tasks intended before this are drawn and handed out, s."""
        return self._drawn_to

    def set_factor(self, ingress: str, value: float, at: float) -> None:
        """From `at` on the intensity of `ingress` is multiplied by value (a load fault; 1 ends it)."""
        self._arrivals[ingress].set_factor(value, max(at, self._drawn_to), self._drawn_to)

    def count(self, ingress: str, start: float, end: float) -> int:
        """Tasks drawn for `ingress` with an intended send in [start, end); start not before what is forgotten."""
        if self.trace is not None:
            rows = self.trace.rows(start, min(end, self._drawn_to))
            return int(np.count_nonzero(self.trace.dealt[rows] == self.trace.names.index(ingress)))
        return self._log[ingress].count(start, end)

    def forget(self, before: float) -> None:
        """Nobody will ask for a count from before this: the times of a long run would fill its memory."""
        for log in self._log.values():
            log.forget(before)

    def expected(self, ingress: str, start: float, end: float) -> float:
        """∫ λ over [start, end), cut at what has been drawn; the trace's own count where arrivals are a trace."""
        end = min(end, self._drawn_to)
        if ingress not in self.intensities:
            return float(self.count(ingress, start, end))
        return self.intensities[ingress].integral(end) - self.intensities[ingress].integral(start)

    def until(self, time: float) -> TaskBatch:
        """Tasks intended in [what was asked for before, time), by time. Empty when nothing is left."""
        time = min(time, self.horizon)
        start, self._drawn_to = self._drawn_to, max(time, self._drawn_to)
        if time <= start:
            return self._batch([])
        if self.trace is None:
            return self._batch(
                [(s, self._arrivals[s.name].before(time)) for s in self._shelves if s.name in self._arrivals]
            )
        rows = self.trace.rows(start, time)
        mine = [(s, rows[self.trace.dealt[rows] == self.trace.names.index(s.name)]) for s in self._shelves]
        batch = self._batch([(s, self.trace.times[k]) for s, k in mine])
        k = np.concatenate([k for _, k in mine])
        k = k[np.argsort(self.trace.times[k], kind="stable")]
        size, light, core = self.trace.scales[k].T
        work = batch.work * np.where(self._is_core[batch.type], core[:, None], light[:, None])
        return replace(batch, size=size, access=batch.access * size, work=work)

    def _batch(self, parts: Sequence[tuple[_Shelf, Array]]) -> TaskBatch:
        """The next tasks of each shelf at the times given, by time; of two at one time the lower ingress's first."""
        pieces = [(s.code, block, part) for s, at in parts for block, part in s.take(len(at))]
        for s, at in parts:
            if self.trace is None:
                self._log[s.name].add(at)
        at = np.concatenate([np.empty(0), *(at for _, at in parts)])
        order = np.argsort(at, kind="stable")
        first, self._next = self._next, self._next + len(at)

        def column(name: str, empty: Array) -> Array:
            return np.concatenate([empty, *(getattr(block, name)[part] for _, block, part in pieces)])[order]

        nothing = np.empty(0, np.int16)
        ingress = np.concatenate([nothing, *(np.full(p.stop - p.start, code, np.int16) for code, _, p in pieces)])
        return TaskBatch(
            np.arange(first, self._next), ingress[order], column("type", nothing), at[order],
            column("deadline", np.empty(0)), column("access", np.empty(0)), np.ones(len(at)),
            column("work", np.empty((0, self._names.stage_of.shape[1]))),
        )  # fmt: skip
