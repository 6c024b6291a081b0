"""An instance as containers/stub has it: a queue, workers that share it, half-filled joins, and what it reports."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.light import routing
from testbed.world.twin.engine import BROKEN, DONE, DRAINED, DROPPED, ERRORS, EXPIRED_WHY, LOST, RESULT, RETRY_LATER
from testbed.world.twin.layout import RESULT_HEAD
from testbed.world.twin.reference.draws import uniform
from testbed.world.twin.reference.transfers import Transfer

if TYPE_CHECKING:
    from testbed.world.twin.reference.engine import Reference

NAN = float("nan")


@dataclass(slots=True, eq=False)
class Visit:
    """A request that waits or is served, or the half of a join; serial: in order of arrival over the whole run."""

    serial: int
    task: int
    attempt: int
    stage: int
    bind: tuple[int, ...]
    arrived: float
    started: float = NAN
    until: float = NAN  # when its service is over
    missing: int = 0  # bits of a join's predecessors
    reported: bool = False  # as arrived


@dataclass(slots=True, eq=False)
class Instance:
    """See engine.Engine.add. shown: in the views. dead: does nothing any more. gone: the senders know."""

    member: int
    name: str
    service: int
    host: int
    workers: int
    speed: float
    mean: float
    milli: int
    spare: float
    shown: bool = False
    draining: bool = False
    asked: bool = False
    told: bool = False
    dead: bool = False
    gone: bool = False
    pace: float = 1.0
    errors: float = 0.0
    frozen: bool = False
    door: list[Transfer] = field(default_factory=list)  # requests that came while it was frozen
    late_report: bool = False  # one fell due while it was frozen
    queue: list[tuple[float, int, Visit]] = field(default_factory=list)
    running: dict[int, Visit] = field(default_factory=dict)
    joins: dict[tuple[int, int, int], Visit] = field(default_factory=dict)
    coming: int = 0  # requests on their way here
    owed: int = 0  # requests sent from here that are not acknowledged
    bound: int = 0  # attempts of tasks in flight that have a join here
    watched: bool = False
    # what the next report says
    due: bool = False
    rows: list[tuple[Visit, float, int]] = field(default_factory=list)  # visit, ended, outcome
    taken: list[Transfer] = field(default_factory=list)  # requests received and not acknowledged
    counted: dict[int, int] = field(default_factory=dict)  # arrivals by domain of the sender
    fresh: list[Visit] = field(default_factory=list)
    backlog: int = 0  # as last reported
    busy: int = 0
    silent: bool = True  # has reported nothing yet
    recent: list[tuple[float, int, int]] = field(default_factory=list)  # finished, task, attempt; reported
    ghosts: list[Visit] = field(default_factory=list)  # of a dead one: reported as arrived, never as finished

    def present(self) -> int:
        """Requests waiting and in service."""
        return len(self.queue) + len(self.running)


class Instances:
    """What happens at instances."""

    def __init__(self, engine: Reference) -> None:
        self.engine, self.rules, self.types = engine, engine.layout.rules, engine.layout.types
        self.busy = [0] * len(engine.layout.network.hosts)  # milli-cores of light workers per host
        self._serial = 0

    # -- a request comes

    def receive(self, i: Instance, x: Transfer) -> None:
        if i.frozen and not i.dead:
            i.door.append(x)
            return
        e = self.engine
        i.coming -= 1
        if i.dead:
            return
        i.taken.append(x)
        t = e.tasks[x.task]
        now = e.agenda.now
        v = Visit(self._serial, x.task, x.attempt, x.stage, x.bind, now)
        self._serial += 1
        if self.types.joins[t.type, x.stage] >= 0:
            joined = self._join(i, x, v)
            if joined is None:
                return
            joined.arrived, joined.serial = now, v.serial
            v = joined
        else:
            i.fresh.append(v)
        domain = int(e.layout.network.domain[x.start])
        i.counted[domain] = i.counted.get(domain, 0) + 1
        fails = i.errors > 0.0 and uniform(self.rules.seed, ERRORS, v.task + 1, v.attempt) < i.errors
        if fails or len(i.queue) >= self.rules.limit:
            self._row(i, v, now, DROPPED)
            self._fail(i, v.task, v.attempt, RETRY_LATER)
            self._ask_later(i)
            return
        heapq.heappush(i.queue, (t.due if self.rules.edf else 0.0, v.serial, v))
        self.pump(i)
        self._ask_later(i)

    def _join(self, i: Instance, x: Transfer, v: Visit) -> Visit | None:
        """Count a part in; the visit when all parts are here."""
        t = self.engine.tasks[x.task]
        if x.attempt > 1:
            for key in [k for k in i.joins if k[0] == x.task and k[2] == x.stage and k[1] < x.attempt]:
                self._row(i, i.joins.pop(key), self.engine.agenda.now, LOST)
        key = (x.task, x.attempt, x.stage)
        half = i.joins.get(key)
        if half is None:
            half = i.joins[key] = v
            i.fresh.append(v)
            for k in range(int(self.types.ins[t.type, x.stage])):
                half.missing |= 1 << (int(self.types.in_stage[t.type, x.stage, k]) + 1)
        half.missing &= ~(1 << (x.origin + 1))
        if half.missing:
            return None
        del i.joins[key]
        return half

    # -- service

    def pump(self, i: Instance) -> None:
        """Begin services while a worker is free and a request waits; drop what is hopeless as it comes up."""
        now = self.engine.agenda.now
        while i.queue and len(i.running) < i.workers:
            v = heapq.heappop(i.queue)[2]
            t = self.engine.tasks[v.task]
            seconds = t.work[v.stage] / i.speed
            if i.milli:
                share = min(1.0, self.busy[i.host] / 1000 / i.spare)
                seconds *= 1.0 + self.rules.contention * (share * share)
            seconds *= i.pace
            if self.rules.early_drop and self._hopeless(i, v, now + seconds):
                self._row(i, v, now, DROPPED)
                self._fail(i, v.task, v.attempt, EXPIRED_WHY)
                continue
            v.started = now
            i.running[v.serial] = v
            self.busy[i.host] += i.milli
            v.until = now + seconds + self.rules.service
            self.engine.agenda.at(v.until, self._finish, i, v)

    def _hopeless(self, i: Instance, v: Visit, ends: float) -> bool:
        e = self.engine
        host = e.layout.network.hosts[i.host]
        return routing.hopeless(e.view, e.way(v.task, v.stage), host, ends, e.tasks[v.task].due)

    def _finish(self, i: Instance, v: Visit) -> None:
        if v.serial not in i.running:
            return  # the instance ended meanwhile
        if i.frozen:
            return  # over when it goes on
        del i.running[v.serial]
        self.busy[i.host] -= i.milli
        self._row(i, v, self.engine.agenda.now, DONE)
        self._forward(i, v)
        self.pump(i)
        self._ask_later(i)

    def _forward(self, i: Instance, v: Visit) -> None:
        """The stage's outputs: to each successor, or to the gateway from a sink."""
        e, n = self.engine, self.types
        t = e.tasks[v.task]
        if n.sink[t.type, v.stage]:
            payload = float(n.output[t.type]) * t.size
            e.transfers.send(RESULT, i.member, t.gateway, payload, RESULT_HEAD, v.task, v.attempt, v.stage, 0, ())
            return
        row = v.stage + 1
        for k in range(int(n.outs[t.type, row])):
            stage, size = int(n.out_stage[t.type, row, k]), float(n.out_bytes[t.type, row, k]) * t.size
            join = int(n.joins[t.type, stage])
            target = (
                v.bind[join]
                if join >= 0
                else e.route(i.member, int(n.service[t.type, stage]), size, v.task, stage, v.attempt)
            )
            if target < 0:
                self._fail(i, v.task, v.attempt, RETRY_LATER)
            elif e.gone(target):
                self._fail(i, v.task, v.attempt, BROKEN)
            else:
                e.request(i.member, target, size, v.task, v.attempt, stage, v.stage, v.bind)

    def _fail(self, i: Instance, task: int, attempt: int, why: int) -> None:
        self.engine.fail(i.member, task, attempt, why)

    def _row(self, i: Instance, v: Visit, ended: float, outcome: int) -> None:
        i.rows.append((v, ended, outcome))
        if not v.reported:
            i.fresh.remove(v)

    # -- views and reports

    def see(self, i: Instance) -> None:
        """A new view has come: what is overdue goes, and the report follows now or a little later."""
        now = self.engine.agenda.now
        for key in [k for k, v in i.joins.items() if self.engine.tasks[v.task].due + self.rules.join_grace < now]:
            half = i.joins.pop(key)
            self._row(i, half, now, DROPPED)
            self._fail(i, half.task, half.attempt, EXPIRED_WHY)
        if i.due:
            return
        changed = i.rows or i.fresh or i.counted or i.silent
        if not changed and (i.backlog, i.busy) == (i.present(), len(i.running)):
            self._ask_later(i)
        elif i.asked:
            self.report(i)
        else:
            i.due = True
            self.engine.agenda.at(now + self.rules.report, self._report_due, i)

    def _report_due(self, i: Instance) -> None:
        if i.due and i.frozen:
            i.late_report = True
        elif i.due and not i.dead:
            self.report(i)

    def report(self, i: Instance) -> None:
        """Rows, arrivals and backlog to the run; acknowledgements to the senders."""
        e, now = self.engine, self.engine.agenda.now
        i.due = i.silent = False
        i.backlog, i.busy = i.present(), len(i.running)
        for v in i.fresh:
            v.reported = True
        i.fresh.clear()
        for v, ended, outcome in i.rows:
            e.visit_over(i.member, v, ended, outcome)
            if outcome == DONE:
                i.recent.append((ended, v.task, v.attempt))
        i.rows.clear()
        while i.recent and i.recent[0][0] < now - self.rules.recent:
            i.recent.pop(0)
        for domain, n in i.counted.items():
            e.arrivals[i.service, domain] += n
        i.counted.clear()
        taken, i.taken = i.taken, []
        for x in taken:
            e.acknowledge(x.source, i.member)
        self._ask_later(i)

    def thaw(self, i: Instance) -> None:
        """It goes on: services whose time is over end, then what came is read, then it reports what fell due."""
        now = self.engine.agenda.now
        for v in sorted(i.running.values(), key=lambda v: v.serial):
            if v.until <= now and v.serial in i.running:
                self._finish(i, v)
        door, i.door = i.door, []
        for x in door:
            self.receive(i, x)
        self.pump(i)
        if i.late_report or i.asked:
            i.late_report = False
            self.report(i)

    # -- ends

    def drain(self, i: Instance) -> None:
        i.asked = True
        self.report(i)

    def _ask_later(self, i: Instance) -> None:
        """Whether it is drained now is asked when this event is over."""
        if i.asked and not i.told:
            self.engine.doubts.append(i)

    def check_drained(self, i: Instance) -> None:
        """Say so when nothing is here, on its way here, or sent from here and not received."""
        if i.told or i.dead or i.frozen or i.queue or i.running or i.joins or i.coming or i.owed:
            return
        if i.rows:
            self.report(i)
            return
        i.told = True
        self.engine.signals.append((DRAINED, i.member))

    def settled(self, i: Instance) -> None:
        """Something it sent was acknowledged."""
        i.owed -= 1
        self._ask_later(i)

    def kill(self, i: Instance) -> None:
        """It ends without a word."""
        i.dead = True
        self.busy[i.host] -= i.milli * len(i.running)
        i.ghosts = self.held(i)
        i.running.clear()

    def stop(self, i: Instance) -> None:
        """It ends by order and says what it gives up."""
        i.dead = True
        self.busy[i.host] -= i.milli * len(i.running)
        running = sorted(i.running.values(), key=lambda v: v.serial)
        left = [*running, *(q[2] for q in sorted(i.queue, key=lambda q: q[:2])), *i.joins.values()]
        i.running.clear()
        i.queue.clear()
        i.joins.clear()
        for v in left:
            self._row(i, v, NAN, LOST)
            self._fail(i, v.task, v.attempt, BROKEN)
        self.report(i)

    def held(self, i: Instance) -> list[Visit]:
        """Reported as arrived and not as finished, by serial."""
        here = [*i.running.values(), *(q[2] for q in i.queue), *i.joins.values(), *(v for v, _, _ in i.rows)]
        return sorted((v for v in here if v.reported), key=lambda v: v.serial)

    def bury(self, i: Instance) -> list[tuple[int, int]]:
        """Close the books of a dead one. (task, attempt) that may have died with it: what it held, and what it
        finished so shortly before its last report that it may not have left its node."""
        held = {(v.task, v.attempt) for v in i.ghosts} | {(task, attempt) for _, task, attempt in i.recent}
        for v in i.ghosts:
            v.started = NAN
            self.engine.visit_over(i.member, v, NAN, LOST)
        i.ghosts.clear()
        i.backlog = i.busy = 0
        return sorted(held)
