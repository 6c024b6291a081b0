"""How often the verdicts are wrong, and how often they see: simulated runs of correlated tasks.

A run is a two-regime process: tasks come in stretches in which 99 % or 70 % return on time, with a run-wide effect on
how long the bad stretches are. Its on-time rate is what a claim sees. The threshold is the true mean over runs, so
every pass and every fail is false.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from testbed.verdict.intervals import Sample

REPETITIONS = 2000
TASKS, STRETCH = 2400, 60  # a run of 40 s at 60 tasks/s; a regime lasts about a second
GOOD, BAD, SHARE, SPREAD = 0.99, 0.70, 0.25, 0.06  # P(on time) in each regime; share of bad stretches, its sd over runs
ALPHA = 0.05

Array = NDArray[np.float64]


def runs(rng: np.random.Generator, n: int) -> Array:
    """On-time rates of n runs."""
    share = np.clip(rng.normal(SHARE, SPREAD, n), 0.0, 1.0)
    bad = rng.random((n, TASKS // STRETCH)) < share[:, None]
    on_time = rng.binomial(STRETCH, np.where(bad, BAD, GOOD))
    return np.asarray(on_time.sum(axis=1) / TASKS, dtype=float)


def truth() -> float:
    """Mean over runs; the clipping of shares is 4 standard deviations away and counts nothing."""
    return GOOD - (GOOD - BAD) * SHARE


def naive(x: Array, threshold: float) -> bool:
    """What one would get from the tasks as the sample: a normal bound with the binomial's error."""
    p = x.mean()
    return bool(p - 1.645 * (p * (1 - p) / (x.size * TASKS)) ** 0.5 > threshold)


def rate(n: int, shift: float, judge: Callable[[Array, float], bool]) -> float:
    """Share of repetitions in which `judge` lets the claim pass, the truth being `shift` above the threshold."""
    rng = np.random.default_rng(20261124)
    threshold = truth() - shift
    return sum(judge(runs(rng, n), threshold) for _ in range(REPETITIONS)) / REPETITIONS


def ours(x: Array, threshold: float) -> bool:
    return Sample.of(x).p_above(threshold) <= ALPHA


def fails(x: Array, threshold: float) -> bool:
    return Sample.of(x).p_below(threshold) <= ALPHA


def main() -> None:
    print(f"{REPETITIONS} repetitions, nominal level {ALPHA:.0%}; one standard error of a figure near it is 0.5 %")
    print("runs   false pass   false fail   tasks as the sample   power at +1   +2   +3 points")
    for n in (5, 10, 20):
        wrong, down, per_task = rate(n, 0.0, ours), rate(n, 0.0, fails), rate(n, 0.0, naive)
        power = [rate(n, shift, ours) for shift in (0.01, 0.02, 0.03)]
        print(
            f"{n:4d}   {wrong:8.1%}   {down:10.1%}   {per_task:19.1%}   "
            f"{power[0]:11.1%} {power[1]:6.1%} {power[2]:6.1%}"
        )


if __name__ == "__main__":
    main()
