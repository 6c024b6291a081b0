"""One light service in one slot: its pools, their demand and size, and where the workers stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from controller.light import demand, layout, loops, measure
from controller.light.actions import Wanted
from controller.light.law import Array, Whole
from controller.light.sites import MOST_WORKERS, Field, field_of, offers
from controller.light.sizing import by_mean_rate, sizes
from controller.light.slot import Slot
from controller.model import Light

#: A pool asked for less than this (requests per s) needs no instance of its own.
LEAST_DEMAND = 0.02


@dataclass(frozen=True, slots=True)
class _Pools:
    """Clusters that share workers, and what stands there; by pool unless said.

    local: demand by cluster, per s; members: clusters, those of each pool from `first`; clusters: their names, by that
    of the pool; rates: λ_G, per s; asked: the same with safety term and the backlog that waits beyond the workers;
    active: whether it needs instances of its own; there: workers, requests beyond them, clusters with an instance,
    whether two instances share a node; of: pool of each instance.
    """

    local: Array
    members: Whole
    first: Whole
    names: list[str]
    clusters: dict[str, tuple[str, ...]]
    rates: list[float]
    asked: list[float]
    active: list[bool]
    there: list[list[int]]
    of: list[int]


class _Plan(NamedTuple):
    """Size p of a pool and its ψ, what of it is wanted now, workers after damping, and the sizes of the last slots."""

    p: int
    psi: float
    now: int
    workers: int
    recent: tuple[int, ...]


def decide(slot: Slot, m: Light, opening: bool = False) -> tuple[Wanted, dict[str, float], dict[str, tuple[int, ...]]]:
    """Workers by node, and of every pool its demand, per s, and the sizes wanted in the last slots.

    opening: the first slot, in which all is laid out at once. Later no look at other nodes while nothing has to change
    in a pool and it is not its turn.
    """
    pools = _pools(slot, m)
    plans = [_plan(slot, m, pools, k, *found) for k, found in enumerate(_sizes(slot, m, pools.asked))]
    due = [k for k, plan in enumerate(plans) if opening or not _settled(pools, k, plan) or _looks(slot, m, k)]
    layouts: dict[int, layout.Layout] = {}
    if due:
        field = field_of(slot, m)
        for k in due:
            plans[k] = _within(slot, m, pools, k, plans[k], field)
        layouts = _laid_out(slot, m, pools, due, plans, field, opening)
    standing: list[dict[str, int]] = [{} for _ in plans]
    for i, k in zip(slot.present[m.name], pools.of, strict=True):
        standing[k][i.node] = i.workers
    workers: dict[str, int] = {}
    gains: dict[str, str] = {}
    for k, there in enumerate(standing):
        workers.update(layouts[k].workers if k in layouts else there)
        if k in layouts:
            gains.update(layouts[k].gains)
    want = Wanted(
        m.name, workers, _numbers(slot, m, pools, plans, layouts), slot.state.local[m.name], pools.clusters,
        slot.index.domain_of, gains,
    )  # fmt: skip
    rates = dict(zip(pools.names, pools.rates, strict=True))
    return want, rates, dict(zip(pools.names, [plan.recent for plan in plans], strict=True))


def _numbers(
    slot: Slot, m: Light, pools: _Pools, plans: list[_Plan], layouts: Mapping[int, layout.Layout]
) -> dict[str, object]:
    """What the decision was made of, by pool and of the service. short: workers that found no room."""
    numbers: dict[str, object] = {}
    for k, (name, plan) in enumerate(zip(pools.names, plans, strict=True)):
        short = max(0, plan.workers - sum(layouts[k].workers.values())) if k in layouts else 0
        numbers[name] = {
            "demand": pools.rates[k], "p": plan.workers, "p_now": plan.now, "psi": plan.psi, "short": short
        }  # fmt: skip
    state = slot.state
    return numbers | {
        "mean": state.tables[m.name].mean, "budget": state.budgets[m.name], "epsilon": slot.index.targets[m.name],
        "relaxed": state.relaxed[m.name], "Z": state.queues[m.name], "violation_rate": state.rates[m.name],
    }  # fmt: skip


def _pools(slot: Slot, m: Light) -> _Pools:
    """Who asks for the service, and what of it is there."""
    state, found, p, seconds = slot.state, slot.index, slot.state.parameters, slot.index.model.slot
    local = np.array([state.local[m.name][g] for g in found.domains])
    near = slot.ways.near(max(p.pool_radius, state.tables[m.name].mean / 2))
    at, workers, _, backlog = slot.stand[m.name]
    members, first, stands, of = loops.pools(local, near, found.domains_by_name, found.domain, at, workers, backlog)
    inside, begin = [found.domains[g] for g in members.tolist()], first.tolist()
    groups = [tuple(inside[a:b]) for a, b in pairwise(begin)]
    clusters = {measure.pool_name(g): g for g in groups}
    rates = measure.pooled(found.model, state, m.name, clusters, slot.observation, slot.slots)
    there = stands.tolist()
    asked = [
        demand.safe(rate, seconds, p.safety, waits / (p.backlog_slots * seconds))
        for rate, (_, waits, _, _) in zip(rates, there, strict=True)
    ]
    active = [rate >= LEAST_DEMAND for rate in rates]
    active[0] |= not any(active)
    return _Pools(local, members, first, list(clusters), clusters, rates, asked, active, there, of.tolist())


def _sizes(slot: Slot, m: Light, asked: list[float], limit: int = MOST_WORKERS) -> list[tuple[int, float]]:
    """p_G and ψ(p_G) for each demand (per s)."""
    state, p, table, demands = slot.state, slot.state.parameters, slot.state.tables[m.name], np.array(asked)
    if p.utilisation > 0.0:
        return by_mean_rate(table, demands, p.utilisation, limit)
    return sizes(
        table, demands, state.budgets[m.name], m.costs, state.queues[m.name], state.relaxed[m.name], limit, p.V, p.z0
    )


def _plan(slot: Slot, m: Light, pools: _Pools, k: int, p: int, psi: float) -> _Plan:
    """Up at once, down to the largest size of the last `surplus_slots` slots; a new pool starts from what it has."""
    length = int(slot.state.parameters.surplus_slots)
    now = p if pools.active[k] else 0
    past = slot.state.recent.get(m.name, {}).get(pools.names[k])
    if past is None:
        have = pools.there[k][0]
        past = (have,) * (length - 1) if have else ()
    window = (*past, now)[-length:]
    return _Plan(p, psi, now, max(window), window if slot.fresh else past)


def _settled(pools: _Pools, k: int, plan: _Plan) -> bool:
    """Whether what stands in a pool is what is wanted: as many workers, one instance a node, two clusters covered."""
    have, _, covered, shared = pools.there[k]
    return plan.workers == have and covered >= min(2, plan.workers) and not shared


def _looks(slot: Slot, m: Light, k: int) -> bool:
    """Whether this is the slot in which a pool asks if another layout pays: each in turn, not all at once."""
    every = max(1, int(slot.state.parameters.look_slots))
    return slot.fresh and (slot.observation.slot + slot.index.turn[m.name] + k) % every == 0


def _within(slot: Slot, m: Light, pools: _Pools, k: int, plan: _Plan, field: Field) -> _Plan:
    """The plan of a pool that wants more than it has: no more than there is room for."""
    if plan.p <= pools.there[k][0]:
        return plan
    room = int(field.places[pools.members[pools.first[k] : pools.first[k + 1]]].sum())
    if plan.p <= room:
        return plan
    return _plan(slot, m, pools, k, *_sizes(slot, m, [pools.asked[k]], min(room, MOST_WORKERS))[0])


def _laid_out(
    slot: Slot, m: Light, pools: _Pools, due: list[int], plans: list[_Plan], field: Field, opening: bool
) -> dict[int, layout.Layout]:
    """Where the workers of the pools `due` stand."""
    rows, workers = np.array(due), np.array([plan.workers for plan in plans])
    there = offers(slot, m, field, pools.members, pools.first, rows, workers, np.array(pools.rates))
    only = pools.active.index(True) if sum(pools.active) == 1 else -1
    most = layout.ROUNDS if opening else 0 if m.name in slot.leaving else 1
    changes = np.array([most if opening or _looks(slot, m, k) else 0 for k in due])
    found = layout.arrange(
        slot, m, there, pools.local, pools.members, pools.first, rows, workers, only, changes
    )  # fmt: skip
    return dict(zip(due, found, strict=True))
