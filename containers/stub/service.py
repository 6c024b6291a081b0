"""The stub service: requests in, joins, queue, workers, requests to the next stages out (docs/wire.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import routing
from common.inbound import Inbound
from common.sender import Sender
from common.wire import FAILED, FIN, REQUEST, RESULT, STATE_GET, Frame, Header, WireError, check_request

from stub import errors, health, state
from stub.contention import BusyCounter
from stub.joins import Joins
from stub.pending import Pending
from stub.plan import Plan
from stub.telemetry import Telemetry
from stub.worker import Job, Rates, Workers

SEEN_LIMIT = 8192  # requests remembered, so that a stage runs at most once per (task, attempt)
#: s a half-filled join is kept past its deadline when nothing is dropped early (the gateway's longest grace).
JOIN_GRACE = 5.0
#: Part of a view interval after which what changed is reported: old enough to be whole, fresh in the next view.
REPORT_AT = 0.7


class Service:
    """config: the stub's config message; send: puts a message on the control socket, False when it can't."""

    def __init__(self, config: dict[str, Any], send: Any, counter_path: str) -> None:
        self.name: str = config["service"]
        self.node: str = config["node"]
        self.inbound: set[Inbound] = set()
        self.ready = self.draining = False
        self.errors, self._seed = float(config["errors"]), int(config["seed"])
        self._drained = self._stopped = False
        self._control_send = send
        self._interval = float(config["view_interval"])
        self._state_bytes = int(config["state_bytes"])
        self._grace = 0.0 if config["early_drop"] else JOIN_GRACE
        self._plan = Plan(config["types"])
        self.telemetry = Telemetry()
        self.joins = Joins()
        self.pending: Pending[Job] = Pending(config["queue"], int(config["queue_limit"]))
        self.sender = Sender(self.node, self._interval, self._undelivered)
        self.workers = Workers(
            int(config["workers"]), self.pending, _rates(config, counter_path),
            self._hopeless if config["early_drop"] else None, self._done, self._drop,
        )  # fmt: skip
        self.workers.pace = float(config["pace"])
        self._seen: dict[tuple[int, int, str], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._report_due = False

    # -- frames in

    def connection(self) -> Inbound:
        return Inbound(self.inbound, self.on_frame, lambda path: health.answer(self, path))

    def on_frame(self, connection: Inbound, frame: Frame) -> None:
        """A whole frame has arrived."""
        if frame.kind == REQUEST:
            connection.fin = False
            self._request(frame.header)
        elif frame.kind == FIN:
            connection.fin = True
            self._check_drained()
        elif frame.kind == STATE_GET:
            connection.fin = True  # routes nothing here
            task = self._loop.create_task(state.send(connection.transport, self._state_bytes))  # type: ignore[arg-type]
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            raise WireError(f"kind {frame.kind} is not for a service")

    def _request(self, h: Header) -> None:
        check_request(h)
        sources = self._plan.sources(h["type"], h["stage"], self.name)
        if h["from"] not in sources:
            raise WireError(f"stage {h['stage']!r} has no input from {h['from']!r}; it has {sorted(sources)}")
        task, attempt, stage = key = h["task"], h["attempt"], h["stage"]
        if key in self._seen or self._stopped:
            return
        now = self._loop.time()
        if len(sources) > 1:
            if attempt > 1:
                for _, half in self.joins.older(task, attempt, stage):
                    self.telemetry.row(half.header, half.arrived, None, now, "lost", 0.0)
            first, complete = self.joins.add(key, h, sources, now)
            if first:
                self.telemetry.arrive(task, stage, attempt, now)
            if not complete:
                return
        else:
            self.telemetry.arrive(task, stage, attempt, now)
        self._remember(key)
        self.telemetry.arrivals[h["src"]] += 1
        job = Job(h, h["deadline"], h["work"].get(stage, 0.0), now)
        if errors.fails(self.errors, self._seed, task, attempt):
            self.telemetry.row(h, now, None, now, "dropped", job.work)
            self._fail(h, "error")
            return
        if not self.pending.push(job):
            self.telemetry.row(h, now, None, now, "dropped", job.work)
            self._fail(h, "overflow")
            return
        self.workers.pump()

    def _remember(self, key: tuple[int, int, str]) -> None:
        self._seen[key] = None
        if len(self._seen) > SEEN_LIMIT:
            del self._seen[next(iter(self._seen))]

    # -- services end

    def _hopeless(self, job: Job, ends: float) -> bool:
        """Whether a service that `ends` then is in vain."""
        view = self.sender.view
        if view is None:
            return ends > job.deadline
        way = self._plan.way(job.header, job.header["stage"])
        return routing.hopeless(view, way, self.node, ends, job.deadline)

    def _drop(self, job: Job, now: float) -> None:
        self.telemetry.row(job.header, job.arrived, None, now, "dropped", job.work)
        self._fail(job.header, "expired")

    def _done(self, job: Job, finished: float) -> None:
        self.telemetry.row(job.header, job.arrived, job.started, finished, "done", job.work)
        self._forward(job.header)
        if self.draining:
            self._check_drained()

    def _forward(self, h: Header) -> None:
        """The stage's outputs, over the emulated network: to each successor, or to the gateway from a sink."""
        steps, output = self._plan.next(h["type"], h["stage"])
        size = h["size"]
        if not steps:
            reply = {"task": h["task"], "attempt": h["attempt"], "stage": h["stage"]}
            self.sender.reply(h["gw"], h["reply"], RESULT, reply, round(output * size))
            return
        for step in steps:
            if step.join:
                place = h["bind"].get(step.stage)
            else:
                way = self._plan.way(h, step.stage)
                target = self.sender.route(step.service, step.bytes * size, h["task"], h["attempt"], way)
                place = (target.id, target.address, target.port) if target is not None else None
            if place is None:
                self._fail(h, "no_route")
                continue
            header = {**h, "stage": step.stage, "from": h["stage"], "src": self.node}
            self.sender.request(place[0], place[1], place[2], header, round(step.bytes * size))

    def _fail(self, h: Header, why: str) -> None:
        header = {"task": h["task"], "attempt": h["attempt"], "stage": h["stage"], "why": why}
        self.sender.reply(h["gw"], h["reply"], FAILED, header)

    def _undelivered(self, headers: list[Header]) -> None:
        """Requests this stub sent and nobody acknowledged."""
        for h in headers:
            self._fail(h, "broken")

    # -- the hub

    @property
    def backlog(self) -> int:
        """Requests present: waiting and in service."""
        return len(self.pending) + len(self.workers.running)

    def on_view(self, version: int, wire: dict[str, Any]) -> None:
        """A new view; the report that answers it follows at once, or a little later if there is news to gather."""
        self.sender.set_view(version, wire)
        for key, half in self.joins.overdue(self._loop.time(), self._grace):
            self._remember(key)
            self.telemetry.row(half.header, half.arrived, None, self._loop.time(), "dropped", 0.0)
            self._fail(half.header, "expired")
        if self._report_due:
            return
        if self.draining or not self.telemetry.changed(self.backlog, len(self.workers.running)):
            self.report()
        else:
            self._report_due = True
            self._loop.call_later(REPORT_AT * self._interval, self.report)

    def report(self) -> None:
        """Telemetry to the hub, then acknowledgements to the senders: the hub answers for these requests now."""
        self._report_due = False
        if self._control_send(self.telemetry.message(self.backlog, len(self.workers.running), self.sender.version)):
            self.telemetry.sent()
            for connection in self.inbound:
                connection.acknowledge()
        self._check_drained()

    def trouble(self, pace: float, errors: float) -> None:
        """From now on services take `pace` times as long, and a share of requests fails."""
        self.workers.pace, self.errors = pace, errors

    def drain(self) -> None:
        """Say drained as soon as nothing is here and nobody sends any more."""
        self.draining = True
        self.report()

    def _check_drained(self) -> None:
        if not self.draining or self._drained or self.backlog or self.joins:
            return
        if any(not connection.fin for connection in self.inbound):
            return
        self._drained = True
        self._tasks.add(task := self._loop.create_task(self._say_drained()))
        task.add_done_callback(self._tasks.discard)

    async def _say_drained(self) -> None:
        """Once what was sent has reached its receivers: a killed process takes its unsent bytes with it."""
        while not self.sender.connections.flushed():
            await asyncio.sleep(0.01)
        if self.backlog or self.joins or self.telemetry.rows:
            self._drained = False  # a bound request came meanwhile
            self.report()
            return
        while not self._control_send({"t": "drained"}):
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Give up what is here, say so to the gateways and the hub."""
        if self._stopped:
            return
        self._stopped = True
        now = self._loop.time()
        for job in self.workers.stop():
            self.telemetry.row(job.header, job.arrived, job.started, None, "lost", job.work)
            self._fail(job.header, "broken")
        for job in self.pending.clear():
            self.telemetry.row(job.header, job.arrived, None, None, "lost", job.work)
            self._fail(job.header, "broken")
        for _, half in self.joins.clear():
            self.telemetry.row(half.header, half.arrived, None, None, "lost", 0.0)
            self._fail(half.header, "broken")
        self.report()
        while not self.sender.connections.flushed() and self._loop.time() < now + 1.0:
            await asyncio.sleep(0.01)
        self.sender.connections.close()


def _rates(config: dict[str, Any], counter_path: str) -> Rates:
    cpu = float(config["cpu_per_worker"])
    counter = None
    if cpu > 0 and config["mode"] == "idle":
        counter = BusyCounter(counter_path, int(config["busy_slot"]), cpu, float(config["light_cpu"]))
    return Rates(
        float(config["speed"]),
        float(config["contention"]),
        counter,
        config["mode"] == "busy",
        float(config["cpu_seconds"]),
    )
