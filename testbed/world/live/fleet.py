"""The instances of a run: started, announced, resized, drained and moved through the Docker API, make before break.

Actions of one decision run on worker threads; the control loop never waits for Docker. What happened becomes an
event with planned and actual time. A move is over when its drain is.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from controller.decision import Action, Decision, Drain, Migrate, Resize, Start
from controller.light.law import mean as law_mean
from controller.model import Core, Light
from controller.observation import InstanceState
from testbed.errors import CannotRun, ShaketableError
from testbed.world import memory
from testbed.world.base import Bed, Event
from testbed.world.darkness import Darkness
from testbed.world.live.docker_hosts import GATEWAY, STUB, DockerHosts
from testbed.world.live.hub import Hub, TargetSpec, wire_types
from testbed.world.live.names import GATEWAY_PORT, SERVICE_PORT, address
from testbed.world.spare import light_cpu
from testbed.world.troubles import Troubles

READY_TIMEOUT = 30.0  # real s beyond the modelled start-up until an instance must have said ready
BUSY_SHARE = 0.6  # of the machine's cores for busy services; the rest carries packets and control
STOP_TRIES = 6  # to stop a container
STOP_PAUSE = 0.2  # real s between them
SETTLE = 5.0  # real s that actions under way get when the fleet is closed
BUSY_SLOTS = 256  # instances of one node at a time that can be counted (docs/wire.md)
PORTS = 50_000  # of a node: so many instances later, a port is used again


@dataclass
class Instance:
    """One instance and where it stands: starting → ready → draining → (gone). Times nominal, s.

    slot: in the node's busy counter; given to another once this one's container is gone, and -1 from then on.
    """

    id: str
    service: str
    node: str
    port: int
    workers: int
    slot: int
    state: str = "starting"
    asked_at: float = 0.0


def k_cpu(bed: Bed) -> float:
    """Nominal cores per real one (design.md §3, CPU).

    Idle services wait instead of computing, so 1 costs nothing; busy ones must fit what this machine has, with
    BUSY_SHARE of it left to the nodes.
    """
    run = bed.scenario.run
    if run.k_cpu is not None:
        return run.k_cpu
    total = sum(v.cpu for v in bed.model.nodes)
    return 1.0 if run.mode == "idle" else max(total / (BUSY_SHARE * len(os.sched_getaffinity(0))), 1.0)


class Fleet:
    """clock: nominal s since t = 0. note: receives events."""

    def __init__(
        self, bed: Bed, hub: Hub, hosts: DockerHosts, clock: Callable[[], float], note: Callable[[Event], None]
    ) -> None:
        self.bed, self.hub, self.hosts, self.clock, self.note = bed, hub, hosts, clock, note
        self.instances: dict[str, Instance] = {}
        self._lock = threading.RLock()
        self._ports: dict[str, int] = defaultdict(int)
        self._slots: dict[str, set[int]] = defaultdict(set)  # in use
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="fleet")
        self._pending: list[Future[None]] = []
        self._types = wire_types(bed.model.tasks, bed.scenario.run.dilate, bed.scenario.run.shrink)
        every = [*bed.topology.nodes, *bed.topology.ingresses]
        self.addresses = {h.name: address(i) for i, h in enumerate(every)}
        self._light_cpu = light_cpu(bed)
        self._closing = False
        self.down_nodes: set[str] = set()  # crashed: nothing starts there
        self.troubles = Troubles(bed.scenario.run.mode == "idle")
        self._dark = Darkness({m.name for m in bed.model.services()})

    # -- coming up ---------------------------------------------------------------------------------------------------

    def begin(self, starts: Sequence[Start]) -> None:
        """Gateways and the initial instances, all at once; returns when every one is ready."""
        gateways = [o.name for o in self.bed.topology.ingresses]
        jobs = [self._pool.submit(self._launch_gateway, name) for name in gateways]
        for start in starts:
            self._reserve(start)
        jobs += [self._pool.submit(self._launch, s, True) for s in starts]
        for job in jobs:
            job.result()
        self.hub.wait_ready([*gateways, *(s.id for s in starts)], READY_TIMEOUT)
        for start in starts:
            self.instances[start.id].state = "ready"
        self._announce()

    def _common(self, node: str) -> dict[str, Any]:
        run = self.bed.scenario.run
        return {"types": self._types, "node": node, "queue": run.queue, "early_drop": run.early_drop, "origin": None}

    def _launch_gateway(self, name: str) -> None:
        config = self._common(name) | {
            "port": GATEWAY_PORT,
            "admission": self.bed.scenario.run.admission,
            "name": name,
            "address": self.addresses[name],
        }
        token = self.hub.expect(name, "gateway", config)
        self.hosts.start_service(name, name, GATEWAY, self._environment(name, token))

    @staticmethod
    def _environment(name: str, token: str) -> dict[str, str]:
        return {"SHAKETABLE_ID": name, "SHAKETABLE_TOKEN": token}

    def _reserve(self, start: Start) -> Instance:
        """Port and busy slot of a new instance; it exists (and costs) from here on."""
        with self._lock:
            used = self._slots[start.node]
            slot = next((k for k in range(BUSY_SLOTS) if k not in used), None)
            if slot is None:
                raise CannotRun(f"node {start.node}: over {BUSY_SLOTS} instances at a time; place fewer there")
            used.add(slot)
            port = SERVICE_PORT + self._ports[start.node] % PORTS
            self._ports[start.node] += 1
            instance = Instance(start.id, start.service, start.node, port, start.workers, slot, asked_at=self.clock())
            self.instances[start.id] = instance
            return instance

    def _vacate(self, instance: Instance) -> None:
        """Its container is gone: its slot is free, and counts nothing (one that was killed was counting)."""
        with self._lock:
            if instance.slot < 0:
                return
            self.hosts.clear_busy(instance.node, instance.slot)
            self._slots[instance.node].discard(instance.slot)
            instance.slot = -1

    def _config(self, i: Instance, initial: bool) -> dict[str, Any]:
        run, m = self.bed.scenario.run, self.bed.model.service(i.service)
        v = self.bed.model.node(i.node)
        source = None if initial or m.state <= 0 else self._state_source(i)
        startup = 0.0 if initial else m.startup * run.dilate
        return self._common(i.node) | {
            "service": i.service,
            "workers": i.workers,
            "port": i.port,
            "speed": v.speed,
            "contention": self.bed.model.contention if isinstance(m, Light) else 0.0,
            "cpu_per_worker": m.cpu if isinstance(m, Light) else 0.0,
            "light_cpu": self._light_cpu[i.node],
            "mode": run.mode,
            "cpu_seconds": m.cpu / k_cpu(self.bed) if run.mode == "busy" else 0.0,
            "queue_limit": run.queue_limit,
            "state_bytes": m.state / run.shrink,
            "state_from": source,
            "ready_at": time.monotonic() + startup,
            "busy_slot": i.slot,
            "mean": self.mean(i) * run.dilate,
            "pace": self.troubles.pace(i.service, i.node),
            "errors": self.troubles.errors(i.service),
            "seed": self.bed.seed,
        }

    def tell_troubles(self) -> None:
        """Every instance hears what is in force on it."""
        for i in list(self.instances.values()):
            self.hub.trouble(i.id, self.troubles.pace(i.service, i.node), self.troubles.errors(i.service))

    def mean(self, i: Instance) -> float:
        """x̄ of the service on its node, uncontended, nominal s."""
        m: Core | Light = self.bed.model.service(i.service)
        return m.work * law_mean(m.law) / self.bed.model.node(i.node).speed

    def _state_source(self, new: Instance) -> list[Any] | None:
        """A ready instance of the same service to fetch the state from."""
        with self._lock:
            others = [
                i for i in self.instances.values() if i.service == new.service and i.id != new.id and i.state == "ready"
            ]
        return [self.addresses[others[0].node], others[0].port] if others else None

    def _launch(self, start: Start, initial: bool) -> None:
        instance = self.instances[start.id]
        self._check_node(start.node)
        if not initial:
            self._check_memory(start)
        config = self._config(instance, initial)
        token = self.hub.expect(start.id, "stub", config)
        if instance.workers != config["workers"]:  # resized while it waited for its turn to start
            self.hub.resize(start.id, instance.workers)
        self.hosts.start_service(start.id, start.node, STUB, self._environment(start.id, token))
        if start.node in self.down_nodes:  # it crashed while its container was being made
            self.hosts.kill_services(start.node)
            self._check_node(start.node)
        if not initial:
            startup = self.bed.model.service(start.service).startup * self.bed.scenario.run.dilate
            self.hub.wait_ready([start.id], startup + READY_TIMEOUT)

    def _check_node(self, node: str) -> None:
        if node in self.down_nodes:
            raise CannotRun(f"node {node} is down: nothing starts there")

    def _check_memory(self, start: Start) -> None:
        with self._lock:
            placed = list(self.instances.values())
        if why := memory.lacking(self.bed.model, start, self.troubles.memory(start.node), placed):
            raise CannotRun(why)

    def _announce(self) -> None:
        """Hand the hub everything that may be routed to."""
        with self._lock:
            specs = [
                TargetSpec(i.id, i.service, i.node, self.addresses[i.node], i.port, i.workers, self.mean(i))
                for i in self.instances.values()
                if i.state in ("ready", "draining")
            ]
            routable = {i.service for i in self.instances.values() if i.state == "ready"}
            self._dark.seen(routable, self.clock())
        self.hub.set_targets(specs)

    # -- acting ------------------------------------------------------------------------------------------------------

    def apply(self, decision: Decision) -> None:
        """Begin every action; returns at once."""
        for action in decision.actions:
            for start in (
                [action] if isinstance(action, Start) else [action.start] if isinstance(action, Migrate) else []
            ):
                self._reserve(start)
            if isinstance(action, Resize):
                self._resize(action)
            else:
                self._pending.append(self._pool.submit(self._guarded, action))
        self._pending = [f for f in self._pending if not f.done()]

    def _guarded(self, action: Action) -> None:
        """An action that fails is an event and its instance is gone; the policy sees that and decides again."""
        try:
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Drain):
                self._drain(action.id)
            elif isinstance(action, Migrate):
                self._migrate(action)
        except (ShaketableError, OSError, KeyError) as error:
            if self._closing:
                return
            self.note(Event("action_failed", None, self.clock(), {"action": repr(action), "error": str(error)}))
            start = action.start if isinstance(action, Migrate) else action
            if isinstance(start, Start) and not self._serves(start.id):
                self._give_up(start.id)

    def _serves(self, name: str) -> bool:
        """Whether it became ready: a move that failed after that has failed in its drain."""
        instance = self.instances.get(name)
        return instance is not None and instance.state != "starting"

    def _give_up(self, name: str) -> None:
        """An instance that never became ready leaves nothing, not even a container that might still call."""
        instance = self.instances.get(name)
        self._forget(name)
        try:
            if name in self.hosts.services:
                self.hosts.retire(name, 0.0)
        except CannotRun as error:
            self.note(Event("note", None, self.clock(), {"text": f"{name} stays until the end of the run: {error}"}))
            return
        if instance is not None:
            self._vacate(instance)

    def _start(self, start: Start) -> None:
        self._launch(start, initial=False)
        instance = self.instances[start.id]
        instance.state = "ready"
        self._announce()
        now, asked = self.clock(), instance.asked_at
        facts = {"id": start.id, "service": start.service, "node": start.node, "workers": start.workers}
        self.note(Event("started", asked, now, facts | {"seconds": now - asked}))

    def _resize(self, action: Resize) -> None:
        with self._lock:
            instance = self.instances.get(action.id)
            if instance is None:
                return
            before, instance.workers = instance.workers, action.workers
        self.hub.resize(action.id, action.workers)
        self._announce()
        self.note(Event("resized", None, self.clock(), {"id": action.id, "from": before, "to": action.workers}))

    def _drain(self, name: str) -> int:
        """Mark, wait for all that was routed there, stop, remove. Returns the tasks lost by it."""
        instance = self.instances.get(name)
        if instance is None:
            return 0
        asked = self.clock()
        instance.state = "draining"
        self._announce()
        limit = (max(n.deadline for n in self.bed.model.tasks)) * self.bed.scenario.run.dilate + 2.0
        done = self.hub.drain(name, limit)
        try:
            result = done.result(timeout=limit + 5.0)
            lost = result.lost
        except FutureTimeout:
            raise CannotRun(f"{name}: no answer to its drain within {limit + 5.0:.0f} s") from None
        self.hosts.let_go(name)  # first: a stub that has drained ends by itself once the hub lets go of it
        self._forget(name)
        self._stop(name)
        self._vacate(instance)
        self.note(Event("drained", asked, self.clock(), {"id": name, "seconds": self.clock() - asked, "lost": lost}))
        return lost

    def _stop(self, name: str) -> None:
        """Nothing is routed there any more. Docker may fail now and then; in the end the container stays, unused, until
        the run removes all."""
        for left in reversed(range(STOP_TRIES)):
            try:
                self.hosts.retire(name, 0.5)
                return
            except CannotRun as error:
                if not left or self._closing:
                    raise
                self.note(Event("action_retried", None, self.clock(), {"action": f"stop {name}", "error": str(error)}))
                time.sleep(STOP_PAUSE)

    def _migrate(self, move: Migrate) -> None:
        """A start there, then a drain here.

        blackout_s: how long within the move no instance of the service could be routed to.
        """
        begun = self.clock()
        self._start(move.start)
        old = self.instances.get(move.drain)
        lost = self._drain(move.drain)
        ended = self.clock()
        self.note(
            Event(
                "migrated",
                begun,
                ended,
                {
                    "service": move.start.service,
                    "from": old.node if old else None,
                    "to": move.start.node,
                    "start": move.start.id,
                    "drain": move.drain,
                    "seconds": ended - begun,
                    "blackout_s": self._dark.within(move.start.service, begun, ended),
                    "lost": lost,
                },
            )
        )

    def _forget(self, name: str) -> None:
        with self._lock:
            self.instances.pop(name, None)
        self.hub.remove(name)
        self._announce()

    def died(self, name: str) -> None:
        """A container ended that nobody asked to end."""
        with self._lock:
            instance = self.instances.pop(name, None)
        if instance is None:
            return
        self.hub.dead(name)
        self._vacate(instance)
        self._announce()
        self.note(
            Event("instance_died", None, self.clock(), {"id": name, "service": instance.service, "node": instance.node})
        )

    # -- looking -----------------------------------------------------------------------------------------------------

    def states(self, backlogs: Mapping[str, tuple[int, int]]) -> tuple[InstanceState, ...]:
        """All existing instances for an Observation, in order of their names."""
        with self._lock:
            return tuple(
                InstanceState(
                    i.id,
                    i.service,
                    i.node,
                    i.workers,
                    backlogs.get(i.id, (0, 0))[0],
                    i.state != "starting",
                    i.state == "draining",
                )
                for _, i in sorted(self.instances.items())
            )

    def close(self) -> None:
        """Nothing new begins; what is under way gets SETTLE seconds, and what is left then is the reaper's.

        While closing, an action that fails is no news.
        """
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._pending, timeout=SETTLE)
