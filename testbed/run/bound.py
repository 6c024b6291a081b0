"""The fluid upper bound of a scenario and of a run (docs/mathematics.md §4): from a network and draws to crowds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from controller.bound import Bound, Crowd, Network, Pipe, Port, Trunk, expected_bound, fluid_bound
from controller.model import Model
from testbed.load.tasks import TaskSource
from testbed.record.tables import Names
from testbed.run.prepare import Prepared
from testbed.topology.model import Link, Shape, Topology
from testbed.world.base import TaskBatch, Track

MOST_NODES = 100


def network(topology: Topology, tracks: Sequence[Track], start: float, end: float) -> Network:
    """Ports and trunks with their mean rates over [start, end) and their best ones, faults left out.

    What a fault takes away, a bound may keep. A track may exceed the nominal rate, so it counts.
    """
    by_name = {t.link: t for t in tracks}
    ports: dict[str, Port] = {}
    trunks: list[Trunk] = []
    hosts = {h.name: h.site for h in (*topology.nodes, *topology.ingresses)}
    for k in topology.links:
        ab = _pipe(k.ab, _track(by_name, k, k.a, k.b), start, end)
        ba = _pipe(k.ba, _track(by_name, k, k.b, k.a), start, end)
        if k.a in hosts:
            ports[k.a] = Port(hosts[k.a], ab, ba)
        elif k.b in hosts:
            ports[k.b] = Port(hosts[k.b], ba, ab)
        else:
            trunks += [Trunk(k.a, k.b, ab), Trunk(k.b, k.a, ba)]
    return Network(ports, tuple(trunks))


def _track(tracks: Mapping[str, Track], link: Link, a: str, b: str) -> Track | None:
    return tracks.get(f"{a}->{b}") or tracks.get(link.name) or tracks.get(f"{link.b}--{link.a}")


def _pipe(shape: Shape, track: Track | None, start: float, end: float) -> Pipe:
    if track is None or not track.times:
        return Pipe(shape.delay, shape.rate, shape.rate)
    times = np.array([-np.inf, *track.times, np.inf]).clip(start, end)
    rates = np.array([shape.rate, *track.rates])
    spans = np.diff(times)
    return Pipe(shape.delay, float(spans @ rates) / (end - start), float(rates[spans > 0].max()))


def crowds(
    model: Model, names: Names, batches: Sequence[TaskBatch], window: tuple[float, float], seconds: float
) -> list[Crowd]:
    """Tasks intended in [window) as crowds by type and ingress; seconds: the time in which they can be worked on."""
    found = []
    for n, kind in enumerate(model.tasks):
        for o, ingress in enumerate(names.ingresses):
            at = [(b.type == n) & (b.ingress == o) & (window[0] <= b.at) & (b.at < window[1]) for b in batches]
            access, size = (
                np.concatenate([column[i] for column, i in zip(columns, at, strict=True)])
                for columns in ([b.access for b in batches], [b.size for b in batches])
            )
            if len(access):
                work = np.concatenate([b.work[i, : len(kind.stages)] for b, i in zip(batches, at, strict=True)]).T
                factor = None if np.all(size == 1.0) else size
                found.append(Crowd(kind.name, ingress, len(access) / seconds, access, work, factor))
    return found


def of_tasks(
    prepared: Prepared, names: Names, batches: Sequence[TaskBatch], instances: Mapping[str, Sequence[str]],
    tracks: Sequence[Track],
) -> Bound | None:  # fmt: skip
    """What no policy can exceed on those of these tasks that are intended in the measured window. None: too large."""
    model, start, end, longest = _window(prepared)
    if not affordable(model) or not batches:
        return None
    net = network(prepared.resolved.topology, tracks, start, end + longest)
    return fluid_bound(model, net, instances, crowds(model, names, batches, (start, end), end + longest - start))


def affordable(model: Model) -> bool:
    """Whether the bound is worth its time: physics grows with nodes² × tasks, the program with nodes × stages."""
    return len(model.nodes) <= MOST_NODES


def of_scenario(prepared: Prepared, source: TaskSource, tasks: TaskBatch, tracks: Sequence[Track]) -> Bound | None:
    """The same in expectation over access, works and arrivals, given this seed's intensities; None: too large.

    source: drawn to its end, and `tasks` all that it gave.
    Arrivals from a trace bring their own sizes and works, so for them the tasks drawn are what there is to expect.
    """
    model, start, end, longest = _window(prepared)
    placed = prepared.placement.instances
    if prepared.scenario.arrivals.law == "trace":
        return of_tasks(prepared, Names.of(model), [tasks], placed, tracks)
    if not affordable(model):
        return None
    seconds = end + longest - start
    rates = {o.name: source.expected(o.name, start, end) / seconds for o in model.ingresses}
    net = network(prepared.resolved.topology, tracks, start, end + longest)
    return expected_bound(model, net, placed, rates)


def _window(prepared: Prepared) -> tuple[Model, float, float, float]:
    """(model, start and end of the measured window, longest deadline), s."""
    run, model = prepared.scenario.run, prepared.resolved.model
    return model, run.warmup, run.warmup + run.duration, max(n.deadline for n in model.tasks)
