"""Light control, slot by slot (docs/mathematics.md, section 3): measure, size, lay out, say what changes.

`step` is pure: the same state and observation give the same decision, so a recorded run can be replayed. It is
called once a slot, and again at once when a fault was detected: then with the same slot number, and with the few
measurements since, which change rates only as much as their time is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from controller.decision import Decision, Placement, Start
from controller.light import demand, layout, measure
from controller.light.actions import Changes, Wanted, changes
from controller.light.index import Index, Ways, index, ways
from controller.light.law import Array, Flags, Whole
from controller.light.measure import Present
from controller.light.sizing import Size, by_mean_rate
from controller.light.sizing import size as size_of
from controller.light.state import Asked, LightState, Parameters
from controller.model import INGRESS, Core, Light, Model, Paths
from controller.observation import InstanceState, Observation

#: Candidate nodes looked at per cluster, the fastest first.
CANDIDATES = 3
#: A pool asked for less than this (requests per s) needs no instance of its own.
LEAST_DEMAND = 0.02
#: Stands for "no path" in a sum, s.
NO_PATH = 1e3
#: An instance that is there may fill so much more of its node's link than a new one; and what all may fill more, in
#: turn, where links are too narrow for the demand.
HELD = 1.5
#: Utilisation at which a worker's traffic is counted when its node's link is looked at.
BUSY = 0.4
STRETCHES = (1.0, 1.5, 2.0, 3.0)
#: Largest pool looked at, workers.
MOST_WORKERS = 400


@dataclass(slots=True)
class _Slot:
    """Working values of one step, by node in the order of the model.

    cpu, memory: what is free (nothing on a dead node); light_cpu: what core services leave of the CPU; into, out: bytes
    per s that are sent to and by the node for the services decided so far; weights: offered
    tasks per ingress.
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
    slots: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Field:
    """Nodes looked at for one service, of all clusters. columns: nodes; the rest by column.

    room: most workers; current: workers now; fixed: not to be closed; after: s of service and of what comes next.
    """

    columns: Whole
    domain: Whole
    room: Whole
    current: Whole
    fixed: Flags
    after: Array
    clusters: int  # of the whole model


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


def _open_slot(
    model: Model, state: LightState, observation: Observation, slots: float = 0.0, fresh: bool = True
) -> _Slot:
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
    return _Slot(
        found, net, state, observation, paths, present, free_cpu, free_memory, left,
        into, out, alive, weights, slots, fresh,
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


def _decide(slot: _Slot, first: bool = False) -> tuple[LightState, Changes, dict[str, object]]:
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
        _take(slot, m, want)
        wanted[m.name] = want
        diagnostics[m.name] = numbers
    change = changes(model, state, slot.observation, slot.paths, slot.present, wanted)
    change = _revive_core(slot, change, first)
    diagnostics["targets"] = {name: dict(w.workers) for name, w in wanted.items()}
    state = replace(state, pooled=pooled, recent=recent, next=change.next, asked=change.asked, leaving=change.leaving)
    return state, change, diagnostics


@dataclass(frozen=True, slots=True)
class _Pool:
    """What one pool of a service gets: sizes wanted in the last slots, and where the workers stand."""

    size: Size
    now: int
    count: int
    recent: tuple[int, ...]
    arrangement: layout.Arrangement


def _service(
    slot: _Slot, m: Light, first: bool
) -> tuple[Wanted, dict[str, float], dict[str, tuple[int, ...]], dict[str, object]]:
    """One service: its pools, their demand and size, and where the workers stand."""
    state, local, found = slot.state, slot.state.local[m.name], slot.index
    table = state.tables[m.name]
    radius = max(state.parameters.pool_radius, table.mean / 2)
    groups = {measure.pool_name(g): g for g in demand.pools(found.domains, slot.ways.between, local, radius)}
    rates = {
        name: measure.pooled(found.model, state, m.name, g, slot.observation, slot.slots) for name, g in groups.items()
    }
    active = [name for name in groups if rates[name] >= LEAST_DEMAND] or list(groups)[:1]
    field = cache(partial(_field, slot, m))
    workers: dict[str, int] = {}
    gains: dict[str, str] = {}
    recent: dict[str, tuple[int, ...]] = {}
    numbers: dict[str, object] = {}
    for name, pool in groups.items():
        got = _pool(slot, m, name, pool, rates[name], active, first, field)
        workers.update(got.arrangement.workers)
        gains.update(got.arrangement.gains)
        recent[name] = got.recent
        numbers[name] = {
            "demand": rates[name], "p": got.count, "p_now": got.now, "psi": got.size.psi,
            "short": got.arrangement.short,
        }  # fmt: skip
    numbers |= {
        "mean": table.mean, "budget": state.budgets[m.name], "epsilon": found.targets[m.name],
        "relaxed": state.relaxed[m.name], "Z": state.queues[m.name], "violation_rate": state.rates[m.name],
    }  # fmt: skip
    return Wanted(m.name, workers, numbers, local, groups, found.domain_of, gains), rates, recent, numbers


def _pool(
    slot: _Slot,
    m: Light,
    name: str,
    pool: Sequence[str],
    rate: float,
    active: Sequence[str],
    first: bool,
    field: Callable[[], _Field],
) -> _Pool:
    """Size and layout of one pool; no look at other nodes while nothing has to change and it is not our turn."""
    homes = slot.index.domain_of
    own = [i for i in slot.present[m.name] if homes[i.node] in pool]
    have = sum(i.workers for i in own)
    size = _size(slot, m, own, rate, MOST_WORKERS)
    now = size.p if name in active else 0
    count, recent = _damped(slot, m, name, now, have)
    covered = len({homes[i.node] for i in own})
    if count == have and covered >= min(2, count) and not first and not _looks(slot, m):
        stay = {i.node: i.workers for i in own}
        if len(stay) == len(own):
            return _Pool(size, now, count, recent, layout.Arrangement(stay))
    rows = np.array([slot.index.domain_row[g] for g in pool])
    part = _part(field(), rows)
    if size.p > have:
        size = _size(slot, m, own, rate, int(part.room.sum()))
        now = size.p if name in active else 0
        count, recent = _damped(slot, m, name, now, have)
    last = len(active) <= 1 and name in active
    return _Pool(size, now, count, recent, _arrange(slot, m, rows, part, count, rate, last, first))


def _looks(slot: _Slot, m: Light) -> bool:
    """Whether this is the slot in which the service asks if another layout pays: each in turn, not all at once."""
    every = max(1, int(slot.state.parameters.look_slots))
    return slot.fresh and (slot.observation.slot + slot.index.turn[m.name]) % every == 0


def _size(slot: _Slot, m: Light, own: Sequence[Present], rate: float, room: int) -> Size:
    """p_G for the demand with its safety term and the backlog that waits beyond the workers."""
    state, p, seconds = slot.state, slot.state.parameters, slot.index.model.slot
    excess = sum(max(0, i.backlog - i.workers) for i in own)
    asked = demand.safe(rate, seconds, p.safety, excess / (p.backlog_slots * seconds))
    limit = max(1, min(room, MOST_WORKERS))
    if p.utilisation > 0.0:
        return by_mean_rate(state.tables[m.name], asked, p.utilisation, limit)
    return size_of(
        state.tables[m.name], asked, state.budgets[m.name], m.costs, state.queues[m.name], state.relaxed[m.name],
        limit, p.V, p.z0,
    )  # fmt: skip


def _damped(slot: _Slot, m: Light, name: str, now: int, have: int) -> tuple[int, tuple[int, ...]]:
    """Up at once, down to the largest size of the last `surplus_slots` slots; a new pool starts from what it has."""
    length = int(slot.state.parameters.surplus_slots)
    past = slot.state.recent.get(m.name, {}).get(name)
    if past is None:
        past = (have,) * (length - 1) if have else ()
    window = (*past, now)[-length:]
    return max(window), window if slot.fresh else past


def _field(slot: _Slot, m: Light) -> _Field:
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
    order = np.lexsort((slot.index.by_name, seconds, ~able, slot.index.domain))
    domains = slot.index.domain[order]
    place = np.arange(n) - np.searchsorted(domains, domains)
    chosen = slot.alive & (have > 0)
    chosen[order[(place < CANDIDATES) & able[order]]] = True
    columns = np.flatnonzero(chosen)
    current = have[columns]
    room = np.where(current > 0, np.maximum(1, workers[columns]), workers[columns])
    after = seconds[columns] + _onward(slot, m, columns)
    return _Field(columns, slot.index.domain[columns], room, current, fixed[columns], after, len(slot.index.domains))


def _part(field: _Field, rows: Whole) -> _Field:
    """Those of the given clusters."""
    if len(rows) == field.clusters:
        return field
    mask = np.isin(field.domain, rows)
    return _Field(
        field.columns[mask], field.domain[mask], field.room[mask],
        field.current[mask], field.fixed[mask], field.after[mask], field.clusters,
    )  # fmt: skip


def _service_times(slot: _Slot, m: Light) -> Array:
    """Mean service time per node, s, at the share of its light CPU now taken (the most that can be busy)."""
    left = slot.light_cpu
    taken = np.where(left > 0, np.clip(1.0 - slot.cpu / np.where(left > 0, left, 1.0), 0.0, 1.0), 1.0)
    seconds: Array = slot.index.means[m.name] / slot.index.speed * (1.0 + slot.index.model.contention * taken**2)
    return seconds


def _onward(slot: _Slot, m: Light, columns: Whole) -> Array:
    """Seconds from each node to whatever comes next: its nearest instance, or back to the ingresses."""
    seconds = np.zeros(len(columns))
    total = float(slot.weights.sum())
    for to, size_, share in slot.index.edges[m.name][1]:
        if to == INGRESS:
            if total > 0:
                ends = np.arange(len(slot.cpu), len(slot.cpu) + len(slot.weights))
                ways_back = np.minimum(NO_PATH, slot.ways.net(columns, ends, size_))
                seconds += share * (ways_back @ slot.weights) / total
        else:
            ends = np.array([slot.index.endpoint[i.node] for i in slot.present.get(to, ())], dtype=np.int64)
            if len(ends):
                seconds += share * np.minimum(NO_PATH, slot.ways.net(columns, ends, size_).min(axis=1))
    return seconds


def _arrange(
    slot: _Slot, m: Light, rows: Whole, field: _Field, workers: int, rate: float, last: bool, first: bool
) -> layout.Arrangement:
    """Lay out `workers` for `rate` requests per s over the candidate nodes of a pool. rows: its clusters."""
    state, p, found = slot.state, slot.state.parameters, slot.index
    sources = found.representatives[rows]
    room = _link_room(slot, m, field, workers, rate)
    net = np.minimum(NO_PATH, slot.ways.net(sources, field.columns, found.edges[m.name][0]))
    busy = bool(field.fixed.any()) or any(
        i.service == m.name for i in slot.observation.instances if i.id in state.leaving
    )
    price = p.V * found.price[field.columns]
    local = state.local[m.name]
    problem = layout.Problem(
        columns=tuple(found.model.nodes[v].name for v in field.columns.tolist()),
        rank=found.by_name[field.columns],
        domain=field.domain,
        costs=net + field.after + _congestion(slot, m, field, rate / max(1, workers)),
        demand=np.array([local.get(found.domains[g], 0.0) for g in rows.tolist()]),
        current=field.current,
        fixed=field.fixed.tolist(),
        room=room,
        keep=price * m.costs.keep,
        deploy=price * m.costs.deploy,
        delay=p.delay_value / state.budgets[m.name],
        workers=workers,
        horizon=p.move_horizon,
        voluntary=_looks(slot, m) and not busy,
        last=last,
    )
    return layout.settle(problem) if first else layout.arrange(problem)


def _link_room(slot: _Slot, m: Light, field: _Field, workers: int, rate: float) -> Whole:
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


def _congestion(slot: _Slot, m: Light, field: _Field, rate: float) -> Array:
    """Seconds a request waits for a node's own link, in and out, as M/M/1 would with `rate` more requests per s."""
    seconds = np.zeros(len(field.columns))
    for used, width, size in (
        (slot.into, slot.ways.into, slot.index.edges[m.name][0]),
        (slot.out, slot.ways.out, slot.index.sent[m.name]),
    ):
        wide = width[field.columns]
        busy = np.minimum(0.95, (used[field.columns] + rate * size) / wide)
        seconds += size / wide * busy / (1.0 - busy)
    return seconds


def _take(slot: _Slot, m: Light, want: Wanted) -> None:
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


def _revive_core(slot: _Slot, change: Changes, first: bool) -> Changes:
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
