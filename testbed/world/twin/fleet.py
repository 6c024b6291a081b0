"""The instances of a twin run and what is done to them, make before break, as testbed/world/live/fleet.py does it.

Time does not pass here: `at` plans what follows, the engine's signals and the world's clock call back. At most
`HANDS` actions are under way, as live; a move holds its hand until its drain is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.decision import Action, Decision, Drain, Migrate, Resize, Start
from controller.light.law import mean as law_mean
from controller.model import Light
from controller.observation import InstanceState
from testbed.world import memory
from testbed.world.base import Bed, Event
from testbed.world.darkness import Darkness
from testbed.world.spare import light_cpu
from testbed.world.troubles import Troubles
from testbed.world.twin.calibration import Calibration
from testbed.world.twin.engine import DRAINED, RELEASED, STATE, Engine, Signal
from testbed.world.twin.layout import REPORT_AT

HANDS = 4  # actions under way at a time (testbed/world/live/fleet.py)
READY_REAL = 30.0  # real s beyond the modelled start-up until an instance must be ready
DRAIN_REAL = 2.0  # real s beyond the longest deadline until a drain is cut short


@dataclass
class Instance:
    """starting → ready → draining → (gone). Times nominal, s."""

    id: str
    member: int
    service: str
    node: str
    workers: int
    state: str = "starting"
    asked_at: float = 0.0


@dataclass
class _Launch:
    """A start under way: ready when its program runs, its start-up is over and its state is here."""

    start: Start
    then: Callable[[], None]
    due: float
    waits: int  # for program and state


@dataclass
class _Leave:
    """A drain under way."""

    name: str
    begun: float
    then: Callable[[int], None]
    seen: bool = False  # the mark, by every sender
    released: bool = False
    asked: bool = False


class Fleet:
    """known: is told of each new instance: name, service, host. at: plans a call at a nominal time. note: of events."""

    def __init__(
        self,
        bed: Bed,
        engine: Engine,
        calibration: Calibration,
        known: Callable[[str, int, int], None],
        clock: Callable[[], float],
        at: Callable[..., None],
        note: Callable[[Event], None],
    ) -> None:
        self.bed, self.engine, self.calibration = bed, engine, calibration
        self.known, self.clock, self.at, self.note = known, clock, at, note
        self.instances: dict[str, Instance] = {}
        self.names: dict[int, str] = {}  # of members
        self.down_nodes: set[str] = set()
        self.troubles = Troubles(bed.scenario.run.mode == "idle")
        self._dilate = bed.scenario.run.dilate
        hosts = [*bed.topology.nodes, *bed.topology.ingresses]
        self._host = {h.name: k for k, h in enumerate(hosts)}
        self._service = {m.name: k for k, m in enumerate(bed.model.services())}
        self._spare = light_cpu(bed)
        self._dark = Darkness({m.name for m in bed.model.services()})
        self._queue: deque[Action] = deque()
        self._busy = 0
        self._launches: dict[int, _Launch] = {}
        self._leaves: dict[int, _Leave] = {}

    def _reserve(self, start: Start) -> Instance:
        """The instance exists (and costs) from here on."""
        m, v = self.bed.model.service(start.service), self.bed.model.node(start.node)
        milli = round(1000 * m.cpu) if isinstance(m, Light) and self.bed.scenario.run.mode == "idle" else 0
        mean = m.work * law_mean(m.law) / v.speed
        member = self.engine.add(
            start.id, self._service[start.service], self._host[start.node], start.workers, v.speed, mean, milli,
            self._spare[start.node],
        )  # fmt: skip
        i = Instance(start.id, member, start.service, start.node, start.workers, asked_at=self.clock())
        self.instances[start.id] = i
        self.names[member] = start.id
        self._trouble(i)
        self.known(start.id, self._service[start.service], self._host[start.node])
        return i

    def _trouble(self, i: Instance) -> None:
        self.engine.trouble(i.member, self.troubles.pace(i.service, i.node), self.troubles.errors(i.service))

    def tell_troubles(self) -> None:
        """Every instance hears what is in force on it."""
        for i in self.instances.values():
            self._trouble(i)

    def begin(self) -> None:
        """The initial instances, ready."""
        for a in self.bed.initial.actions:
            if isinstance(a, Start):
                i = self._reserve(a)
                i.state = "ready"
                self.engine.open(i.member)
        self._seen()
        self.engine.push()

    def _seen(self) -> None:
        self._dark.seen({i.service for i in self.instances.values() if i.state == "ready"}, self.clock())

    def _announce(self) -> None:
        self._seen()
        self.engine.push()

    # -- acting

    def apply(self, decision: Decision) -> None:
        """Begin every action; returns at once."""
        for action in decision.actions:
            if isinstance(action, Start):
                self._reserve(action)
            elif isinstance(action, Migrate):
                self._reserve(action.start)
            if isinstance(action, Resize):
                self._resize(action)
            else:
                self._queue.append(action)
        self._next()

    def _next(self) -> None:
        while self._queue and self._busy < HANDS:
            action = self._queue.popleft()
            self._busy += 1
            if isinstance(action, Start):
                self._start(action, self._free)
            elif isinstance(action, Drain):
                self._drain(action.id, lambda lost: self._free())
            elif isinstance(action, Migrate):
                self._migrate(action)

    def _free(self) -> None:
        self._busy -= 1
        self._next()

    def _resize(self, action: Resize) -> None:
        i = self.instances.get(action.id)
        if i is None:
            return
        before, i.workers = i.workers, action.workers
        self.engine.resize(i.member, action.workers)
        self._announce()
        self.note(Event("resized", None, self.clock(), {"id": action.id, "from": before, "to": action.workers}))

    # -- starting

    def _start(self, start: Start, then: Callable[[], None]) -> None:
        i = self.instances.get(start.id)
        if i is None:  # it died before its turn came
            self._failed(start, f"{start.id} died before it was ready")
            return
        if start.node in self.down_nodes:
            self._failed(start, f"node {start.node} is down: nothing starts there")
            return
        if why := memory.lacking(self.bed.model, start, self.troubles.memory(start.node), self.instances.values()):
            self._failed(start, why)
            return
        m, c = self.bed.model.service(start.service), self.calibration
        now, running = self.clock(), self.clock() + c.boot_s / self._dilate
        launch = _Launch(start, then, max(now + m.startup, running), 1)
        self._launches[i.member] = launch
        source = self._state_source(i) if m.state > 0 else None
        if source is not None:
            launch.waits += 1
            self.at(running, self._fetch, source, i.member, m.state)
        self.at(launch.due, self._ready, i.member, launch)
        self.at(now + m.startup + READY_REAL / self._dilate, self._overdue, i.member, launch)

    def _state_source(self, new: Instance) -> Instance | None:
        """A ready instance of the same service to fetch the state from."""
        return next(
            (i for i in self.instances.values() if i.service == new.service and i is not new and i.state == "ready"),
            None,
        )

    def _fetch(self, source: Instance, member: int, size: float) -> None:
        launch = self._launches.get(member)
        if launch is None:
            return
        if self.instances.get(source.id) is source:
            self.engine.fetch(source.member, member, size)
        else:  # it left meanwhile: the new one begins without
            self._ready(member, launch)

    def _ready(self, member: int, launch: _Launch) -> None:
        """One of the things a launch waits for is there."""
        if self._launches.get(member) is not launch:
            return
        launch.waits -= 1
        if not launch.waits:
            self.at(self.clock() + self.calibration.ready_s / self._dilate, self._opened, member, launch)

    def _opened(self, member: int, launch: _Launch) -> None:
        if self._launches.pop(member, None) is not launch:
            return
        i, start = self.instances[self.names[member]], launch.start
        i.state = "ready"
        self.engine.open(member)
        self._announce()
        facts: dict[str, Any] = {"id": i.id, "service": i.service, "node": i.node, "workers": start.workers}
        self.note(Event("started", i.asked_at, self.clock(), facts | {"seconds": self.clock() - i.asked_at}))
        launch.then()

    def _overdue(self, member: int, launch: _Launch) -> None:
        if self._launches.get(member) is launch:
            del self._launches[member]
            self._failed(launch.start, f"{launch.start.id} is not ready in time")

    def _failed(self, start: Start, why: str) -> None:
        self.note(Event("action_failed", None, self.clock(), {"action": repr(start), "error": why}))
        i = self.instances.pop(start.id, None)
        if i is not None:
            self.engine.kill(i.member)
            self.engine.stop(i.member)
            self._announce()
        self._free()

    # -- leaving

    def _drain(self, name: str, then: Callable[[int], None]) -> None:
        """Mark, wait for all that was routed there, remove. `then` is told how many tasks were lost by it."""
        i = self.instances.get(name)
        if i is None:
            then(0)
            return
        now, run = self.clock(), self.bed.scenario.run
        i.state = "draining"
        leave = self._leaves[i.member] = _Leave(name, now, then)
        leave.released = self.engine.mark(i.member)
        self._announce()
        # every sender has reported with the marked view by now: at once, or 0.7 intervals later
        self.at(now + REPORT_AT * run.view_interval, self._mark_seen, i.member, leave)
        limit = max(n.deadline for n in self.bed.model.tasks) + DRAIN_REAL / self._dilate
        self.at(now + limit, self._cut_short, i.member, leave)

    def _mark_seen(self, member: int, leave: _Leave) -> None:
        leave.seen = True
        self._ask(member, leave)

    def _ask(self, member: int, leave: _Leave) -> None:
        if self._leaves.get(member) is leave and leave.seen and leave.released and not leave.asked:
            leave.asked = True
            self.at(self.clock() + self.calibration.poll_s / self._dilate, self._asked, member, leave)

    def _asked(self, member: int, leave: _Leave) -> None:
        if self._leaves.get(member) is leave:
            self.engine.drain(member)

    def _cut_short(self, member: int, leave: _Leave) -> None:
        if self._leaves.get(member) is leave:
            self._left(member, leave, self.engine.held(member))

    def _left(self, member: int, leave: _Leave, lost: int) -> None:
        """It is empty, or its time is up: out of the views, then stopped."""
        if self._leaves.pop(member, None) is not leave:
            return
        self.instances.pop(leave.name, None)
        self.engine.stop(member)
        self._announce()
        self.at(self.clock() + self.calibration.stop_s / self._dilate, self._removed, leave, lost)

    def _removed(self, leave: _Leave, lost: int) -> None:
        seconds = self.clock() - leave.begun
        self.note(Event("drained", leave.begun, self.clock(), {"id": leave.name, "seconds": seconds, "lost": lost}))
        leave.then(lost)

    def _migrate(self, move: Migrate) -> None:
        begun = self.clock()

        def ended(lost: int) -> None:
            now = self.clock()
            facts = {
                "service": move.start.service, "from": old, "to": move.start.node, "start": move.start.id,
                "drain": move.drain, "seconds": now - begun,
                "blackout_s": self._dark.within(move.start.service, begun, now), "lost": lost,
            }  # fmt: skip
            self.note(Event("migrated", begun, now, facts))
            self._free()

        there = self.instances.get(move.drain)
        old = there.node if there is not None else None
        self._start(move.start, lambda: self._drain(move.drain, ended))

    # -- being told

    def hear(self, signal: Signal) -> None:
        """A word of the engine."""
        what, member = signal
        if what == STATE and member in self._launches:
            self._ready(member, self._launches[member])
        leave = self._leaves.get(member)
        if leave is None:
            return
        if what == RELEASED:
            leave.released = True
            self._ask(member, leave)
        elif what == DRAINED:
            self.at(self.clock() + self.calibration.poll_s / self._dilate, self._left, member, leave, 0)

    def crash(self, node: str) -> list[str]:
        """The node's instances end without a word; their names. `died` is for when it is known."""
        self.down_nodes.add(node)
        victims = sorted(i.id for i in self.instances.values() if i.node == node)
        for name in victims:
            member = self.instances[name].member
            self.engine.kill(member)
            if member in self._launches:
                self._launches[member].waits += 1  # for what never comes
        return victims

    def died(self, name: str) -> None:
        """An instance is known to have ended."""
        i = self.instances.pop(name, None)
        if i is None:
            return
        self._seen()
        self.engine.bury(i.member)
        self.note(Event("instance_died", None, self.clock(), {"id": name, "service": i.service, "node": i.node}))
        launch = self._launches.pop(i.member, None)
        if launch is not None:
            self._failed(launch.start, f"{name} died before it was ready")
        leave = self._leaves.pop(i.member, None)
        if leave is not None:
            self._removed(leave, self.engine.held(i.member))

    def states(self) -> tuple[InstanceState, ...]:
        """All existing instances, in order of their names."""
        backlogs = self.engine.backlogs()[:, 0].tolist()
        return tuple(
            InstanceState(
                i.id, i.service, i.node, i.workers, backlogs[i.member], i.state != "starting",
                i.state == "draining",
            )
            for _, i in sorted(self.instances.items())
        )  # fmt: skip
