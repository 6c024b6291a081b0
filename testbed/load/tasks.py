"""Tasks, drawn before they are sent: every random thing about a task comes from Philox streams keyed by name.

Arrivals of an ingress are a unit-rate Poisson process read through the cumulative intensity Λ_o(t) (time
change): the k-th arrival is where Λ_o reaches E_1 + … + E_k. A load spike changes the intensity and nothing
else, so two policies, two worlds and two spikes of one seed still share every draw they can share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.model import Law, Model, TaskType
from testbed.load.shapes import Intensity
from testbed.load.trace import TraceWindow
from testbed.record.tables import Names
from testbed.scenario.streams import stream
from testbed.world.base import TaskBatch


def factor(law: Law, rng: np.random.Generator) -> float:
    """Multiplier of the work, from a law of mean 1 (controller.model.Law). A gamma *rate* divides the work."""
    if law.kind == "uniform":
        return 1.0 + law.spread * (2.0 * rng.random() - 1.0)
    if law.kind == "exponential":
        return float(rng.exponential())
    if law.kind == "lognormal":
        sigma2 = math.log1p(law.cv**2)
        return float(rng.lognormal(-sigma2 / 2, math.sqrt(sigma2)))
    if law.kind == "gamma":
        return 1.0 / max(float(rng.gamma(law.shape, 1.0 / law.shape)), law.floor)
    return 1.0


@dataclass
class _Ingress:
    """Where one ingress's arrival process stands."""

    name: str
    intensity: Intensity
    gaps: np.random.Generator
    target: float = 0.0  # cumulative intensity of the next arrival
    count: int = 0

    def __post_init__(self) -> None:
        self.target = float(self.gaps.exponential())


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
    _ingresses: list[_Ingress] = field(default_factory=list)
    _drawn_to: float = 0.0
    _next: int = 1
    _log: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._names = Names.of(self.model)
        self._ingresses = [
            _Ingress(name, self.intensities[name], stream(self.seed, "arrivals", name)) for name in self.intensities
        ]

    def set_factor(self, ingress: str, value: float, at: float) -> None:
        """From `at` on the intensity of `ingress` is multiplied by value (a load fault; 1 ends it)."""
        self.intensities[ingress].set_factor(value, max(at, self._drawn_to))

    def count(self, ingress: str, start: float, end: float) -> int:
        """Tasks drawn for `ingress` with an intended send in [start, end)."""
        return sum(1 for at, name in self._log if name == ingress and start <= at < end)

    def expected(self, ingress: str, start: float, end: float) -> float:
        """∫ λ over [start, end), cut at what has been drawn; the trace's own count where arrivals are a trace."""
        end = min(end, self._drawn_to)
        if ingress not in self.intensities:
            return float(self.count(ingress, start, end))
        return self.intensities[ingress].integral(end) - self.intensities[ingress].integral(start)

    def until(self, time: float) -> TaskBatch:
        """Tasks intended in [what was asked for before, time), by time. Empty when nothing is left."""
        time = min(time, self.horizon)
        found: list[tuple[float, str, int]] = []
        if time > self._drawn_to:
            for o in self._ingresses:
                while (at := o.intensity.inverse(o.target)) < time:
                    found.append((at, o.name, o.count))
                    o.count += 1
                    o.target += float(o.gaps.exponential())
            if self.trace is not None:
                found += self.trace.between(self._drawn_to, time)
            self._drawn_to = time
            self._log += [(at, ingress) for at, ingress, _ in found]
        return self._draw(sorted(found))

    def _draw(self, found: Sequence[tuple[float, str, int]]) -> TaskBatch:
        n, first = len(found), self._next
        self._next += n
        batch = TaskBatch(
            np.arange(first, first + n, dtype=np.int64), np.empty(n, np.int16), np.empty(n, np.int16),
            np.empty(n), np.empty(n), np.empty(n), np.ones(n), np.zeros((n, self._names.stage_of.shape[1])),
        )  # fmt: skip
        for i, (at, ingress, k) in enumerate(found):
            self._draw_one(batch, i, at, ingress, k)
        return batch

    def _draw_one(self, batch: TaskBatch, i: int, at: float, ingress: str, k: int) -> None:
        rng = stream(self.seed, "task", ingress, k)
        kind = self._kind(float(rng.random()))
        size = work_in = work_out = 1.0
        if self.trace is not None:
            size, work_in, work_out = self.trace.scales(k)
        batch.ingress[i], batch.type[i] = self._names.ingresses.index(ingress), self._names.types.index(kind.name)
        batch.at[i], batch.deadline[i], batch.size[i] = at, kind.deadline, size
        batch.access[i] = self._access(kind, size, stream(self.seed, "access", ingress, k))
        for column, stage in enumerate(kind.stages):
            m = self.model.service(stage.service)
            draw = factor(m.law, stream(self.seed, "work", ingress, k, stage.name))
            is_core = any(c.name == m.name for c in self.model.core)
            batch.work[i, column] = m.work * draw * (work_out if is_core else work_in)

    def _kind(self, u: float) -> TaskType:
        total = sum(n.share for n in self.model.tasks)
        for n in self.model.tasks:
            u -= n.share / total
            if u < 0:
                return n
        return self.model.tasks[-1]

    def _access(self, kind: TaskType, size: float, rng: np.random.Generator) -> float:
        """Transmission of the task's input over its private channel, power gain Gamma(m, 1/m), s."""
        gain = float(rng.gamma(self.model.access.m, 1.0 / self.model.access.m)) if self.model.access.m > 0 else 1.0
        rate = self.model.access.rate * max(gain, 0.02)  # a deeper fade would be an outage, not a slow task
        total = sum(i.bytes for s in kind.stages for i in s.inputs if i.source == "ingress")
        return 8.0 * total * size / rate
