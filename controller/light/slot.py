"""What one step of light control works on: free resources and traffic by node, as services take them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from controller.light import loops, measure
from controller.light.actions import Wanted
from controller.light.index import Index, Ways, index, ways
from controller.light.law import Array, Flags, Whole
from controller.light.measure import Present
from controller.light.state import LightState
from controller.model import Light, Model, Paths
from controller.observation import Observation

NONE: frozenset[str] = frozenset()


class Stand(NamedTuple):
    """Of the present instances of a service, in their order: position of the node, workers, ready, requests there."""

    at: Whole
    workers: Whole
    ready: Flags
    backlog: Whole


@dataclass(slots=True)
class Slot:
    """Working values of one step, by node in the order of the model.

    cpu, memory: what is free (nothing on a dead node); light_cpu: what core services leave of the CPU; into, out: bytes
    per s over the node's link for the services decided so far, and flows: their requests per s, services × nodes (none
    of the others); weights: offered tasks per ingress; leaving: services with an instance on its way out.
    """

    index: Index
    ways: Ways
    state: LightState
    observation: Observation
    paths: Paths
    present: Mapping[str, Sequence[Present]]
    cpu: Array
    memory: Array
    light_cpu: Array
    into: Array
    out: Array
    alive: Flags
    weights: Array
    leaving: frozenset[str]
    slots: float
    fresh: bool
    stand: Mapping[str, Stand]
    flows: Array
    decided: set[str] = field(default_factory=set)

    def serve(self, service: str, flow: Array) -> None:
        """The service gets `flow` requests per s by node; what stays on a node does not cross its link, eq. (49)."""
        found = self.index
        loops.carry(
            self.into, self.out, flow, *found.around[service], self.flows, found.edges[service][0], found.sent[service]
        )
        self.flows[found.row[service]] = flow
        self.decided.add(service)


def open_slot(
    model: Model, state: LightState, observation: Observation, slots: float = 0.0, fresh: bool = True
) -> Slot:
    """Present instances and free resources: nominal less what runs, drains or was asked for; nothing on dead nodes."""
    found = index(model)
    dead = [found.position[v] for v in observation.dead if v in found.position]
    alive = np.ones(len(model.nodes), dtype=bool)
    alive[dead] = False
    cpu, memory, core = [0.0] * len(alive), [0.0] * len(alive), [0.0] * len(alive)
    needs, position = found.needs, found.position
    for service, node, workers in _users(state, observation):
        if service not in needs or node not in position:
            continue
        (each, each_memory, is_core), v = needs[service], position[node]
        if is_core:
            cpu[v] += each
            memory[v] += each_memory
            core[v] += each
        else:
            cpu[v] += each * workers
            memory[v] += each_memory * workers
    paths = observation.paths if observation.paths is not None else model.paths
    weights = np.array([sum(state.offered.get(o.name, {}).values()) for o in model.ingresses])
    free_cpu = np.where(alive, found.cpu - cpu, 0.0)
    free_memory = np.where(alive, found.memory - memory, 0.0)
    left = np.where(alive, found.cpu - core, 0.0)
    present = measure.present(model, state, observation)
    net = ways(model, paths)
    gone = frozenset(i.service for i in observation.instances if i.id in state.leaving) if state.leaving else NONE
    slot = Slot(
        found, net, state, observation, paths, present, free_cpu, free_memory, left,
        np.zeros(len(left)), np.zeros(len(left)), alive, weights, gone, slots, fresh, _stands(found, present),
        np.zeros((len(needs), len(left))),
    )  # fmt: skip
    _core_traffic(slot)
    return slot


def _stands(found: Index, present: Mapping[str, Sequence[Present]]) -> dict[str, Stand]:
    """Of every service: cut from arrays over all instances, which take no longer than those of one service."""
    there = list(chain.from_iterable(present.values()))
    at = np.array([found.position[i.node] for i in there], dtype=np.int64)
    workers = np.array([i.workers for i in there], dtype=np.int64)
    ready = np.array([i.ready for i in there], dtype=bool)
    backlog = np.array([i.backlog for i in there], dtype=np.int64)
    ends = list(accumulate(map(len, present.values()), initial=0))
    return {
        m: Stand(at[a:b], workers[a:b], ready[a:b], backlog[a:b])
        for m, a, b in zip(present, ends, ends[1:], strict=False)
    }


def _users(state: LightState, observation: Observation) -> Iterator[tuple[str, str, int]]:
    """Service, node and workers of whatever takes CPU and memory: all there is, and what was asked for since."""
    unseen = dict(state.asked)
    for i in observation.instances:
        a = unseen.pop(i.id, None)
        if a is None:
            yield i.service, i.node, i.workers
        else:
            yield a.service, a.node, max(a.workers, i.workers)
    for a in unseen.values():
        yield a.service, a.node, a.workers


def by_node(at: Whole, weights: Array | Whole, n: int) -> Array:
    """Sums of `weights` by position, over n nodes or clusters."""
    return np.bincount(at, weights, n).astype(np.float64, copy=False)


def _core_traffic(slot: Slot) -> None:
    """Every core service's requests by its instances' speed."""
    found = slot.index
    rates = measure.core_rates(found.model, slot.state)
    for m in found.model.core:
        hosts = slot.stand[m.name].at
        speed = found.speed[hosts]
        requests = rates[m.name] * speed / speed.sum()
        slot.serve(m.name, by_node(hosts, requests, len(found.speed)))


def take(slot: Slot, m: Light, want: Wanted) -> None:
    """What this service will use more is not free for the next."""
    if not want.workers:
        return
    position = slot.index.position
    at = np.array([position[v] for v in want.workers], dtype=np.int64)
    workers = np.array(list(want.workers.values()), dtype=np.int64)
    stand = slot.stand[m.name]
    requests = sum(slot.state.local[m.name].values())
    slot.serve(
        m.name, loops.take(slot.cpu, slot.memory, at, workers, stand.at, stand.workers, requests, m.cpu, m.memory)
    )
