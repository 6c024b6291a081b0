"""What one step of light control works on: free resources and traffic by node, as services take them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Slot:
    """Working values of one step, by node in the order of the model.

    cpu, memory: what is free (nothing on a dead node); light_cpu: what core services leave of the CPU; into, out: bytes
    per s over the node's link for the services decided so far, and flows: their requests per s by node; weights:
    offered tasks per ingress; leaving: services with an instance on its way out.
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
    flows: dict[str, Array] = field(default_factory=dict)
    standing: dict[str, tuple[Whole, Whole, Flags]] = field(default_factory=dict)  # of `stand`, once asked for

    def stand(self, service: str) -> tuple[Whole, Whole, Flags]:
        """Of the present instances of a service, in their order: position of the node, workers, whether ready."""
        found = self.standing.get(service)
        if found is None:
            position, there = self.index.position, self.present[service]
            self.standing[service] = found = (
                np.array([position[i.node] for i in there], dtype=np.int64),
                np.array([i.workers for i in there], dtype=np.int64),
                np.array([i.ready for i in there], dtype=bool),
            )
        return found

    def around(self, service: str) -> tuple[Array, Array]:
        """`mine` and `theirs` of loops.staying: of the neighbours whose flows are known."""
        rows = [(n, self.flows[n.service]) for n in self.index.neighbours[service] if n.service in self.flows]
        theirs = np.array([(n.size * n.its) * flow for n, flow in rows]).reshape(len(rows), len(self.cpu))
        return np.array([n.size * n.mine for n, _ in rows]), theirs

    def serve(self, service: str, flow: Array) -> None:
        """The service gets `flow` requests per s by node; what stays on a node does not cross its link, eq. (49)."""
        size, sent = self.index.edges[service][0], self.index.sent[service]
        loops.carry(self.into, self.out, flow, *self.around(service), size, sent)
        self.flows[service] = flow


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
        np.zeros(len(left)), np.zeros(len(left)), alive, weights, gone, slots, fresh,
    )  # fmt: skip
    _core_traffic(slot)
    return slot


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
        hosts = slot.stand(m.name)[0]
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
    there, now, _ = slot.stand(m.name)
    requests = sum(slot.state.local[m.name].values())
    slot.serve(m.name, loops.take(slot.cpu, slot.memory, at, workers, there, now, requests, m.cpu, m.memory))
