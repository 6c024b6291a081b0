"""The ingress gateway: sends each task at its own time (open loop), runs its DAG, retries, and gives one row each.

offered = on_time + late + expired + refused + unanswered, whatever happens: a task leaves `tasks` in `_resolve` only.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import routing
from common.inbound import Inbound
from common.sender import Sender
from common.wire import FAILED, FIN, RESULT, Frame, Header, WireError, check_reply

from gateway.task import Task

Place = tuple[str, str, int]  # instance, address, port
#: What an attempt sends: (stage, place, bytes) for each edge that comes from the ingress.
Sends = list[tuple[str, Place, float]]


class Runner:
    """config: the gateway's config message; send: puts a message on the control socket, False when it can't."""

    def __init__(self, config: dict[str, Any], send: Any) -> None:
        self.name: str = config["name"]
        self.tasks: dict[int, Task] = {}
        self.inbound: set[Inbound] = set()
        self.outcomes: dict[str, int] = {}
        self.sent = 0
        self._control_send = send
        self._interval = float(config["view_interval"])
        self._reply = [config["address"], int(config["port"])]
        self._admission = bool(config["admission"])
        self._types = {t["name"]: routing.TypeSpec.from_wire(t) for t in config["types"]}
        self._sinks = {name: frozenset(spec.sinks()) for name, spec in self._types.items()}
        self._origin: float | None = config["origin"]
        self._held: list[list[Any]] = []  # tasks handed over before the origin was known
        self._rows: list[list[Any]] = []
        self._releasing: set[str] = set()
        self._coming: dict[str, int] = {}  # tasks in flight that are bound to each instance
        self.sender = Sender(config["node"], self._interval, self._undelivered)
        self._loop = asyncio.get_running_loop()

    # -- the hub

    def on_message(self, m: dict[str, Any]) -> None:
        """Anything but config and stop."""
        kind = m.get("t")
        if kind == "view":
            self.sender.set_view(m["v"], m["view"])
            self.report()
        elif kind == "tasks":
            self._take(m["tasks"])
        elif kind == "origin":
            self._origin = float(m["at"])
            held, self._held = self._held, []
            self._take(held)
        elif kind == "release":
            self._releasing.add(m["instance"])
            self._check_released()
        elif kind == "lost":
            self._lost(m["instance"], m["tasks"], m["passed"])

    def report(self) -> None:
        """Telemetry: rows since the last one that was taken."""
        message = {
            "t": "telemetry",
            "v": self.sender.version,
            "inflight": len(self.tasks),
            "sent": self.sent,
            "cpu": time.process_time(),
            "rows": self._rows,
        }
        if self._control_send(message):
            self._rows = []

    def _take(self, rows: list[list[Any]]) -> None:
        if self._origin is None:
            self._held += rows
            return
        for number, kind, at, deadline, access, work, size in rows:
            if number in self.tasks:
                continue
            intended = self._origin + at
            task = Task(number, self._types[kind], intended, intended + deadline, access, work, size)
            self.tasks[number] = task
            self._loop.call_at(intended + access, self._dispatch, task)

    # -- sending

    def _dispatch(self, task: Task) -> None:
        """The access phase is over: admit and send. lag: by how much that is later than intended."""
        now = self._loop.time()
        task.lag = max(0.0, now - task.intended - task.access)
        self.sent += 1
        task.timer = self._loop.call_at(task.last_moment, self._last_moment, task)
        view = self.sender.view
        if self._admission and view is not None:
            local = self.sender.local
            here = self.sender.endpoint
            if not routing.admit(view, task.spec, here, task.size, now, task.deadline, local, self._coming):
                self._resolve(task, "refused", None)
                return
        if now >= task.deadline:  # its channel took all its time
            self._resolve(task, "expired", None)
            return
        self._attempt(task)

    def _attempt(self, task: Task) -> None:
        """Send the task's first stages (again); later if there is nowhere to send them now."""
        if task.id not in self.tasks or self._loop.time() >= task.deadline:
            return  # its timer resolves it
        bind = self._bind(task)
        sends = self._sends(task, bind) if bind is not None else None
        if bind is None or sends is None:
            if not task.waiting:
                task.waiting = True
                self._loop.call_later(self._interval, self._again, task)
            return
        task.attempts += 1
        task.binding = {place[0] for place in bind.values()}
        for instance in task.binding - task.bound:
            self._coming[instance] = self._coming.get(instance, 0) + 1
        task.bound |= task.binding
        header: Header = {
            "task": task.id,
            "type": task.spec.name,
            "from": routing.INGRESS,
            "src": self.sender.endpoint,
            "attempt": task.attempts,
            "deadline": task.deadline,
            "bind": bind,
            "work": task.work,
            "size": task.size,
            "reply": self._reply,
            "gw": self.name,
        }
        for stage, (instance, address, port), size in sends:
            self.sender.request(instance, address, port, {**header, "stage": stage}, round(size))

    def _again(self, task: Task) -> None:
        task.waiting = False
        self._attempt(task)

    def _bind(self, task: Task) -> dict[str, Place] | None:
        """Instances of the join stages, with their addresses: a sender may not have them in its view yet."""
        bound = self.sender.bind(task.spec, task.size, task.id, task.attempts + 1, self._coming)
        return None if bound is None else {stage: (t.id, t.address, t.port) for stage, t in bound.items()}

    def _sends(self, task: Task, bind: dict[str, Place]) -> Sends | None:
        """Where each edge from the ingress goes; None when a service has no instance to send to."""
        sends: Sends = []
        for k, stage in enumerate(task.spec.stages):
            for source, size in stage.inputs:
                if source != routing.INGRESS:
                    continue
                place = bind.get(stage.name)
                if place is None:
                    way = routing.Way(task.spec, k, self.sender.endpoint, task.size)
                    target = self.sender.route(stage.service, size * task.size, task.id, task.attempts + 1, way)
                    if target is None:
                        return None
                    place = (target.id, target.address, target.port)
                sends.append((stage.name, place, size * task.size))
        return sends

    # -- answers

    def connection(self) -> Inbound:
        return Inbound(self.inbound, self.on_frame, self._http)

    def on_frame(self, connection: Inbound, frame: Frame) -> None:
        """RESULT or FAILED; anything about a task that is over is old news."""
        if frame.kind == FIN:
            return
        check_reply(frame.header)
        task = self.tasks.get(frame.header["task"])
        if frame.kind == RESULT:
            if task is not None:
                self._answer(task, frame.header["stage"])
        elif frame.kind == FAILED:
            if task is not None and frame.header["attempt"] == task.attempts:
                self._failed(task, frame.header.get("why", "broken"))
        else:
            raise WireError(f"kind {frame.kind} is not for a gateway")

    def _answer(self, task: Task, stage: str) -> None:
        """The first result of each sink counts; with the last of them the task is done."""
        sinks = self._sinks[task.spec.name]
        if stage not in sinks:
            raise WireError(f"a result of stage {stage!r}; the sinks of {task.spec.name!r} are {sorted(sinks)}")
        task.answered.add(stage)
        if len(task.answered) == len(sinks):
            now = self._loop.time()
            self._resolve(task, "on_time" if now <= task.deadline else "late", now - task.intended)

    def _failed(self, task: Task, why: str) -> None:
        if why == "expired":
            task.expired = True
            if task.attempts == 1:  # of several attempts an older one may still make it
                self._resolve(task, "expired", None)
        elif why in ("overflow", "no_route", "error"):  # the next view may show a way
            self._loop.call_later(self._interval, self._retry, task, task.attempts)
        else:
            self._retry(task, task.attempts)

    def _retry(self, task: Task, attempt: int) -> None:
        """Send again, unless this attempt was given up before (several stages of it may fail)."""
        if attempt == task.attempts and not task.expired and not task.waiting:
            self._attempt(task)

    def _undelivered(self, headers: list[Header]) -> None:
        """Requests of this gateway that nobody acknowledged before their connection ended."""
        for h in headers:
            task = self.tasks.get(h["task"])
            if task is not None:
                self._retry(task, h["attempt"])

    def _lost(self, instance: str, held: list[list[int]], passed: list[list[int]]) -> None:
        """An instance died: send again what it held, and what is bound to it and was not through yet."""
        self.sender.distrust(instance)
        for number, attempt in held:
            task = self.tasks.get(number)
            if task is not None:
                self._retry(task, attempt)
        through = {(number, attempt) for number, attempt in passed}
        for task in list(self.tasks.values()):
            if instance in task.binding and (task.id, task.attempts) not in through:
                self._retry(task, task.attempts)

    # -- ends

    def _last_moment(self, task: Task) -> None:
        self._resolve(task, "expired" if task.expired else "unanswered", None)

    def _resolve(self, task: Task, outcome: str, latency: float | None) -> None:
        """The one row of a task."""
        if self.tasks.pop(task.id, None) is None:
            return
        if task.timer is not None:
            task.timer.cancel()
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self._rows.append([task.id, outcome, latency, task.attempts, task.lag])
        for instance in task.bound:
            self._coming[instance] -= 1
            if not self._coming[instance]:
                del self._coming[instance]
        if self._releasing & task.bound:
            self._check_released()

    def _check_released(self) -> None:
        """Tell the hub which draining instances no task in flight is bound to."""
        for instance in list(self._releasing):
            if not any(instance in task.bound for task in self.tasks.values()):
                self._releasing.discard(instance)
                self._control_send({"t": "released", "instance": instance})

    def _http(self, path: str) -> tuple[int, str]:
        if path == "/health":
            return 200, "ready\n"
        if path != "/metrics":
            return 404, f"there is no {path[:80]}. There are: /health, /metrics\n"
        lines = ["# TYPE shaketable_tasks_total counter"]
        lines += [f'shaketable_tasks_total{{outcome="{o}"}} {n}' for o, n in sorted(self.outcomes.items())]
        lines += ["# TYPE shaketable_inflight gauge", f"shaketable_inflight {len(self.tasks)}"]
        return 200, "\n".join(lines) + "\n"

    async def stop(self) -> None:
        """Every task still here is unanswered; say so."""
        for task in list(self.tasks.values()):
            self._resolve(task, "unanswered", None)
        self.report()
        self.sender.connections.close()
