"""Light control, slot by slot (docs/mathematics.md, section 3): measure, size, lay out, say what changes.

`step` is pure: the same state and observation give the same decision, so a recorded run can be replayed. It is
called once a slot, and again at once when a fault was detected: then with the same slot number, and with the few
measurements since, which change rates only as much as their time is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from controller.decision import Decision, Placement, Start
from controller.light import demand, measure, service
from controller.light.actions import Changes, Wanted, changes
from controller.light.index import index
from controller.light.slot import Slot, open_slot, take
from controller.light.state import Asked, LightState, Parameters
from controller.model import Model
from controller.observation import Observation


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
    slot = open_slot(model, state, observation, slots, fresh)
    if fresh:
        slot.state = measure.renew(model, state, slot.paths, slot.present, observation.slot)
    state, change, diagnostics = _decide(slot)
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
        want, pooled[m.name], recent[m.name] = service.decide(slot, m, first)
        take(slot, m, want)
        wanted[m.name] = want
        diagnostics[m.name] = want.numbers
    change = changes(model, state, slot.observation, slot.paths, slot.present, wanted)
    change = _revive_core(slot, change, first)
    diagnostics["targets"] = {name: dict(w.workers) for name, w in wanted.items()}
    state = replace(
        state, slot=max(state.slot, slot.observation.slot), now=max(state.now, slot.observation.now), pooled=pooled,
        recent=recent, next=change.next, asked=change.asked, leaving=change.leaving,
    )  # fmt: skip
    return state, change, diagnostics


def _revive_core(slot: Slot, change: Changes, first: bool) -> Changes:
    """Core services do not move; but one that has lost its last instance is started again where it fits."""
    if first:
        return change
    model = slot.index.model
    for m in model.core:
        if slot.present[m.name] or not any(s.service == m.name for n in model.tasks for s in n.stages):
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
