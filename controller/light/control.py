"""Light control, slot by slot (docs/mathematics.md, section 3): measure, size, lay out, say what changes.

`step` is pure: the same state and observation give the same decision, so a recorded run can be replayed. It is
called once a slot, and again at once when a fault was detected: then with the same slot number, and with the few
measurements since, which change rates only as much as their time is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.decision import Decision, Placement, Start
from controller.light import demand, layout, measure
from controller.light import law as laws
from controller.light.actions import Changes, Wanted, changes
from controller.light.law import Array
from controller.light.measure import Present
from controller.light.sizing import Size, size
from controller.light.state import Asked, LightState, Parameters
from controller.model import INGRESS, Core, Light, Model, Paths
from controller.observation import InstanceState, Observation

#: Candidate nodes looked at per cluster, the fastest first.
CANDIDATES = 3
#: A pool asked for less than this (requests per s) needs no instance of its own.
LEAST_DEMAND = 0.02
#: Stands for "no path" in a sum, s.
NO_PATH = 1e3
#: Largest pool looked at, workers.
MOST_WORKERS = 400


@dataclass(slots=True)
class _Slot:
    """Working values of one step. cpu, memory: what is free per node; share: light CPU taken / light CPU per node."""

    model: Model
    state: LightState
    observation: Observation
    paths: Paths
    present: Mapping[str, Sequence[Present]]
    cpu: dict[str, float]
    memory: dict[str, float]
    light_cpu: dict[str, float]
    slots: float
    fresh: bool


def begin(
    model: Model,
    placement: Placement,
    parameters: Parameters,
    load: float | None = None,
) -> tuple[LightState, Decision]:
    """State and Starts of slot 0: core as placed, light sized for the planner's view at `load` × its rate."""
    rates = demand.task_rates(model, parameters.begin_load if load is None else load)
    asked = demand.planned(model, placement, rates)
    light = {m.name for m in model.light}
    epsilon = {m: measure.target(model, m) for m in light}
    state = LightState(
        parameters=parameters,
        local={m: {g: asked[m].get(g, 0.0) for g in demand.domains(model)} for m in light},
        offered=rates,
        queues=dict.fromkeys(light, 0.0),
        relaxed=epsilon,
        rates=dict.fromkeys(light, 0.0),
    )
    actions, reasons, asked_for, next_ = _core_starts(model, placement)
    state = replace(state, next=next_, asked=asked_for)
    anywhere = [v.name for v in model.nodes]
    nodes: dict[str, Sequence[str]] = {**placement.instances, **dict.fromkeys(light, anywhere)}
    state = measure.rebuild(model, state, model.paths, nodes, _busy_share(model, placement, state))
    nothing = Observation(slot=0, now=0.0, instances=())
    state, change, diagnostics = _decide(_open_slot(model, state, nothing), first=True)
    for wanted in change.targets.values():
        nodes[wanted.service] = list(wanted.workers)
    state = measure.rebuild(model, state, model.paths, nodes, _busy_share(model, placement, state))
    return state, Decision(0, (*actions, *change.actions), (*reasons, *change.reasons), diagnostics)


def step(model: Model, state: LightState, observation: Observation) -> tuple[LightState, Decision]:
    """One slot. Decision.diagnostics holds the numbers behind it per service, and the targets."""
    slots = max(0.0, observation.now - state.now) / model.slot
    fresh = observation.slot > state.slot
    state = measure.learn(model, state, observation)
    state = replace(state, leaving=measure.leaving(state, observation))
    slot = _open_slot(model, state, observation, slots, fresh)
    if fresh and observation.slot - state.tables_slot >= state.parameters.table_slots:
        nodes = {m: [i.node for i in found] for m, found in slot.present.items()}
        state = measure.rebuild(model, replace(state, tables_slot=observation.slot), slot.paths, nodes)
        slot.state = state
    state, change, diagnostics = _decide(slot)
    state = replace(state, slot=max(state.slot, observation.slot), now=max(state.now, observation.now))
    return state, Decision(observation.slot, change.actions, change.reasons, diagnostics)


def _core_starts(
    model: Model, placement: Placement
) -> tuple[tuple[Start, ...], tuple[str, ...], dict[str, Asked], int]:
    """Starts of the placed core instances, and the memory of having asked for them."""
    starts: list[Start] = []
    for m in model.core:
        for node in placement.instances.get(m.name, ()):
            starts.append(Start(f"{m.name}-{len(starts)}", m.name, node, m.streams))
    asked = {s.id: Asked(s.service, s.node, s.workers, 0) for s in starts}
    reasons = tuple(f"{s.service}: core placement ({placement.status})" for s in starts)
    return tuple(starts), reasons, asked, len(starts)


def _busy_share(model: Model, placement: Placement, state: LightState) -> float:
    """u before anything is measured: CPU the planned demand keeps busy, over the CPU core services leave."""
    left = sum(v.cpu for v in model.nodes)
    for m in model.core:
        left -= m.cpu * len(placement.instances.get(m.name, ()))
    busy = sum(sum(state.local[m.name].values()) * measure.prior_mean(model, m) * m.cpu for m in model.light)
    return min(1.0, busy / left) if left > 0 else 1.0


def _open_slot(
    model: Model, state: LightState, observation: Observation, slots: float = 0.0, fresh: bool = True
) -> _Slot:
    """Present instances and free resources: nominal less what runs, drains or was asked for; nothing on dead nodes."""
    cpu = {v.name: v.cpu for v in model.nodes if v.name not in observation.dead}
    memory = {v.name: v.memory for v in model.nodes if v.name not in observation.dead}
    light_cpu = dict(cpu)
    services = {m.name: m for m in model.services()}
    users = {i.id: i for i in observation.instances}
    for id_, a in state.asked.items():
        known = users.get(id_)
        workers = max(a.workers, known.workers) if known else a.workers
        users[id_] = InstanceState(id_, a.service, a.node, workers)
    for i in users.values():
        m = services.get(i.service)
        if m is None or i.node not in cpu:
            continue
        times = 1 if isinstance(m, Core) else i.workers
        cpu[i.node] -= m.cpu * times
        memory[i.node] -= m.memory * times
        if isinstance(m, Core):
            light_cpu[i.node] -= m.cpu
    paths = observation.paths if observation.paths is not None else model.paths
    found = measure.present(model, state, observation)
    return _Slot(model, state, observation, paths, found, cpu, memory, light_cpu, slots, fresh)


def _decide(slot: _Slot, first: bool = False) -> tuple[LightState, Changes, dict[str, object]]:
    """Sizes and layouts of all light services, largest offered load first, as actions and the state after them."""
    model, state = slot.model, slot.state
    pooled, recent, moved = dict(state.pooled), dict(state.recent), dict(state.moved)
    wanted: dict[str, Wanted] = {}
    diagnostics: dict[str, object] = {}
    order = sorted(
        model.light, key=lambda m: (-sum(state.local[m.name].values()) * state.tables[m.name].mean * m.cpu, m.name)
    )
    for m in order:
        want, pooled[m.name], recent[m.name], numbers = _service(slot, m, first)
        if want.voluntary:
            moved[m.name] = slot.observation.slot
        _take(slot, m, want)
        wanted[m.name] = want
        diagnostics[m.name] = numbers
    change = changes(model, state, slot.observation, slot.paths, slot.present, wanted)
    change = _revive_core(slot, change, first)
    diagnostics["targets"] = {name: dict(w.workers) for name, w in wanted.items()}
    state = replace(
        state, pooled=pooled, recent=recent, moved=moved, next=change.next, asked=change.asked, leaving=change.leaving
    )
    return state, change, diagnostics


def _service(
    slot: _Slot, m: Light, first: bool
) -> tuple[Wanted, dict[str, float], dict[str, tuple[int, ...]], dict[str, object]]:
    """One service: its pools, their demand and size, and where the workers stand."""
    state, local, p = slot.state, slot.state.local[m.name], slot.state.parameters
    table = state.tables[m.name]
    groups = demand.pools(slot.model, slot.paths, local, max(p.pool_radius, table.mean / 2))
    rates = {
        measure.pool_name(g): measure.pooled(slot.model, state, m.name, g, slot.observation, slot.slots) for g in groups
    }
    active = [g for g in groups if rates[measure.pool_name(g)] >= LEAST_DEMAND] or list(groups[:1])
    workers: dict[str, int] = {}
    reasons: dict[str, str] = {}
    recent: dict[str, tuple[int, ...]] = {}
    numbers: dict[str, object] = {}
    voluntary = False
    for pool in groups:
        name = measure.pool_name(pool)
        columns, room = _candidates(slot, m, pool)
        sized = _size(slot, m, pool, rates[name], sum(room.values()))
        now = sized.p if pool in active else 0
        count, recent[name] = _damped(slot, m, pool, name, now)
        arrangement = _arrange(slot, m, pool, columns, room, count, len(active) <= 1 and pool in active, first)
        workers.update(arrangement.workers)
        base = (
            f"{m.name}: {rates[name]:.1f}/s in {name} ("
            + ", ".join(f"{g} {local.get(g, 0.0):.1f}/s" for g in pool)
            + f"), x̄ {1e3 * table.mean:.0f} ms: {count} workers, psi {sized.psi:.3f}"
            + f" (target {state.relaxed[m.name]:.2f}) at w {1e3 * state.budgets[m.name]:.0f} ms,"
            + f" Z {state.queues[m.name]:.1f}"
        )
        reasons.update({v: base for v in columns})
        reasons.update({v: f"{base}; {why}" for v, why in arrangement.gains.items()})
        voluntary = voluntary or bool(arrangement.gains)
        numbers[name] = {
            "demand": rates[name], "p": count, "p_now": now, "psi": sized.psi, "short": arrangement.short,
        }  # fmt: skip
    numbers |= {
        "mean": table.mean, "budget": state.budgets[m.name], "epsilon": measure.target(slot.model, m.name),
        "relaxed": state.relaxed[m.name], "Z": state.queues[m.name], "violation_rate": state.rates[m.name],
    }  # fmt: skip
    return Wanted(m.name, workers, reasons, voluntary), rates, recent, numbers


def _size(slot: _Slot, m: Light, pool: Sequence[str], rate: float, room: int) -> Size:
    """p_G for the demand with its safety term and the backlog that waits beyond the workers."""
    state, p = slot.state, slot.state.parameters
    excess = sum(max(0, i.backlog - i.workers) for i in slot.present[m.name] if slot.model.node(i.node).domain in pool)
    asked = demand.safe(rate, slot.model.slot, p.safety, excess / (p.backlog_slots * slot.model.slot))
    limit = max(1, min(room, MOST_WORKERS))
    return size(
        state.tables[m.name], asked, state.budgets[m.name], m.costs, state.queues[m.name], state.relaxed[m.name],
        limit, p.V, p.z0,
    )  # fmt: skip


def _damped(slot: _Slot, m: Light, pool: Sequence[str], name: str, now: int) -> tuple[int, tuple[int, ...]]:
    """Up at once, down to the largest size of the last `surplus_slots` slots; a new pool starts from what it has."""
    length = int(slot.state.parameters.surplus_slots)
    past = slot.state.recent.get(m.name, {}).get(name)
    if past is None:
        have = sum(i.workers for i in slot.present[m.name] if slot.model.node(i.node).domain in pool)
        past = (have,) * (length - 1) if have else ()
    window = (*past, now)[-length:]
    return max(window), window if slot.fresh else past


def _candidates(slot: _Slot, m: Light, pool: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Nodes of the pool worth looking at, those with an instance among them, and the workers each could take."""
    have = {i.node: i.workers for i in slot.present[m.name]}
    room: dict[str, int] = {}
    for g in pool:
        able: list[tuple[float, str]] = []
        for v in slot.model.nodes:
            if v.domain != g or v.name not in slot.cpu:
                continue
            free = min(slot.cpu[v.name] / m.cpu, slot.memory[v.name] / m.memory if m.memory > 0 else MOST_WORKERS)
            workers = have.get(v.name, 0) + max(0, int(free + 1e-9))
            if v.name in have:
                room[v.name] = max(1, workers)
            elif workers >= 1:
                able.append((_service_time(slot, m, v.name), v.name))
                room[v.name] = workers
        for _, name in sorted(able)[CANDIDATES:]:
            del room[name]
    columns = tuple(v.name for v in slot.model.nodes if v.name in room)
    return columns, room


def _service_time(slot: _Slot, m: Light, node: str) -> float:
    """Mean service time on a node, s, at the share of its light CPU now taken (the most that can be busy)."""
    v = slot.model.node(node)
    left = slot.light_cpu[node]
    taken = min(1.0, max(0.0, 1.0 - slot.cpu[node] / left)) if left > 0 else 1.0
    return m.work * laws.mean(m.law) / v.speed * (1.0 + slot.model.contention * taken**2)


def _costs(slot: _Slot, m: Light, pool: Sequence[str], columns: Sequence[str]) -> Array:
    """c_gv, s: path from the senders of g, service on v, path to whatever comes next (its nearest instance)."""
    into, out = demand.edges(slot.model, m.name)
    sources = [demand.representative(slot.model, g) for g in pool]
    weights = {o.name: sum(slot.state.offered.get(o.name, {}).values()) for o in slot.model.ingresses}
    total = sum(weights.values())
    after: list[float] = []
    for v in columns:
        seconds = _service_time(slot, m, v)
        for to, size_, share in out:
            if to == INGRESS:
                back = sum(w * min(NO_PATH, slot.paths.net(v, o, size_)) for o, w in weights.items())
                seconds += share * back / total if total > 0 else 0.0
            else:
                ways = [slot.paths.net(v, i.node, size_) for i in slot.present.get(to, ())]
                seconds += share * min(NO_PATH, min(ways, default=0.0))
        after.append(seconds)
    net = [[min(NO_PATH, slot.paths.net(g, v, into)) for v in columns] for g in sources]
    costs: Array = np.array(net, dtype=float).reshape(len(sources), len(columns)) + np.array(after)
    return costs


def _arrange(
    slot: _Slot,
    m: Light,
    pool: Sequence[str],
    columns: tuple[str, ...],
    room: Mapping[str, int],
    workers: int,
    last: bool,
    first: bool,
) -> layout.Arrangement:
    """Lay out `workers` over the candidate nodes of a pool."""
    state, p, price = slot.state, slot.state.parameters, {v.name: v.price for v in slot.model.nodes}
    current: dict[str, int] = {}
    for i in slot.present[m.name]:
        if i.node in room and i.node not in current:
            current[i.node] = i.workers
    fixed = frozenset(i.node for i in slot.present[m.name] if not i.ready)
    rested = slot.observation.slot - state.moved.get(m.name, -1000) >= p.dwell_slots
    busy = bool(fixed) or any(i.service == m.name for i in slot.observation.instances if i.id in state.leaving)
    problem = layout.Problem(
        columns=columns,
        domain={v.name: v.domain for v in slot.model.nodes},
        costs=_costs(slot, m, pool, columns),
        demand=np.array([state.local[m.name].get(g, 0.0) for g in pool]),
        current=current,
        fixed=fixed,
        room=room,
        keep={v: p.V * price[v] * m.costs.keep for v in columns},
        deploy={v: p.V * price[v] * m.costs.deploy for v in columns},
        delay=p.delay_value / state.budgets[m.name],
        workers=workers,
        horizon=p.move_horizon,
        voluntary=slot.fresh and rested and not busy,
        last=last,
    )
    return layout.settle(problem) if first else layout.arrange(problem)


def _take(slot: _Slot, m: Light, want: Wanted) -> None:
    """What this service will use more is not free for the next."""
    have = {i.node: i.workers for i in slot.present[m.name]}
    for v, workers in want.workers.items():
        more = max(0, workers - have.get(v, 0))
        slot.cpu[v] -= more * m.cpu
        slot.memory[v] -= more * m.memory


def _revive_core(slot: _Slot, change: Changes, first: bool) -> Changes:
    """Core services do not move; but one that has lost its last instance is started again where it fits."""
    if first:
        return change
    used = {s.service for n in slot.model.tasks for s in n.stages}
    for m in slot.model.core:
        if m.name not in used:
            continue
        fits = [v for v in slot.cpu if slot.cpu[v] >= m.cpu and slot.memory[v] >= m.memory]
        if slot.present[m.name] or not fits:
            continue
        node = max(fits, key=lambda v: (slot.model.node(v).speed, slot.cpu[v], v))
        start = Start(f"{m.name}-{change.next}", m.name, node, m.streams)
        change = change.plus(start, f"{m.name}: no instance is left alive", slot.observation.slot)
        slot.cpu[node] -= m.cpu
        slot.memory[node] -= m.memory
    return change
