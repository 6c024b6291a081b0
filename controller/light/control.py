"""Light control, slot by slot (docs/mathematics.md, section 3): measure, size, lay out, say what changes.

`step` is pure: the same state and observation give the same decision, so a recorded run can be replayed. It is
called once a slot, and again at once when a fault was detected: then with the same slot number, and with the few
measurements since, which change rates only as much as their time is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from controller.decision import Decision, Placement, Start
from controller.light import demand, layout, measure
from controller.light.actions import Changes, Wanted, changes
from controller.light.index import index
from controller.light.law import Whole
from controller.light.measure import Present
from controller.light.sites import MOST_WORKERS, Field, field_of, offers
from controller.light.sizing import Size, by_mean_rate
from controller.light.sizing import size as size_of
from controller.light.slot import Slot, open_slot, take
from controller.light.state import Asked, LightState, Parameters
from controller.model import Light, Model
from controller.observation import Observation

#: A pool asked for less than this (requests per s) needs no instance of its own.
LEAST_DEMAND = 0.02


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
    epsilon = {m: index(model).targets[m] for m in light}
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
    state, change, diagnostics = _decide(open_slot(model, state, nothing), first=True)
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
    slot = open_slot(model, state, observation, slots, fresh)
    if fresh:
        slot.state = measure.renew(model, state, slot.paths, slot.present, observation.slot)
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


def _decide(slot: Slot, first: bool = False) -> tuple[LightState, Changes, dict[str, object]]:
    """Sizes and layouts of all light services, largest offered load first, as actions and the state after them."""
    model, state = slot.index.model, slot.state
    pooled, recent = dict(state.pooled), dict(state.recent)
    wanted: dict[str, Wanted] = {}
    diagnostics: dict[str, object] = {}
    order = sorted(
        model.light, key=lambda m: (-sum(state.local[m.name].values()) * state.tables[m.name].mean * m.cpu, m.name)
    )
    for m in order:
        want, pooled[m.name], recent[m.name], numbers = _service(slot, m, first)
        take(slot, m, want)
        wanted[m.name] = want
        diagnostics[m.name] = numbers
    change = changes(model, state, slot.observation, slot.paths, slot.present, wanted)
    change = _revive_core(slot, change, first)
    diagnostics["targets"] = {name: dict(w.workers) for name, w in wanted.items()}
    state = replace(state, pooled=pooled, recent=recent, next=change.next, asked=change.asked, leaving=change.leaving)
    return state, change, diagnostics


@dataclass(slots=True)
class _Pool:
    """Clusters that share workers for `rate` requests per s, and what stands there: workers by node.

    have: workers of all instances, count of them; excess: requests that wait beyond the workers.
    """

    name: str
    clusters: Sequence[str]
    rate: float
    have: int = 0
    count: int = 0
    excess: int = 0
    stay: dict[str, int] = field(default_factory=dict)
    covered: set[str] = field(default_factory=set)

    def add(self, i: Present, cluster: str) -> None:
        self.have += i.workers
        self.count += 1
        self.excess += max(0, i.backlog - i.workers)
        self.stay[i.node] = i.workers
        self.covered.add(cluster)


class _Sites:
    """`field_of` a service, when somebody asks."""

    __slots__ = ("_field", "_of")

    def __init__(self, slot: Slot, m: Light) -> None:
        self._of = slot, m
        self._field: Field | None = None

    def __call__(self) -> Field:
        if self._field is None:
            self._field = field_of(*self._of)
        return self._field


@dataclass(frozen=True, slots=True)
class _Target:
    """What one pool of a service gets: size, sizes wanted in the last slots, and workers by node.

    gains: why a change that was not forced pays, by node; short: workers that found no room.
    """

    size: Size
    now: int
    count: int
    recent: tuple[int, ...]
    workers: Mapping[str, int]
    gains: Mapping[str, str] = field(default_factory=dict)
    short: int = 0


def _service(
    slot: Slot, m: Light, first: bool
) -> tuple[Wanted, dict[str, float], dict[str, tuple[int, ...]], dict[str, object]]:
    """One service: its pools, their demand and size, and where the workers stand."""
    state, local, found = slot.state, slot.state.local[m.name], slot.index
    table = state.tables[m.name]
    radius = max(state.parameters.pool_radius, table.mean / 2)
    groups = {measure.pool_name(g): g for g in demand.pools(found.domains, slot.ways.near(radius), local)}
    rates = {
        name: measure.pooled(found.model, state, m.name, g, slot.observation, slot.slots) for name, g in groups.items()
    }
    active = frozenset(name for name in groups if rates[name] >= LEAST_DEMAND) or frozenset(list(groups)[:1])
    pool_of = {g: name for name, pool in groups.items() for g in pool}
    pools = {name: _Pool(name, g, rates[name]) for name, g in groups.items()}
    for i in slot.present[m.name]:
        cluster = found.domain_of[i.node]
        pools[pool_of[cluster]].add(i, cluster)
    sites = _Sites(slot, m)
    workers: dict[str, int] = {}
    gains: dict[str, str] = {}
    recent: dict[str, tuple[int, ...]] = {}
    numbers: dict[str, object] = {}
    for k, pool in enumerate(pools.values()):
        got = _target(slot, m, pool, active, first, _looks(slot, m, k), sites)
        workers.update(got.workers)
        gains.update(got.gains)
        recent[pool.name] = got.recent
        numbers[pool.name] = {
            "demand": pool.rate, "p": got.count, "p_now": got.now, "psi": got.size.psi, "short": got.short,
        }  # fmt: skip
    numbers |= {
        "mean": table.mean, "budget": state.budgets[m.name], "epsilon": found.targets[m.name],
        "relaxed": state.relaxed[m.name], "Z": state.queues[m.name], "violation_rate": state.rates[m.name],
    }  # fmt: skip
    return Wanted(m.name, workers, numbers, local, groups, pool_of, found.domain_of, gains), rates, recent, numbers


def _target(
    slot: Slot, m: Light, pool: _Pool, active: frozenset[str], first: bool, looks: bool, sites: _Sites
) -> _Target:
    """Size and layout of one pool; no look at other nodes while nothing has to change and it is not our turn."""
    size = _size(slot, m, pool, MOST_WORKERS)
    now = size.p if pool.name in active else 0
    count, recent = _damped(slot, m, pool, now)
    settled = count == pool.have and len(pool.covered) >= min(2, count) and len(pool.stay) == pool.count
    if settled and not first and not looks:
        return _Target(size, now, count, recent, pool.stay)
    rows = np.array([slot.index.domain_row[g] for g in pool.clusters])
    if size.p > pool.have and size.p > (room := int(sites().places[rows].sum())):
        size = _size(slot, m, pool, room)
        now = size.p if pool.name in active else 0
        count, recent = _damped(slot, m, pool, now)
    last = len(active) <= 1 and pool.name in active
    changes = layout.ROUNDS if first else 1 if looks and m.name not in slot.leaving else 0
    got, columns = _arrange(slot, m, pool, rows, sites(), count, last, changes)
    nodes = slot.index.model.nodes
    return _Target(
        size, now, count, recent, {nodes[columns[v]].name: n for v, n in got.workers.items()},
        {nodes[columns[v]].name: why for v, why in got.gains.items()}, got.short,
    )  # fmt: skip


def _looks(slot: Slot, m: Light, pool: int) -> bool:
    """Whether this is the slot in which a pool asks if another layout pays: each in turn, not all at once."""
    every = max(1, int(slot.state.parameters.look_slots))
    return slot.fresh and (slot.observation.slot + slot.index.turn[m.name] + pool) % every == 0


def _size(slot: Slot, m: Light, pool: _Pool, room: int) -> Size:
    """p_G for the demand with its safety term and the backlog that waits beyond the workers."""
    state, p, seconds = slot.state, slot.state.parameters, slot.index.model.slot
    asked = demand.safe(pool.rate, seconds, p.safety, pool.excess / (p.backlog_slots * seconds))
    limit = max(1, min(room, MOST_WORKERS))
    if p.utilisation > 0.0:
        return by_mean_rate(state.tables[m.name], asked, p.utilisation, limit)
    return size_of(
        state.tables[m.name], asked, state.budgets[m.name], m.costs, state.queues[m.name], state.relaxed[m.name],
        limit, p.V, p.z0,
    )  # fmt: skip


def _damped(slot: Slot, m: Light, pool: _Pool, now: int) -> tuple[int, tuple[int, ...]]:
    """Up at once, down to the largest size of the last `surplus_slots` slots; a new pool starts from what it has."""
    length = int(slot.state.parameters.surplus_slots)
    past = slot.state.recent.get(m.name, {}).get(pool.name)
    if past is None:
        past = (pool.have,) * (length - 1) if pool.have else ()
    window = (*past, now)[-length:]
    return max(window), window if slot.fresh else past


def _arrange(
    slot: Slot, m: Light, pool: _Pool, rows: Whole, sites: Field, workers: int, last: bool, changes: int
) -> tuple[layout.Arrangement, Whole]:
    """Lay out `workers` for the pool, whose clusters are `rows`; with the nodes that the columns are.

    No change but the forced ones while some instance here is not ready.
    """
    state, p, found = slot.state, slot.state.parameters, slot.index
    there = offers(slot, m, sites, rows, workers, pool.rate)
    price = p.V * found.price[there.columns]
    local = state.local[m.name]
    problem = layout.Problem(
        rank=found.by_name[there.columns],
        domain=there.domain,
        costs=there.costs,
        demand=np.array([local.get(g, 0.0) for g in pool.clusters]),
        current=there.current,
        fixed=there.fixed,
        room=there.room,
        keep=price * m.costs.keep,
        deploy=price * m.costs.deploy,
        delay=p.delay_value / state.budgets[m.name],
        workers=workers,
        horizon=p.move_horizon,
        last=last,
    )
    if changes == 1 and there.fixed.any():
        changes = 0
    return layout.arrange(problem, changes), there.columns


def _revive_core(slot: Slot, change: Changes, first: bool) -> Changes:
    """Core services do not move; but one that has lost its last instance is started again where it fits."""
    if first:
        return change
    model = slot.index.model
    used = {s.service for n in model.tasks for s in n.stages}
    for m in model.core:
        if m.name not in used or slot.present[m.name]:
            continue
        fits = np.flatnonzero(slot.alive & (slot.cpu >= m.cpu) & (slot.memory >= m.memory)).tolist()
        if not fits:
            continue
        v = max(fits, key=lambda v: (model.nodes[v].speed, slot.cpu[v], model.nodes[v].name))
        start = Start(f"{m.name}-{change.next}", m.name, model.nodes[v].name, m.streams)
        change = change.plus(start, f"{m.name}: no instance is left alive", slot.observation.slot)
        slot.cpu[v] -= m.cpu
        slot.memory[v] -= m.memory
    return change
