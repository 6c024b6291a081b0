"""What one step of light control works on: free resources and traffic by node, as services take them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.light import measure
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
    per s that are sent to and by the node for the services decided so far; weights: offered
    tasks per ingress; leaving: services with an instance on its way out.
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
    rows: dict[str, Whole] = field(default_factory=dict)  # of `nodes`, once asked for

    def nodes(self, service: str) -> Whole:
        """Where the present instances of a service stand: one position each, in their order."""
        found = self.rows.get(service)
        if found is None:
            position = self.index.position
            found = np.array([position[i.node] for i in self.present[service]], dtype=np.int64)
            self.rows[service] = found
        return found


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


def _core_traffic(slot: Slot) -> None:
    """Bytes per s into and out of each node for its core services: every service's requests by its instances' speed."""
    found = slot.index
    rates = measure.core_rates(found.model, slot.state)
    for m in found.model.core:
        hosts = slot.nodes(m.name)
        speed = found.speed[hosts]
        requests = rates[m.name] * speed / speed.sum()
        np.add.at(slot.into, hosts, requests * found.edges[m.name][0])
        np.add.at(slot.out, hosts, requests * found.sent[m.name])


def take(slot: Slot, m: Light, want: Wanted) -> None:
    """What this service will use more is not free for the next."""
    if not want.workers:
        return
    position = slot.index.position
    at = [position[v] for v in want.workers]
    workers = np.array(list(want.workers.values()))
    requests = sum(slot.state.local[m.name].values()) * workers / workers.sum()
    slot.into[at] += requests * slot.index.edges[m.name][0]
    slot.out[at] += requests * slot.index.sent[m.name]
    have = np.zeros(len(slot.cpu), dtype=np.int64)
    have[slot.nodes(m.name)] = [i.workers for i in slot.present[m.name]]
    more = np.maximum(0, workers - have[at])
    slot.cpu[at] -= more * m.cpu
    slot.memory[at] -= more * m.memory
