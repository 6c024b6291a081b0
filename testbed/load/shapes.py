"""Arrival intensities: piecewise-linear functions of time with an exact cumulative and inverse."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from testbed.record.tables import Array
from testbed.scenario.model import Arrivals
from testbed.scenario.streams import stream


@dataclass
class Intensity:
    """λ(t), tasks/s: linear between breakpoints, constant after the last; times a stepwise factor.

    knots: (t, λ just after t, λ just before the next knot), t ascending from 0. factors: (t, factor), from 0.
    """

    knots: list[tuple[float, float, float]]
    factors: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 1.0)])

    _table: list[tuple[float, float, float, float, float]] = field(default_factory=list, repr=False)

    def set_factor(self, value: float, at: float) -> None:
        """Multiply by value from `at` on; what lies before is history and stays."""
        self.factors = [f for f in self.factors if f[0] < at] + [(at, value)]
        self._table = []

    def rate(self, t: float) -> float:
        """λ(t), from the right at a jump."""
        i = bisect_right(self.factors, t, key=_first) - 1
        return self._base(t, bisect_right(self.knots, t, key=_first) - 1) * self.factors[i][1]

    def _before(self, t: float) -> float:
        """The limit of λ from the left at t > 0."""
        i = bisect_left(self.factors, t, key=_first) - 1
        return self._base(t, bisect_left(self.knots, t, key=_first) - 1) * self.factors[i][1]

    def _base(self, t: float, i: int) -> float:
        start, a, b = self.knots[i]
        if i + 1 == len(self.knots):
            return a
        return a + (b - a) * (t - start) / (self.knots[i + 1][0] - start)

    def _pieces(self) -> list[tuple[float, float, float, float, float]]:
        """(start, end, λ at start, λ before end, ∫₀^start λ) with the factor applied; the last one never ends."""
        if not self._table:
            cuts = sorted({k[0] for k in self.knots} | {f[0] for f in self.factors})
            total = 0.0
            for start, end in zip(cuts, [*cuts[1:], float("inf")], strict=True):
                a = self.rate(start)
                b = a if end == float("inf") else self._before(end)
                self._table.append((start, end, a, b, total))
                total += (a + b) / 2 * (end - start) if end < float("inf") else 0.0
        return self._table

    def inverse(self, targets: ArrayLike) -> Array:
        """The t with ∫₀ᵗ λ = target, for each; infinity where λ stays at 0 before that."""
        start, end, a, b, total = np.array(self._pieces()).T
        left = np.asarray(targets, float)
        i = np.maximum(np.searchsorted(total, left, side="left") - 1, 0)
        left = left - total[i]
        slope = (b[i] - a[i]) / (end[i] - start[i])  # 0 in the last piece, which never ends
        # the root of slope/2 x² + a x = left, in the form that does not cancel; rounding may pass below zero
        speed = a[i] + np.sqrt(np.maximum(a[i] * a[i] + 2.0 * slope * left, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.minimum(start[i] + 2.0 * left / speed, end[i])
        return np.where(speed > 0.0, found, np.where(left <= 0.0, end[i], np.inf))

    def integral(self, t: float) -> float:
        """∫₀ᵗ λ, expected arrivals by t."""
        pieces = self._pieces()
        start, end, a, b, total = pieces[max(bisect_right(pieces, t, key=_first) - 1, 0)]
        at_t = a if end == float("inf") else a + (b - a) * (t - start) / (end - start)
        return total + (a + at_t) / 2 * (t - start)


def _first(row: tuple[float, ...]) -> float:
    return row[0]


def mmpp_knots(
    mean: float, arrivals: Arrivals, horizon: float, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """A two-state Markov-modulated path, stationary start: low/high × mean, exponential dwell times."""
    p = arrivals.mmpp
    high = bool(rng.random() < p.mean_high / (p.mean_low + p.mean_high))
    t, knots = 0.0, []
    while t < horizon:
        value = mean * (p.high if high else p.low)
        knots.append((t, value, value))
        t += float(rng.exponential(p.mean_high if high else p.mean_low))
        high = not high
    return knots


def intensities(
    arrivals: Arrivals, load: float, weights: Mapping[str, float], horizon: float, seed: int
) -> dict[str, Intensity]:
    """One intensity per ingress; empty for law "trace". load multiplies rates and nothing else.

    mmpp: its long-run mean is rate × (low·mean_low + high·mean_high)/(mean_low + mean_high), exactly the rate
    for the default 0.7/1.6 and 4 s/2 s.
    """
    out: dict[str, Intensity] = {}
    for name, weight in weights.items():
        mean = arrivals.rate * load * weight
        if arrivals.law == "trace":
            continue
        if arrivals.law == "mmpp":
            knots = mmpp_knots(mean, arrivals, horizon, stream(seed, "mmpp", name))
        elif arrivals.law == "ramp":
            knots = [(0.0, mean, mean * arrivals.ramp_to), (horizon, mean * arrivals.ramp_to, mean * arrivals.ramp_to)]
        elif arrivals.law == "spike":
            a, b, f = arrivals.spike_at, arrivals.spike_at + arrivals.spike_for, arrivals.spike_factor
            knots = [(0.0, mean, mean)] if a > 0 else []
            knots += [(a, mean * f, mean * f), (b, mean, mean)]
        else:
            knots = [(0.0, mean, mean)]
        out[name] = Intensity(knots)
    return out
