"""From an observation to the state: everything light control learns in a slot, before it decides anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from controller.light import budget, capacity, demand, queues
from controller.light.index import index
from controller.light.state import Asked, LightState
from controller.model import Light, Model, Paths
from controller.observation import InstanceState, Observation

#: Less than this share of a slot since the last observation says nothing about rates (a decision on a fault).
LEAST_SLOTS = 0.05
#: The violation rate is a mean in which the past weighs as much as this many waits.
RATE_MEMORY = 50.0
#: Slots after which the world's own worker count is believed again; and allowed for a start beyond its start-up time.
RESIZE_PATIENCE = 3
START_PATIENCE = 5


#: An instance that counts: running or asked for, not leaving, not on a dead node; workers as asked for last.
Present = InstanceState


def learn(model: Model, state: LightState, observation: Observation) -> LightState:
    """Samples, virtual queues, adapted targets, demand rates and what was asked for brought up to `observation`."""
    slots = max(0.0, observation.now - state.now) / model.slot
    queues_, relaxed, rates = _waits(model, state, observation)
    local, offered = state.local, state.offered
    if slots >= LEAST_SLOTS:
        local, offered = _demand(model, state, observation, slots)
    asked = _still_asked(model, state, observation)
    return replace(
        state, samples=_samples(model, state, observation), queues=queues_, relaxed=relaxed, rates=rates, local=local,
        offered=offered, asked=asked, leaving=_leaving(state, asked, observation),
    )  # fmt: skip


def _samples(model: Model, state: LightState, observation: Observation) -> dict[str, tuple[float, ...]]:
    most = int(state.parameters.samples)
    return {
        m.name: (state.samples.get(m.name, ()) + tuple(observation.services.get(m.name, ())))[-most:]
        for m in model.light
    }


def _waits(
    model: Model, state: LightState, observation: Observation
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Virtual queues, adapted targets and violation rates."""
    z, relaxed, rates = dict(state.queues), dict(state.relaxed), dict(state.rates)
    targets = index(model).targets
    for m in model.light:
        waits = observation.waits.get(m.name, ())
        if not waits:
            continue
        epsilon, n = targets[m.name], len(waits)
        late = queues.violated(waits, state.budgets[m.name])
        z[m.name] = queues.advance(z[m.name], late, n, epsilon)
        rates[m.name] += n / (n + RATE_MEMORY) * (late / n - rates[m.name])
        relaxed[m.name] = queues.adapt(relaxed[m.name], rates[m.name], epsilon)
    return z, relaxed, rates


def _demand(
    model: Model, state: LightState, observation: Observation, slots: float
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Requests per s by service and cluster, and tasks per s by ingress and type."""
    weight = demand.weight(state.parameters.ewma_local, slots)
    share = weight / (slots * model.slot)

    def learnt(
        old: Mapping[str, float], row: str, names: Sequence[str], counts: Mapping[tuple[str, str], int]
    ) -> dict[str, float]:
        return {g: (1.0 - weight) * old.get(g, 0.0) + share * counts.get((row, g), 0) for g in names}

    domains, types = index(model).domains, [n.name for n in model.tasks]
    local = {m.name: learnt(state.local.get(m.name, {}), m.name, domains, observation.arrivals) for m in model.light}
    offered = {
        o.name: learnt(state.offered.get(o.name, {}), o.name, types, observation.offered) for o in model.ingresses
    }
    return local, offered


def pooled(
    model: Model,
    state: LightState,
    service: str,
    pools: Mapping[str, Sequence[str]],
    observed: Observation,
    slots: float,
) -> list[float]:
    """Demand λ_G of the pools of a service, per s, fast up and slow down; unchanged after too short a time.

    pools: name → clusters. One not known yet (paths have changed) starts from its clusters' own demand.
    """
    past, local, p = state.pooled.get(service, {}), state.local[service], state.parameters
    counted, seconds = observed.arrivals.get, slots * model.slot
    found: list[float] = []
    for name, clusters in pools.items():
        old = past[name] if name in past else sum([local[g] for g in clusters])
        if slots >= LEAST_SLOTS:
            new = sum([counted((service, g), 0) for g in clusters]) / seconds
            old = demand.smooth(old, new, slots, p.ewma_up, p.ewma_down)
        found.append(old)
    return found


@lru_cache(maxsize=4096)
def pool_name(pool: tuple[str, ...]) -> str:
    return "+".join(sorted(pool))


def prior_mean(model: Model, m: Light, utilisation: float = 0.0) -> float:
    """x̄ before anything is measured, s: work × E of the law, at the nodes' mean 1/speed and a busy share u."""
    found = index(model)
    return found.means[m.name] * found.slowness * (1.0 + model.contention * utilisation**2)


def rebuild(
    model: Model, state: LightState, paths: Paths, nodes: Mapping[str, Sequence[str]], utilisation: float = 0.0
) -> LightState:
    """All tables of effective capacity and waiting budgets, from the samples and the present layout."""
    tables = {m.name: _table(model, state, m, utilisation) for m in model.light}
    waits = budget.core_waits(model, core_rates(model, state), nodes)
    latency = budget.latencies(model, paths, nodes, waits, model.tasks)
    return _budgeted(model, state, tables, latency)


def renew(
    model: Model, state: LightState, paths: Paths, present: Mapping[str, Sequence[Present]], slot: int
) -> LightState:
    """The tables and latencies whose turn it is: each every `table_slots`, no two kinds at once if there is a choice.

    In turn, because all at once is a slot that takes ten times as long as the others.
    """
    every = max(1, int(state.parameters.table_slots))
    due = [m for k, m in enumerate(model.light) if (slot - k) % every == 0]
    tasks = [n for k, n in enumerate(model.tasks) if (slot - k - len(model.light)) % every == 0]
    tables, latency = state.tables, state.latency
    if due:
        tables = {**tables, **{m.name: _table(model, state, m) for m in due}}
    if tasks:
        nodes = {m: [i.node for i in found] for m, found in present.items()}
        waits = budget.core_waits(model, core_rates(model, state), nodes)
        latency = {m: x for m, x in latency.items() if all(m != n.name for n in tasks)}
        latency = latency | budget.latencies(model, paths, nodes, waits, tasks)
    return _budgeted(model, state, tables, latency) if due or tasks else state


def _table(model: Model, state: LightState, m: Light, utilisation: float = 0.0) -> capacity.Table:
    p = state.parameters
    mean = prior_mean(model, m, utilisation)
    return capacity.table(state.samples.get(m.name, ()), m.law, mean, int(p.samples), p.z)


def _budgeted(
    model: Model, state: LightState, tables: Mapping[str, capacity.Table], latency: Mapping[str, float]
) -> LightState:
    """The state with these tables and latencies, and the budgets that follow from them."""
    means = {m: t.mean for m, t in tables.items()}
    return replace(state, tables=tables, latency=latency, budgets=budget.shares(model, means, latency))


def core_rates(model: Model, state: LightState) -> dict[str, float]:
    """Requests per s of each core service, from the offered tasks: every task visits each of its stages once."""
    rates: dict[str, float] = {m.name: 0.0 for m in model.core}
    for task in model.tasks:
        offered = sum(by_type.get(task.name, 0.0) for by_type in state.offered.values())
        for stage in task.stages:
            if stage.service in rates:
                rates[stage.service] += offered
    return rates


def present(model: Model, state: LightState, observation: Observation) -> dict[str, list[Present]]:
    """Instances that count, per service: as observed, with what was asked of them since, and those asked for."""
    found: dict[str, list[Present]] = {m.name: [] for m in model.services()}
    seen = {i.id for i in observation.instances}
    for i in observation.instances:
        if i.node in observation.dead or i.draining or i.id in state.leaving or i.service not in found:
            continue
        asked = state.asked.get(i.id)
        if asked is not None and asked.workers != i.workers:
            i = replace(i, workers=asked.workers)
        found[i.service].append(i)
    for id_, a in state.asked.items():
        if id_ not in seen and id_ not in state.leaving and a.node not in observation.dead:
            found[a.service].append(InstanceState(id_, a.service, a.node, a.workers, ready=False))
    return found


def _leaving(state: LightState, asked: Mapping[str, Asked], observation: Observation) -> dict[str, str]:
    """Instances told to go that are still there. One whose replacement died before it took over stays after all."""
    if not state.leaving:
        return {}
    alive = {i.id for i in observation.instances if i.node not in observation.dead}
    coming = alive | {id_ for id_, a in asked.items() if a.node not in observation.dead}
    return {i: by for i, by in state.leaving.items() if i in alive and (by == "" or by in coming)}


def _still_asked(model: Model, state: LightState, observation: Observation) -> dict[str, Asked]:
    """What was asked and is not yet to be seen, within its patience; the dead and the forgotten are dropped."""
    kept: dict[str, Asked] = {}
    if not state.asked:
        return kept
    seen = {i.id: i for i in observation.instances if i.id in state.asked}
    for id_, a in state.asked.items():
        age = observation.slot - a.slot
        if a.node in observation.dead:
            continue
        if id_ in seen:
            if seen[id_].workers != a.workers and age <= RESIZE_PATIENCE:
                kept[id_] = a
        elif age <= START_PATIENCE + math.ceil(model.service(a.service).startup / model.slot):
            kept[id_] = a
    return kept
