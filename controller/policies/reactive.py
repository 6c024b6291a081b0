"""Reactive: what a Kubernetes cluster with its documented defaults would do.

Core: each service gets the fewest replicas whose streams carry `plan_load` times its demand at `core_utilisation`,
two at least, spread as the scheduler spreads: in the domain with the fewest replicas of the service, there on the node
with the largest free share of CPU and memory. Light: pods of `pod_workers` workers, two at least, spread alike. A
horizontal autoscaler every `sync` seconds wants ⌈pods · utilisation / target⌉ of them; within `tolerance` it does
nothing, at most it doubles (or adds four), and it goes down only to the most it wanted within `down` seconds. Pods that
are not ready yet count as idle. Senders take replicas in turn, as behind a service's virtual address. What ran on a
dead node is replaced once it has been dead for `evict` seconds.

Source of the defaults: the Kubernetes documentation (sync period 15 s, tolerance 0.1, downscale stabilisation 300 s and
none upwards, 100 % or 4 pods per period, tolerationSeconds 300). target and pod_workers are tuned (docs/policies.md).
What is as slow as that by nature is slow here too; `reactive_fast` is the autoscaler that is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.decision import Action, Decision, Drain, Placement, Start
from controller.light import demand
from controller.light import law as laws
from controller.light.index import index
from controller.model import Core, Light, Model
from controller.observation import Observation
from controller.placement import Infeasible
from controller.policies._fixed import Room, beside_core, heuristic
from controller.policies._parameters import build, check

#: Fewest replicas of anything; most the autoscaler may add in one sync whatever there is.
LEAST = 2
BURST = 4


@dataclass(frozen=True, slots=True)
class Parameters:
    """In the text above; seconds, workers and utilisations (0..1)."""

    plan_load: float = 3.0
    core_utilisation: float = 0.75
    pod_workers: int = 2
    target: float = 0.6
    tolerance: float = 0.1
    sync: float = 15.0
    down: float = 300.0
    evict: float = 300.0
    begin_load: float = 1.0
    light_cpu_share: float = 0.4  # share of every node's CPU that core services leave to light ones


@dataclass(frozen=True, slots=True)
class Scaler:
    """now, synced: s, of the last step and sync; next: number of the next instance; pods: those this policy wants to
    exist, {id: (service, node)}; wanted: by service, (s, pods) of past syncs; busy: worker-seconds served since the
    last sync; dead: {node: s since when}.
    """

    parameters: Parameters
    now: float = 0.0
    synced: float = 0.0
    next: int = 0
    pods: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    wanted: Mapping[str, tuple[tuple[float, int], ...]] = field(default_factory=dict)
    busy: Mapping[str, float] = field(default_factory=dict)
    dead: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reactive:
    """Spread, and scale by utilisation."""

    name: str = "reactive"
    routing: str = "round_robin"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room, found = Room.of(model, p.light_cpu_share), {}
        rates = demand.task_rates(model, p.plan_load)
        for m in model.core:
            visits = {n.name: sum(s.service == m.name for s in n.stages) for n in model.tasks}
            asked = sum(rate * visits[n] for by_type in rates.values() for n, rate in by_type.items())
            found[m.name] = _replicas(model, m, asked, p.core_utilisation, room)
        return heuristic(found, "replicas by mean demand, spread over domains and free resources")

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Scaler, Decision]:
        check(self.name, parameters, Parameters())
        p = build(Parameters(), parameters)
        room, rows = beside_core(model, placement)
        asked = demand.planned(model, placement, demand.task_rates(model, p.begin_load))
        for m in model.light:
            a = sum(asked[m.name].values()) * m.work * laws.mean(m.law)
            hosts: list[str] = []
            for _ in range(max(LEAST, math.ceil(a / p.target / p.pod_workers))):
                node = _spread(model, m, room, hosts, p.pod_workers)
                if node is None:
                    break
                room.take(m, node, p.pod_workers)
                hosts.append(node)
                rows.append((Start(f"{m.name}-{len(rows)}", m.name, node, p.pod_workers), f"{m.name}: first replicas"))
            if not hosts:
                raise Infeasible(f"policy reactive: {room.lack(m)}")
        pods = {start.id: (start.service, start.node) for start, _ in rows}
        state = Scaler(p, next=len(rows), pods=pods)
        return state, Decision(0, tuple(a for a, _ in rows), tuple(r for _, r in rows))

    def step(self, model: Model, state: Scaler, observation: Observation) -> tuple[Scaler, Decision]:
        p, now = state.parameters, observation.now
        busy = {m.name: state.busy.get(m.name, 0.0) + sum(observation.services.get(m.name, ())) for m in model.light}
        dead = {v: state.dead.get(v, now) for v in observation.dead}
        state = replace(state, now=now, busy=busy, dead=dead)
        if now - state.synced < p.sync - model.slot / 2:
            return state, Decision(observation.slot)
        return _sync(model, state, observation)


def _sync(model: Model, state: Scaler, observation: Observation) -> tuple[Scaler, Decision]:
    """One period of the autoscaler and of the controller that replaces what was evicted."""
    p, now = state.parameters, observation.now
    evicted = {v for v, since in state.dead.items() if now - since >= p.evict}
    pods = {i: at for i, at in state.pods.items() if at[1] not in evicted}
    room = _room(model, pods, observation, p.pod_workers)
    rows: list[tuple[Action, str]] = []
    wanted = dict(state.wanted)
    next_ = state.next
    for m in model.services():
        mine = [i for i, at in pods.items() if at[0] == m.name]
        if isinstance(m, Core):
            count, why = sum(at[0] == m.name for at in state.pods.values()), "a replica was evicted"
        else:
            raw, why = _recommended(m, state, len(mine), now - state.synced)
            window = [(t, n) for t, n in wanted.get(m.name, ()) if now - t <= p.down] + [(now, raw)]
            wanted[m.name] = tuple(window)
            count = max(raw, min(len(mine), max(n for _, n in window)))
        workers = m.streams if isinstance(m, Core) else p.pod_workers
        for _ in range(count - len(mine)):
            node = _spread(model, m, room, [pods[i][1] for i in mine], workers)
            if node is None:
                break
            start = Start(f"{m.name}-{next_}", m.name, node, workers)
            next_ += 1
            room.take(m, node, workers)
            pods[start.id] = (m.name, node)
            mine.append(start.id)
            rows.append((start, f"{m.name}: {why}"))
        for i in _leaving(mine, pods, observation, len(mine) - count):
            del pods[i]
            rows.append((Drain(i), f"{m.name}: {why}"))
    state = replace(state, synced=now, next=next_, pods=pods, wanted=wanted, busy={})
    return state, Decision(observation.slot, tuple(a for a, _ in rows), tuple(r for _, r in rows))


def _recommended(m: Light, state: Scaler, pods: int, seconds: float) -> tuple[int, str]:
    """Pods by utilisation over the last period, and the sentence that says so."""
    p = state.parameters
    utilisation = state.busy.get(m.name, 0.0) / (seconds * max(1, pods) * p.pod_workers)
    ratio = utilisation / p.target
    why = f"{pods} pods at {100 * utilisation:.0f} % of their workers, target {100 * p.target:.0f} %"
    if abs(ratio - 1.0) <= p.tolerance:
        return max(LEAST, pods), why
    return max(LEAST, min(math.ceil(pods * ratio), max(2 * pods, pods + BURST))), why


def _leaving(mine: list[str], pods: Mapping[str, tuple[str, str]], seen: Observation, count: int) -> list[str]:
    """Which pods go: those not ready first, then from the node with the most of them, then the newest."""
    ready = {i.id: i.ready for i in seen.instances}
    left, gone = list(mine), []
    for _ in range(count):
        nodes = [pods[i][1] for i in left]
        worst = max(left, key=lambda i: (not ready.get(i, False), nodes.count(pods[i][1]), int(i.rsplit("-", 1)[1])))
        left.remove(worst)
        gone.append(worst)
    return gone


def _room(model: Model, pods: Mapping[str, tuple[str, str]], seen: Observation, workers: int) -> Room:
    """What is free: nominal less what runs, drains or was asked for; nothing on dead nodes."""
    room, services = Room.of(model), {m.name: m for m in model.services()}
    here = {i.id: (i.service, i.node, i.workers) for i in seen.instances}
    asked = {i: (m, v, workers) for i, (m, v) in pods.items()}
    for m, v, n in (asked | here).values():
        room.take(services[m], v, n)
    for v in seen.dead:
        room.cpu[v] = room.memory[v] = 0.0
    return room


def _replicas(model: Model, m: Core, rate: float, utilisation: float, room: Room) -> tuple[str, ...]:
    """Nodes of a core service: until its streams carry `rate` per s at `utilisation`."""
    speed = {v.name: v.speed for v in model.nodes}
    hosts: list[str] = []
    while len(hosts) < LEAST or sum(speed[v] for v in hosts) * m.streams / m.work * utilisation < rate:
        node = _spread(model, m, room, hosts, 1)
        if node is None:
            break
        room.take(m, node)
        hosts.append(node)
    if not hosts:
        raise Infeasible(f"policy reactive: {room.lack(m)}")
    return tuple(hosts)


def _spread(model: Model, m: Core | Light, room: Room, hosts: list[str], workers: int) -> str | None:
    """The next node: fewest replicas in the domain, then on the node, then the largest share of it free."""
    home = index(model).domain_of
    domains = [home[v] for v in hosts]
    able = [v for v in model.nodes if room.fits(m, v.name, workers) and (isinstance(m, Light) or v.name not in hosts)]
    found = min(
        able,
        key=lambda v: (
            domains.count(v.domain), hosts.count(v.name),
            -(room.cpu[v.name] / v.cpu + room.memory[v.name] / v.memory), v.name,
        ),
        default=None,
    )  # fmt: skip
    return None if found is None else found.name


POLICY = Reactive()
