"""Bandwidth that fluctuates: each link's path through time, drawn beforehand so that both worlds play the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed.errors import InputError, Problem
from testbed.load import rate_csv
from testbed.scenario.model import Bandwidth
from testbed.scenario.streams import stream
from testbed.scenario.targets import selected
from testbed.topology.model import Link, Topology
from testbed.world.base import Track

#: Reads a packet-opportunity file into (times s, rates bit/s) of 100 ms bins.
Bins = Callable[[str], tuple[Sequence[float], Sequence[float]]]


#: bit/s: what "nothing" is to a track, whose rates are above 0.
LEAST_RATE = 1.0
#: Changes of one link's rate in a run; far more than a machine follows.
MOST_STEPS = 1_000_000


def tracks(bandwidth: Sequence[Bandwidth], topology: Topology, horizon: float, seed: int, bins: Bins) -> list[Track]:
    """The tracks of a run, one per link selected; a later entry of the scenario replaces an earlier one."""
    out: dict[str, Track] = {}
    for spec in bandwidth:
        if spec.law == "constant":
            continue
        for link, name in selected(topology, spec.links):
            if spec.law == "markov":
                out[name] = _markov(spec, link, name, horizon, seed)
            elif spec.file is not None and spec.file.lower().endswith(".csv"):
                out[name] = _steps(spec.file, spec.scale, name, horizon)
            else:
                out[name] = _trace(spec, name, horizon, bins)
    return list(out.values())


def _markov(spec: Bandwidth, link: Link, name: str, horizon: float, seed: int) -> Track:
    """Levels as factors of the nominal rate, exponential dwell, next level uniform among the others."""
    rng = stream(seed, "bandwidth", name)
    level = int(rng.integers(len(spec.levels)))
    t, times, rates = 0.0, [], []
    while t < horizon:
        times.append(t)
        rates.append(link.ab.rate * spec.levels[level])
        t += max(float(rng.exponential(spec.mean_dwell)), 0.1)
        if len(spec.levels) > 1:
            level = (level + 1 + int(rng.integers(len(spec.levels) - 1))) % len(spec.levels)
    return Track(name, tuple(times), tuple(rates))


def _trace(spec: Bandwidth, name: str, horizon: float, bins: Bins) -> Track:
    """The file's 100 ms mean rates, repeated to the horizon; a live world replays the packets themselves."""
    assert spec.file is not None  # checked by the scenario model
    times, rates = bins(spec.file)
    width = times[1] - times[0] if len(times) > 1 else 0.1
    count = int(horizon / width) + 1
    return Track(
        name,
        tuple(i * width for i in range(count)),
        tuple(max(rates[i % len(rates)] * spec.scale, LEAST_RATE) for i in range(count)),
        file=spec.file,
        scale=spec.scale,
        source=spec.file,
    )


def _steps(file: str, scale: float, name: str, horizon: float) -> Track:
    """A CSV's rates as they stand, repeated to the horizon; an outage is LEAST_RATE."""
    lap_times, lap_rates, period = rate_csv.read(file)
    times: list[float] = []
    rates: list[float] = []
    start = 0.0
    while start < horizon:
        if len(times) + len(lap_times) > MOST_STEPS:
            found = f"repeats until {MOST_STEPS} changes within the run"
            raise InputError([Problem(file, 1, 1, "bandwidth.file", f"{found}: give a longer file or fewer lines")])
        times += [start + t for t in lap_times if start + t < horizon]
        rates += [max(r * scale, LEAST_RATE) for r in lap_rates[: len(times) - len(rates)]]
        start += period
    return Track(name, tuple(times), tuple(rates), source=file)
