"""How much one run may be: what is beyond does not end within a day, or finds no room in memory."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.scenario.model import Arrivals, Scenario
from testbed.topology.located import Place
from testbed.units import FREQUENCY, TIME, show

Mistakes = Iterator[tuple[Place, str]]

LONGEST = 24 * 3600.0  # s, as long as a testbed may be held open
MOST_STEPS = 10_000_000  # slots, and views, in a run: as many as 8.6 ms of a whole day
MOST_TASKS = 10_000_000  # in a run: some gigabytes of records and tables


def bounds(s: Scenario) -> Mistakes:
    lengths = {"warmup": s.run.warmup, "duration": s.run.duration}
    if too_long := [key for key, length in lengths.items() if length > LONGEST]:
        yield from ((("run", key), f"is {lengths[key] / 3600.0:.4g} h; 24 h is the most") for key in too_long)
        return
    horizon = s.run.warmup + s.run.duration
    for key, step in (("slot", s.run.slot), ("view_interval", s.run.view_interval)):
        if horizon / step > MOST_STEPS:
            least = show(horizon / MOST_STEPS, TIME)
            yield ("run", key), f"is too short for a run of {show(horizon, TIME)}: at least {least}"
    rate = s.arrivals.rate * s.load * peak(s.arrivals)
    tasks = rate * horizon
    if s.arrivals.law != "trace" and tasks > MOST_TASKS:
        key_of: Place = ("load",) if s.load > 1 else ("arrivals", "rate")
        words = f"{show(rate, FREQUENCY)} (rate × load, at the law's peak) for {show(horizon, TIME)}"
        yield key_of, f"{words} is up to {tasks:.3g} tasks; a run has {MOST_TASKS:,} at most"


def peak(arrivals: Arrivals) -> float:
    """The largest factor its law puts on the mean rate."""
    factors = {"ramp": arrivals.ramp_to, "spike": arrivals.spike_factor, "mmpp": arrivals.mmpp.high}
    return max(factors.get(arrivals.law, 1.0), 1.0)
