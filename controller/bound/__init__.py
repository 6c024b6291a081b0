"""The fluid upper bound: what no routing and no sizing could beat, given the core (docs/mathematics.md §4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from controller.bound.expected import ROTATIONS, crowds
from controller.bound.physics import ROUNDING, Reach, least_times
from controller.bound.program import carried_share
from controller.bound.values import Array, Bound, Crowd, Network, Pipe, Port, Trunk
from controller.model import Model

__all__ = ["Bound", "Crowd", "Network", "Pipe", "Port", "Trunk", "expected_bound", "fluid_bound"]

#: Student's t, 7 degrees of freedom, one-sided 99.9 %.
STUDENT = 4.785


def fluid_bound(
    model: Model, network: Network, instances: Mapping[str, Sequence[str]], tasks: Sequence[Crowd]
) -> Bound:
    """The largest on-time rate of *these* tasks, given where core services stand; no allowance is made, none needed.

    instances: core service → node of each instance. A crowd's rate is tasks per second of the time in which the
    machines can work on them: tasks of a window of length T with deadlines up to D keep them busy T + D at most.
    """
    return _bound(model, network, instances, tasks)[0]


def expected_bound(
    model: Model, network: Network, instances: Mapping[str, Sequence[str]], rates: Mapping[str, float]
) -> Bound:
    """The largest long-run on-time rate; rates: mean tasks/s by ingress, however they fluctuate.

    The program's optimum is concave in the rates, so fluctuation can only lower it (Jensen). The quadrature's error
    is allowed for: 99.9 % one-sided, from the spread of its rotations, on top of the optimum.
    """
    tasks = crowds(model, dict(rates))
    bound, chances = _bound(model, network, instances, tasks)
    offered = sum(c.rate for c in tasks)
    hits = sum(c.rate * q.reshape(ROTATIONS, -1).mean(axis=1) for c, q in zip(tasks, chances, strict=True))
    allowance = STUDENT * float(np.std(hits / offered, ddof=1)) / math.sqrt(ROTATIONS) if tasks else 0.0
    return Bound(min(1.0, bound.on_time_rate + allowance), min(1.0, bound.physics + allowance), bound.by_type)


def _bound(
    model: Model, network: Network, instances: Mapping[str, Sequence[str]], tasks: Sequence[Crowd]
) -> tuple[Bound, list[Array]]:
    """The bound, and every sample's chance to be on time at all. Eq. (30)."""
    if not tasks:
        return Bound(1.0, 1.0, {}), []
    anywhere = [v.name for v in model.nodes]
    hosts: dict[str, Sequence[str]] = {m.name: tuple(instances.get(m.name, ())) for m in model.core}
    hosts |= {m.name: anywhere for m in model.light}
    reach = Reach(network)
    deadline = {n.name: n.deadline for n in model.tasks}
    distinct = {m: tuple(dict.fromkeys(nodes)) for m, nodes in hosts.items()}
    chances = []
    for crowd in tasks:
        left = deadline[crowd.type] + ROUNDING - least_times(model, reach, distinct, crowd)
        chances.append(crowd.channel.within(left) if crowd.channel else (left >= 0.0).astype(float))
    rates: dict[str, float] = {}
    hits: dict[str, float] = {}
    for crowd, chance in zip(tasks, chances, strict=True):
        rates[crowd.type] = rates.get(crowd.type, 0.0) + crowd.rate
        hits[crowd.type] = hits.get(crowd.type, 0.0) + crowd.rate * float(chance.mean())
    physics = sum(hits.values()) / sum(rates.values())
    share = carried_share(model, network, hosts, tasks, chances)
    return Bound(min(share, physics), physics, {n: hits[n] / rates[n] for n in rates}), chances
