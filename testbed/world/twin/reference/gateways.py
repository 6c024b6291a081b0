"""Tasks at their gateways, as containers/gateway has it: sent at their time, sent again, and resolved once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.light import routing
from testbed.world.twin.engine import EXPIRED, EXPIRED_WHY, LATE, ON_TIME, REFUSED, RELEASED, RETRY_LATER, UNANSWERED

if TYPE_CHECKING:
    from testbed.world.twin.reference.engine import Reference

NAN = float("nan")


@dataclass(slots=True, eq=False)
class Binding:
    """A join of one attempt is to run at `member`; finished: when it has, as reported."""

    member: int
    attempt: int
    finished: float = NAN


@dataclass(slots=True, eq=False)
class Task:
    """number: place among all offered. due: absolute deadline. waiting: for a view that shows a way."""

    number: int
    type: int
    gateway: int
    at: float
    due: float
    size: float
    work: list[float]
    attempts: int = 0
    sent: bool = False
    over: bool = False
    expired: bool = False
    waiting: bool = False
    answered: int = 0  # bits of sinks
    sinks: int = 0  # how many answered
    bindings: list[Binding] = field(default_factory=list)


class Gateways:
    """What happens at gateways."""

    def __init__(self, engine: Reference) -> None:
        self.engine, self.rules, self.types = engine, engine.layout.rules, engine.layout.types

    def dispatch(self, t: Task) -> None:
        """The access phase is over: admit and send."""
        e, r = self.engine, self.rules
        t.sent = True
        e.agenda.at(t.due + min(r.grace_deadlines * (t.due - t.at), r.grace), self._last_moment, t)
        spec, host = self.types.specs[t.type], e.host_name(t.gateway)
        books = e.local[t.gateway], e.coming[t.gateway]
        if r.admission and not routing.admit(e.view, spec, host, t.size, e.agenda.now, t.due, *books):
            self._resolve(t, REFUSED, NAN)
            return
        if e.agenda.now >= t.due:  # its channel took all its time
            self._resolve(t, EXPIRED, NAN)
            return
        self.attempt(t)

    def attempt(self, t: Task) -> None:
        """Send the task's first stages (again); later if there is nowhere to send them now."""
        e = self.engine
        if t.over or e.agenda.now >= t.due:
            return  # its last moment resolves it
        bind = self._bind(t)
        sends = self._sends(t, bind) if bind is not None else None
        if bind is None or sends is None:
            if not t.waiting:
                t.waiting = True
                e.agenda.at(e.agenda.now + self.rules.interval, self._again, t)
            return
        t.attempts += 1
        coming = e.coming[t.gateway]
        for member in {*bind} - {b.member for b in t.bindings}:
            name = e.instances[member].name
            coming[name] = coming.get(name, 0) + 1
        for member in bind:
            t.bindings.append(Binding(member, t.attempts))
            e.instances[member].bound += 1
        for stage, target, size in sends:
            e.request(t.gateway, target, size, t.number, t.attempts, stage, -1, bind)

    def _again(self, t: Task) -> None:
        t.waiting = False
        self.attempt(t)

    def _bind(self, t: Task) -> tuple[int, ...] | None:
        e = self.engine
        spec, host = self.types.specs[t.type], e.host_name(t.gateway)
        sent, attempt = e.routed[t.gateway], t.attempts + 1
        bound = routing.bind(
            e.view, spec, host, t.size, routing.NOBODY, e.local[t.gateway], sent, t.number + 1, attempt,
            e.coming[t.gateway],
        )  # fmt: skip
        if bound is None:
            return None
        for stage in spec.stages:
            if stage.name in bound:
                sent[stage.service] = sent.get(stage.service, 0) + 1
        return tuple(e.member[name] for name in bound.values())

    def _sends(self, t: Task, bind: tuple[int, ...]) -> list[tuple[int, int, float]] | None:
        """(stage, member, bytes) of each edge from the gateway; None when a service has no instance to send to."""
        n, sends = self.types, []
        for k in range(int(n.outs[t.type, 0])):
            stage, size = int(n.out_stage[t.type, 0, k]), float(n.out_bytes[t.type, 0, k]) * t.size
            join = int(n.joins[t.type, stage])
            target = (
                bind[join]
                if join >= 0
                else self.engine.route(t.gateway, int(n.service[t.type, stage]), size, t.number, stage, t.attempts + 1)
            )
            if target < 0:
                return None
            sends.append((stage, target, size))
        return sends

    # -- answers

    def result(self, t: Task, stage: int) -> None:
        """The first result of each sink counts; with the last of them the task is done."""
        if t.over or t.answered >> stage & 1:
            return
        t.answered |= 1 << stage
        t.sinks += 1
        if t.sinks == self.types.sinks[t.type]:
            now = self.engine.agenda.now
            self._resolve(t, ON_TIME if now <= t.due else LATE, now - t.at)

    def failed(self, t: Task, attempt: int, why: int) -> None:
        if t.over or attempt != t.attempts:
            return
        if why == EXPIRED_WHY:
            t.expired = True
            if t.attempts == 1:  # of several attempts an older one may still make it
                self._resolve(t, EXPIRED, NAN)
        elif why == RETRY_LATER:
            self.engine.agenda.at(self.engine.agenda.now + self.rules.interval, self.retry, t, attempt)
        else:
            self.retry(t, attempt)

    def retry(self, t: Task, attempt: int) -> None:
        """Send again, unless this attempt was given up before."""
        if not t.over and attempt == t.attempts and not t.expired and not t.waiting:
            self.attempt(t)

    def lost(self, member: int, held: list[tuple[int, int]]) -> None:
        """An instance died: send again what it held, and what is bound to it and was not through yet."""
        for task, attempt in held:
            self.retry(self.engine.tasks[task], attempt)
        for t in self.engine.tasks:
            if t.sent and not t.over and self._bound_now(t, member):
                self.retry(t, t.attempts)

    @staticmethod
    def _bound_now(t: Task, member: int) -> bool:
        return any(
            b.member == member and b.attempt == t.attempts and not b.finished <= float("inf") for b in t.bindings
        )

    # -- ends

    def _last_moment(self, t: Task) -> None:
        if not t.over:
            self._resolve(t, EXPIRED if t.expired else UNANSWERED, NAN)

    def _resolve(self, t: Task, outcome: int, latency: float) -> None:
        e = self.engine
        t.over = True
        e.answers.append((t.number, latency, t.attempts, outcome))
        for member in {b.member for b in t.bindings}:
            e.coming[t.gateway][e.instances[member].name] -= 1
        for b in t.bindings:
            i = e.instances[b.member]
            i.bound -= 1
            if i.watched and i.bound == 0:
                i.watched = False
                e.signals.append((RELEASED, b.member))
