"""Simulated means with a stated confidence: independent replications, Student's t at 99.9 %, fixed seeds.

A closed form passes when it lies in the interval *and* the interval is narrow: a wide one would say nothing. With
fixed seeds a test passes always or never; at 99.9 % some forty intervals miss by chance, all together, in 4 % of the
choices of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from testbed.world.twin.stations import Station, Times, simulate

Floats = NDArray[np.float64]
ENGINE = None  # the one a run would use
REPLICATIONS = 12
STUDENT = 4.437  # two-sided 99.9 %, 11 degrees of freedom
CUSTOMERS, WARM = 3000, 300


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def queue(
    seed: int, rate: float, workers: list[int], draw: Callable[[np.random.Generator, tuple[int, int]], Floats],
    customers: int = CUSTOMERS,
) -> Times:  # fmt: skip
    """Poisson arrivals at `rate` through stations in tandem; draw(rng, shape): service times."""
    rng = generator(seed)
    at = np.cumsum(rng.exponential(1.0 / rate, customers))
    stations = [Station(f"s{k}", c) for k, c in enumerate(workers)]
    return simulate(at, stations, draw(rng, (customers, len(workers))), engine=ENGINE)


def interval(measure: Callable[[int], Floats | float]) -> tuple[Floats, Floats]:
    """(mean, half-width at 99.9 %) of what each replication measures; measure(seed)."""
    values = np.array([measure(1000 + k) for k in range(REPLICATIONS)], dtype=float)
    return values.mean(axis=0), STUDENT * values.std(axis=0, ddof=1) / math.sqrt(REPLICATIONS)


def agrees(measure: Callable[[int], Floats | float], exact: Floats | list[float] | float, narrow: float) -> None:
    """The exact values lie in the intervals, whose half-widths are at most `narrow` of them."""
    mean, half = interval(measure)
    truth = np.asarray(exact, dtype=float)
    assert np.all(half <= narrow * np.abs(truth)), f"says too little: ± {half} of {truth}"
    assert np.all(np.abs(mean - truth) <= half), f"{mean} ± {half}, exact {truth}"


def waits(times: Times, station: int = 0, warm: int = WARM) -> Floats:
    """Waiting times after the warm-up (customers)."""
    found: Floats = (times.started - times.arrived)[warm:, station]
    return found
