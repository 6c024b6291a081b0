"""What one step of light control works on: free resources and traffic by node, as services take them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.light import measure
from controller.light.actions import Wanted
from controller.light.index import Index, Ways, index, ways
from controller.light.law import Array, Flags
from controller.light.measure import Present
from controller.light.state import LightState
from controller.model import Core, Light, Model, Paths
from controller.observation import InstanceState, Observation


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
    onward: dict[str, Array] = field(default_factory=dict)  # by service, once known (sites.onward)


def open_slot(
    model: Model, state: LightState, observation: Observation, slots: float = 0.0, fresh: bool = True
) -> Slot:
    """Present instances and free resources: nominal less what runs, drains or was asked for; nothing on dead nodes."""
    found = index(model)
    dead = [found.position[v] for v in observation.dead if v in found.position]
    alive = np.ones(len(model.nodes), dtype=bool)
    alive[dead] = False
    cpu, memory, core = [0.0] * len(alive), [0.0] * len(alive), [0.0] * len(alive)
    users = {i.id: i for i in observation.instances}
    for id_, a in state.asked.items():
        known = users.get(id_)
        workers = max(a.workers, known.workers) if known else a.workers
        users[id_] = InstanceState(id_, a.service, a.node, workers)
    for i in users.values():
        m, v = found.services.get(i.service), found.position.get(i.node)
        if m is None or v is None:
            continue
        times = 1 if isinstance(m, Core) else i.workers
        cpu[v] += m.cpu * times
        memory[v] += m.memory * times
        if isinstance(m, Core):
            core[v] += m.cpu
    paths = observation.paths if observation.paths is not None else model.paths
    weights = np.array([sum(state.offered.get(o.name, {}).values()) for o in model.ingresses])
    free_cpu = np.where(alive, found.cpu - cpu, 0.0)
    free_memory = np.where(alive, found.memory - memory, 0.0)
    left = np.where(alive, found.cpu - core, 0.0)
    present = measure.present(model, state, observation)
    net = ways(model, paths)
    into, out = _core_traffic(found, state, present)
    gone = frozenset(i.service for i in observation.instances if i.id in state.leaving)
    return Slot(
        found, net, state, observation, paths, present, free_cpu, free_memory, left,
        into, out, alive, weights, gone, slots, fresh,
    )  # fmt: skip


def _core_traffic(found: Index, state: LightState, present: Mapping[str, Sequence[Present]]) -> tuple[Array, Array]:
    """Bytes per s into and out of each node for its core services: every service's requests by its instances' speed."""
    into, out = np.zeros(len(found.speed)), np.zeros(len(found.speed))
    rates = measure.core_rates(found.model, state)
    for m in found.model.core:
        hosts = [found.position[i.node] for i in present[m.name]]
        total = float(found.speed[hosts].sum())
        for v in hosts:
            requests = rates[m.name] * float(found.speed[v]) / total
            into[v] += requests * found.edges[m.name][0]
            out[v] += requests * found.sent[m.name]
    return into, out


def take(slot: Slot, m: Light, want: Wanted) -> None:
    """What this service will use more is not free for the next."""
    rate, total = sum(slot.state.local[m.name].values()), sum(want.workers.values())
    for v, workers in want.workers.items():
        slot.into[slot.index.position[v]] += rate * workers / total * slot.index.edges[m.name][0]
        slot.out[slot.index.position[v]] += rate * workers / total * slot.index.sent[m.name]
    have = {i.node: i.workers for i in slot.present[m.name]}
    for v, workers in want.workers.items():
        more = max(0, workers - have.get(v, 0))
        slot.cpu[slot.index.position[v]] -= more * m.cpu
        slot.memory[slot.index.position[v]] -= more * m.memory
