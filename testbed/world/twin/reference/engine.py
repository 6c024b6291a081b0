"""The reference engine: what the twin does, in plain Python and with the controller's own routing functions.

It is slow on purpose of being read: the compiled kernel is tested to be equal to it, row for row.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from controller.light import routing
from testbed.world.twin.engine import (
    ANSWERS,
    BROKEN,
    DONE,
    FAILED,
    FETCH,
    REQUEST,
    RESULT,
    STATE,
    VISITS,
    Signal,
)
from testbed.world.twin.layout import FAILED_HEAD, Floats, Ints, Layout
from testbed.world.twin.reference.agenda import Agenda
from testbed.world.twin.reference.gateways import Gateways, Task
from testbed.world.twin.reference.instances import Instance, Instances, Visit
from testbed.world.twin.reference.transfers import Transfer, Transfers


class Reference:
    """See engine.Engine."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.agenda = Agenda()
        self.signals: list[Signal] = []
        self.doubts: list[Instance] = []  # that may be drained now
        self.tasks: list[Task] = []
        self.member: dict[str, int] = {}
        self.instances: dict[int, Instance] = {}
        self._hosts = [int(h) for h in layout.gateways]  # of members
        self.pending: list[dict[str, int]] = [{} for _ in layout.gateways]  # requests not acknowledged, by target
        self.local: list[dict[str, int]] = [{} for _ in layout.gateways]  # of them, those the view does not show
        self.routed: list[dict[str, int]] = [{} for _ in layout.gateways]  # requests so far, by service
        self.coming: list[dict[str, int]] = [{} for _ in layout.gateways]  # own tasks bound to it and not over
        self.answers: list[tuple[int, float, int, int]] = []
        self._reported = 0
        self.held_back = False
        self.visits: list[tuple[int, float, float, float, int, int, int, int]] = []
        self.arrivals = np.zeros((len(layout.services), len(layout.network.domains)), np.int64)
        self.delay: list[list[float]] = []
        self.per_byte: list[list[float]] = []
        self._index = {h: i for i, h in enumerate(layout.network.hosts)}
        self.view = routing.View({}, self._index, (), (), layout.rules.rule)
        self.transfers = Transfers(self)
        self.gateways = Gateways(self)
        self.places = Instances(self)
        self.agenda.at(0.0, self._tick)

    @property
    def now(self) -> float:
        return self.agenda.now

    # -- lookups

    def host_of(self, member: int) -> int:
        return self._hosts[member]

    def host_name(self, member: int) -> str:
        return self.layout.network.hosts[self._hosts[member]]

    def mute(self, member: int) -> bool:
        """Whether this sender is dead: what it had not brought on its way is gone."""
        i = self.instances.get(member)
        return i is not None and i.dead

    def gone(self, member: int) -> bool:
        """Whether the senders know that this instance is no more."""
        i = self.instances.get(member)
        return i is not None and i.gone

    # -- instances

    def add(
        self, name: str, service: int, host: int, workers: int, speed: float, mean: float, milli: int, spare: float
    ) -> int:
        member = len(self._hosts)
        self._hosts.append(host)
        self.member[name] = member
        self.instances[member] = Instance(member, name, service, host, workers, speed, mean, milli, spare)
        for books in (self.pending, self.local, self.routed, self.coming):
            books.append({})
        return member

    def open(self, member: int) -> None:
        self.instances[member].shown = True

    def resize(self, member: int, workers: int) -> None:
        i = self.instances[member]
        i.workers = workers
        if not i.dead and not i.frozen:
            self.places.pump(i)
        self._settle()

    def trouble(self, member: int, pace: float, errors: float) -> None:
        i = self.instances[member]
        i.pace, i.errors = pace, errors

    def freeze(self, member: int, still: bool) -> None:
        i = self.instances[member]
        if not i.dead and i.frozen != still:
            i.frozen = still
            if not still:
                self.places.thaw(i)
        self._settle()

    def mark(self, member: int) -> bool:
        i = self.instances[member]
        i.draining = True
        i.watched = i.bound > 0
        return not i.watched

    def drain(self, member: int) -> None:
        i = self.instances[member]
        if i.frozen:
            i.asked = True
        elif not i.dead:
            self.places.drain(i)
        self._settle()

    def held(self, member: int) -> int:
        i = self.instances[member]
        return len({v.task for v in (i.ghosts if i.dead else self.places.held(i))})

    def stop(self, member: int) -> None:
        i = self.instances[member]
        i.shown, i.gone = False, True
        if not i.dead:
            self.places.stop(i)
        self._undelivered(i)
        self._settle()

    def kill(self, member: int) -> None:
        if not self.instances[member].dead:
            self.places.kill(self.instances[member])

    def bury(self, member: int) -> None:
        i = self.instances[member]
        i.shown, i.gone = False, True
        self._push()
        held = self.places.bury(i)
        self._undelivered(i)
        self.gateways.lost(member, held)
        self._settle()

    def _undelivered(self, i: Instance) -> None:
        """Requests sent to it and not acknowledged: their senders give them up, in the order they were sent."""
        lost = sorted([*i.taken, *i.door, *self.transfers.forget(i.member)], key=lambda x: x.number)
        i.taken, i.door = [], []
        for x in lost:
            self.acknowledge(x.source, i.member)
        for x in lost:
            if x.source < len(self.layout.gateways):
                self.gateways.retry(self.tasks[x.task], x.attempt)
            elif not self.mute(x.source):
                self.fail(x.source, x.task, x.attempt, BROKEN)

    # -- messages

    def route(self, member: int, service: int, size: float, task: int, stage: int, attempt: int) -> int:
        """The instance for a transfer from this sender; −1: none."""
        name, book = self.layout.services[service], self.routed[member]
        sent = book.get(name, 0)
        turn = routing.turn(self.view.rule, sent, task + 1, stage, attempt)
        host, local = self.host_name(member), self.local[member]
        found = routing.route(self.view, name, host, size, routing.NOBODY, local, turn, self.way(task, stage))
        if found is None:
            return -1
        book[name] = sent + 1
        return self.member[found.id]

    def way(self, task: int, stage: int) -> routing.Way:
        """Where a request of this task is when it goes to, or is at, a stage."""
        t = self.tasks[task]
        return routing.Way(self.layout.types.specs[t.type], stage, self.host_name(t.gateway), t.size)

    def request(
        self, source: int, target: int, size: float, task: int, attempt: int, stage: int, origin: int,
        bind: tuple[int, ...],
    ) -> None:  # fmt: skip
        i = self.instances[target]
        for book in (self.pending[source], self.local[source]):
            book[i.name] = book.get(i.name, 0) + 1
        i.coming += 1
        if source >= len(self.layout.gateways):
            self.instances[source].owed += 1
        head = float(self.layout.types.head[self.tasks[task].type, stage])
        self.transfers.send(REQUEST, source, target, size, head, task, attempt, stage, origin, bind)

    def acknowledge(self, source: int, target: int) -> None:
        """One request of `source` is in the run's books, or given up."""
        name, book = self.instances[target].name, self.pending[source]
        book[name] -= 1
        if not book[name]:
            del book[name]
        if source >= len(self.layout.gateways):
            self.places.settled(self.instances[source])

    def fail(self, source: int, task: int, attempt: int, why: int) -> None:
        gateway = self.tasks[task].gateway
        self.transfers.send(FAILED, source, gateway, 0.0, FAILED_HEAD, task, attempt, 0, why, ())

    def arrived(self, x: Transfer) -> None:
        if x.kind == REQUEST:
            self.places.receive(self.instances[x.target], x)
        elif x.kind == RESULT:
            self.gateways.result(self.tasks[x.task], x.stage)
        elif x.kind == FAILED:
            self.gateways.failed(self.tasks[x.task], x.attempt, x.origin)
        elif not self.instances[x.target].dead:
            self.signals.append((STATE, x.target))

    def fetch(self, source: int, member: int, size: float) -> None:
        self.transfers.send(FETCH, source, member, size, 0.0, 0, 0, 0, 0, ())
        self._settle()

    # -- views and books

    def _tick(self) -> None:
        self.agenda.at(self.agenda.now + self.layout.rules.interval, self._tick)
        self._push()

    def push(self) -> None:
        self._push()
        self._settle()

    def hold(self, held: bool) -> None:
        self.held_back = held
        if not held:
            self._push()
        self._settle()

    def _push(self) -> None:
        if self.held_back:
            return
        targets: dict[str, list[routing.Target]] = {}
        for i in self.instances.values():
            if i.shown:
                host = self.layout.network.hosts[i.host]
                target = routing.Target(i.name, host, "", 0, i.workers, i.backlog, i.mean, i.draining)
                targets.setdefault(self.layout.services[i.service], []).append(target)
        self.view = routing.View(
            {m: tuple(found) for m, found in targets.items()},
            self._index,
            self._delay,
            self._per_byte,
            self.layout.rules.rule,
            self._toll,
        )
        self.local = [dict(book) for book in self.pending]
        self._reported = len(self.answers)
        for i in self.instances.values():
            if i.shown and not i.dead and not i.frozen:
                self.places.see(i)

    def visit_over(self, member: int, v: Visit, ended: float, outcome: int) -> None:
        self.visits.append((v.task, v.arrived, v.started, ended, member, v.stage, v.attempt, outcome))
        if outcome == DONE and self.layout.types.joins[self.tasks[v.task].type, v.stage] >= 0:
            for b in self.tasks[v.task].bindings:
                if b.member == member and b.attempt == v.attempt:
                    b.finished = ended

    # -- load

    def offer(
        self, gateway: Ints, type: Ints, at: Floats, deadline: Floats, access: Floats, size: Floats, work: Floats
    ) -> None:
        for k in range(len(at)):
            start = float(at[k])
            t = Task(
                len(self.tasks), int(type[k]), int(gateway[k]), start, start + float(deadline[k]), float(size[k]),
                work[k].tolist(),
            )  # fmt: skip
            self.tasks.append(t)
            self.agenda.at(start + float(access[k]) + self.layout.rules.dispatch, self.gateways.dispatch, t)

    # -- network

    def set_costs(self, delay: Floats, per_byte: Floats, toll: Floats) -> None:
        self.delay, self.per_byte = delay.tolist(), per_byte.tolist()
        self._delay = tuple(tuple(row) for row in self.delay)
        self._per_byte = tuple(tuple(row) for row in self.per_byte)
        self._toll = tuple(tuple(row) for row in toll.tolist())

    def set_next(self, table: Ints) -> None:
        self.transfers.next = table.tolist()

    def play(self, lane: int, times: Floats, rates: Floats) -> None:
        self.transfers.play(lane, times, rates)

    def squeeze(self, lane: int, factor: float) -> None:
        self.transfers.squeeze(lane, factor)

    def shape(self, lane: int, delay: float, jitter: float, loss: float) -> None:
        w = self.transfers.lanes[lane]
        w.delay, w.jitter, w.loss = delay, jitter, loss

    def set_lane(self, lane: int, up: bool) -> None:
        self.transfers.set_lane(lane, up)

    # -- time

    def run(self, until: float) -> list[Signal]:
        while not self.signals and self.agenda.next(until):
            self._settle()
        if not self.signals and math.isfinite(until):
            self.agenda.now = max(self.agenda.now, until)
        out, self.signals = self.signals, []
        return out

    def _settle(self) -> None:
        """The rest of an event: what was sent departs; those that may be drained now are asked, and a report that comes
        of it may raise further doubts."""
        self.transfers.depart()
        while self.doubts:
            self.places.check_drained(self.doubts.pop(0))

    # -- what happened

    def take(self) -> tuple[NDArray[np.void], NDArray[np.void], Ints]:
        answers = np.array(self.answers[: self._reported], ANSWERS)
        visits = np.array(self.visits, VISITS)
        del self.answers[: self._reported]
        self._reported = 0
        self.visits.clear()
        arrivals, self.arrivals = self.arrivals, np.zeros_like(self.arrivals)
        return answers, visits, arrivals

    def backlogs(self) -> Ints:
        out = np.zeros((len(self._hosts), 2), np.int64)
        for m, i in self.instances.items():
            out[m] = i.backlog, i.busy
        return out

    def carried(self) -> Floats:
        return np.array([lane.sent for lane in self.transfers.lanes])
