"""Where workers of a service may stand: candidate nodes, how many each has room for, what a request costs there.

Room is CPU, memory and the node's own link: a service that takes in megabytes fills a gigabit with two busy workers,
and core services stand on the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.light import loops
from controller.light.index import NO_PATH
from controller.light.law import Array, Flags, Whole
from controller.light.slot import Slot, by_node
from controller.model import INGRESS, Light

#: Candidate nodes looked at per cluster, the fastest first.
CANDIDATES = 3
#: Largest pool looked at, workers.
MOST_WORKERS = 400
#: An instance that is there may fill so much more of its node's link than a new one; and what all may fill more, in
#: turn, where links are too narrow for the demand.
HELD = 1.5
STRETCHES = np.array([1.0, 1.5, 2.0, 3.0])
#: Utilisation at which a worker's traffic is counted when its node's link is looked at.
BUSY = 0.4


@dataclass(frozen=True, slots=True)
class Field:
    """Nodes looked at for one service, of all clusters. columns: nodes; the rest by column, but for `places`.

    room: most workers; current: workers now; fixed: not to be closed; after: s of service and of what comes next;
    places: room by cluster; ends, homes, shares: of `senders`.
    """

    columns: Whole
    domain: Whole
    room: Whole
    current: Whole
    fixed: Flags
    after: Array
    places: Whole
    ends: Whole
    homes: Whole
    shares: Array


@dataclass(frozen=True, slots=True)
class Offers:
    """The columns of some pools, pool by pool: where each pool's begin and the last end is `begin`.

    room: workers, links counted; costs: c_gv, s, each pool's clusters × columns, one table after another.
    """

    columns: Whole
    domain: Whole
    room: Whole
    current: Whole
    fixed: Flags
    begin: Whole
    costs: Array


def field_of(slot: Slot, m: Light) -> Field:
    """Nodes worth looking at: those with an instance, and of each cluster the fastest that can take one."""
    found = slot.index
    columns, domain, room, current, fixed, served, places = loops.candidates(
        *slot.stand[m.name][:3], slot.alive, slot.cpu, slot.memory, slot.light_cpu, found.speed, found.domain,
        found.by_name, m.cpu, m.memory, found.means[m.name], found.model.contention, len(found.domains), CANDIDATES,
        MOST_WORKERS,
    )  # fmt: skip
    after = served + onward(slot, m, columns)
    return Field(columns, domain, room, current, fixed, after, places, *senders(slot, m))


def senders(slot: Slot, m: Light) -> tuple[Whole, Whole, Array]:
    """Endpoints that send to m, the cluster each stands in or for, and its share of that cluster's requests.

    Of what comes from other services, by where these run; the rest, and all where none of them does, from the endpoint
    that stands for the cluster.
    """
    found = slot.index
    sent, others = np.zeros(len(slot.cpu)), 0.0
    for n in found.neighbours[m.name]:
        if n.before:
            others += n.mine
            sent += n.its * _flow(slot, n.service)
    return loops.senders(sent, min(1.0, others), found.domain, found.representatives)


def _flow(slot: Slot, service: str) -> Array:
    """Requests per s by node: as decided, or of a service whose turn is to come, as its workers stand now."""
    if service in slot.decided:
        flow: Array = slot.flows[slot.index.row[service]]
        return flow
    stand = slot.stand[service]
    workers = by_node(stand.at, np.maximum(1, stand.workers), len(slot.cpu))
    total = workers.sum()
    return workers * (sum(slot.state.local[service].values()) / total) if total > 0 else workers


def offers(
    slot: Slot, m: Light, field: Field, members: Whole, first: Whole, due: Whole, workers: Whole, rates: Array
) -> Offers:
    """What the pools `due` offer to their workers for their requests per s: room, and c_gv of eq. (26).

    members: clusters of all pools, each from `first`; workers, rates: by pool. A sender fills the nearest and fastest
    instance before it goes elsewhere, so a worker's traffic is counted at a utilisation of BUSY, or at its even share
    of the rate if that is more. What stays on a node fills no link, eq. (49).
    """
    found, ways = slot.index, slot.ways
    return Offers(
        *loops.offers(
            field.columns, field.domain, field.room, field.current, field.fixed, field.after, members, first, due,
            rates, workers, field.ends, field.homes, field.shares, ways.delay, ways.per_byte, slot.into, ways.into,
            slot.out, ways.out, *found.around[m.name], slot.flows, found.edges[m.name][0], found.sent[m.name],
            BUSY / slot.state.tables[m.name].mean, slot.state.parameters.link_share, HELD, STRETCHES, NO_PATH,
        )
    )  # fmt: skip


def onward(slot: Slot, m: Light, nodes: Whole) -> Array:
    """Seconds from each of `nodes` to whatever comes next: its nearest instance, or back to the ingresses."""
    seconds, ways = np.zeros(len(nodes)), slot.ways
    for to, size, share in slot.index.edges[m.name][1]:
        if to == INGRESS:
            loops.add_return(
                seconds, ways.delay, ways.per_byte, nodes, len(slot.cpu), slot.weights, size, share, NO_PATH
            )  # fmt: skip
        elif slot.present.get(to):
            loops.add_nearest(seconds, ways.delay, ways.per_byte, nodes, slot.stand[to].at, size, share, NO_PATH)
    return seconds
