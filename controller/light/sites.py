"""Where workers of a service may stand: candidate nodes, how many each has room for, what a request costs there.

Room is CPU, memory and the node's own link: a service that takes in megabytes fills a gigabit with two busy workers,
and core services stand on the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.light.index import NO_PATH
from controller.light.law import Array, Flags, Whole
from controller.light.loops import add_nearest, fastest, request_costs
from controller.light.slot import Slot
from controller.model import INGRESS, Light

#: Candidate nodes looked at per cluster, the fastest first.
CANDIDATES = 3
#: Largest pool looked at, workers.
MOST_WORKERS = 400
#: An instance that is there may fill so much more of its node's link than a new one; and what all may fill more, in
#: turn, where links are too narrow for the demand.
HELD = 1.5
STRETCHES = (1.0, 1.5, 2.0, 3.0)
#: Utilisation at which a worker's traffic is counted when its node's link is looked at.
BUSY = 0.4


@dataclass(frozen=True, slots=True)
class Field:
    """Nodes looked at for one service, of all clusters. columns: nodes; the rest by column.

    room: most workers; current: workers now; fixed: not to be closed; after: s of service and of what comes next.
    """

    columns: Whole
    domain: Whole
    room: Whole
    current: Whole
    fixed: Flags
    served: Array
    clusters: int  # of the whole model


def field_of(slot: Slot, m: Light) -> Field:
    """Nodes worth looking at: those with an instance, and of each cluster the fastest that can take one."""
    n = len(slot.cpu)
    have, fixed = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    for i in slot.present[m.name]:
        v = slot.index.position[i.node]
        have[v] = have[v] or max(1, i.workers)
        fixed[v] |= not i.ready
    free = slot.cpu / m.cpu
    free = np.minimum(free, slot.memory / m.memory if m.memory > 0 else MOST_WORKERS)
    workers = have + np.maximum(0, np.floor(free + 1e-9)).astype(np.int64)
    seconds = _service_times(slot, m)
    able = slot.alive & (have == 0) & (workers >= 1)
    chosen = slot.alive & (have > 0)
    fastest(chosen, able, slot.index.domain, seconds, slot.index.by_name, len(slot.index.domains), CANDIDATES)
    columns = np.flatnonzero(chosen)
    current = have[columns]
    room = np.where(current > 0, np.maximum(1, workers[columns]), workers[columns])
    return Field(
        columns, slot.index.domain[columns], room, current, fixed[columns], seconds[columns], len(slot.index.domains)
    )


def part(field: Field, rows: Whole) -> Field:
    """Those of the given clusters."""
    if len(rows) == field.clusters:
        return field
    wanted = np.zeros(field.clusters, dtype=bool)
    wanted[rows] = True
    mask = wanted[field.domain]
    return Field(
        field.columns[mask], field.domain[mask], field.room[mask],
        field.current[mask], field.fixed[mask], field.served[mask], field.clusters,
    )  # fmt: skip


def _service_times(slot: Slot, m: Light) -> Array:
    """Mean service time per node, s, at the share of its light CPU now taken (the most that can be busy)."""
    left = slot.light_cpu
    taken = np.where(left > 0, np.clip(1.0 - slot.cpu / np.where(left > 0, left, 1.0), 0.0, 1.0), 1.0)
    seconds: Array = slot.index.means[m.name] / slot.index.speed * (1.0 + slot.index.model.contention * taken**2)
    return seconds


def costs(slot: Slot, m: Light, field: Field, sources: Whole, rate: float) -> Array:
    """c_gv of eq. (26), s: from each source (endpoint) to each column, with `rate` more requests per s there."""
    index, ways = slot.index, slot.ways
    return request_costs(
        ways.delay, ways.per_byte, sources, field.columns, index.edges[m.name][0], field.served,
        onward(slot, m, field.columns), slot.into, ways.into, slot.out, ways.out, index.sent[m.name], rate, NO_PATH,
    )  # fmt: skip


def onward(slot: Slot, m: Light, nodes: Whole) -> Array:
    """Seconds from each of `nodes` to whatever comes next: its nearest instance, or back to the ingresses."""
    seconds, total = np.zeros(len(nodes)), float(slot.weights.sum())
    for to, size, share in slot.index.edges[m.name][1]:
        if to == INGRESS:
            if total > 0:
                ends = range(len(slot.cpu), len(slot.cpu) + len(slot.weights))
                seconds += share * (slot.ways.back(nodes, ends, size) @ slot.weights) / total
        elif slot.present.get(to):
            if to not in slot.ends:
                slot.ends[to] = np.array([slot.index.position[i.node] for i in slot.present[to]])
            add_nearest(seconds, slot.ways.delay, slot.ways.per_byte, nodes, slot.ends[to], size, share, NO_PATH)
    return seconds


def link_room(slot: Slot, m: Light, field: Field, workers: int, rate: float) -> Whole:
    """Workers per column that CPU, memory and the node's own link have room for.

    A sender fills the nearest and fastest instance before it goes elsewhere, so a worker is counted as BUSY, or
    with its even share of `rate` if that is more. An instance that is there may fill more of its link than a new one,
    or it would come and go; and where all links together are too narrow, each is filled further alike.
    """
    if workers <= 0 or rate <= 0.0:
        return field.room
    p = slot.state.parameters.link_share
    each = max(rate / workers, BUSY / slot.state.tables[m.name].mean)
    sizes = max(each * slot.index.edges[m.name][0], 1e-9), max(each * slot.index.sent[m.name], 1e-9)
    free = (p * slot.ways.into - slot.into)[field.columns], (p * slot.ways.out - slot.out)[field.columns]
    links = np.maximum(0.0, np.minimum(free[0] / sizes[0], free[1] / sizes[1]))
    links = np.where(field.current > 0, HELD * links, links)
    room = field.room
    for stretch in STRETCHES:
        room = np.minimum(field.room, np.minimum(links * stretch, MOST_WORKERS).astype(np.int64))
        if room.sum() >= workers:
            return room
    return field.room
