"""Bandwidth that fluctuates: each link's path through time, drawn beforehand so that both worlds play the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed.scenario.model import Bandwidth
from testbed.scenario.streams import stream
from testbed.topology.model import Link, Topology
from testbed.world.base import Track

#: Reads a packet-opportunity file into (times s, rates bit/s) of 100 ms bins.
Bins = Callable[[str], tuple[Sequence[float], Sequence[float]]]


def selected(topology: Topology, links: str) -> list[tuple[Link, str]]:
    """(link, track name) for "trunks", "all", a link name in either order, or one direction "a->b"."""
    if links in ("trunks", "all"):
        return [(k, k.name) for k in topology.links if links == "all" or k.role == "trunk"]
    if "->" in links:
        a, b = links.split("->")
        return [(k, links) for k in topology.links if {k.a, k.b} == {a, b}]
    return [(k, k.name) for k in topology.links if links in (k.name, f"{k.b}--{k.a}")]


def tracks(bandwidth: Sequence[Bandwidth], topology: Topology, horizon: float, seed: int, bins: Bins) -> list[Track]:
    """The tracks of a run, one per link selected; a later entry of the scenario replaces an earlier one."""
    out: dict[str, Track] = {}
    for spec in bandwidth:
        if spec.law == "constant":
            continue
        for link, name in selected(topology, spec.links):
            out[name] = (
                _markov(spec, link, name, horizon, seed) if spec.law == "markov" else _trace(spec, name, horizon, bins)
            )
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
        tuple(max(rates[i % len(rates)] * spec.scale, 1.0) for i in range(count)),
        file=spec.file,
        scale=spec.scale,
    )
