"""The hub: the run's end of every container's control socket (docs/wire.md).

It runs an asyncio loop in a thread of its own and never waits for a container; its methods are called by the
orchestrator's thread and return at once, except `wait_ready`. Values given to it and taken from it are nominal
(the config messages excepted: they are handed on as they are); the wire is dilated and shrunk.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from testbed.errors import CannotRun
from testbed.world.live.hub_books import Books, HubBatch, Member, wire_tasks, wire_types
from testbed.world.live.hub_connection import Message, line
from testbed.world.live.hub_roster import Roster, send
from testbed.world.live.hub_view import Matrix, TargetSpec, ViewBook
from testbed.world.live.rows import TaskDraw

__all__ = ["DrainResult", "Hub", "HubBatch", "TargetSpec", "wire_types"]

T = TypeVar("T")
CALL_LIMIT = 10.0  # s the orchestrator waits for the hub's own loop; past it the machine is stuck, not a container
DRAIN_EXTRA = 2.0  # wire s beyond the longest deadline (docs/wire.md)
POLL = 0.01  # s between looks at a drain's conditions
RECENT_INTERVALS = 3  # view intervals a finished visit counts as "may not have left its node"
CHUNK = 500  # tasks in one line


@dataclass(frozen=True, slots=True)
class DrainResult:
    """seconds: nominal, from the drain mark to the end. lost: tasks still held when the time was up."""

    seconds: float
    lost: int


class Hub:
    """dilate, shrink: the run's scales. view_interval_wire_s: between two views. rule: by which senders route."""

    def __init__(
        self, socket_path: str, dilate: float, shrink: float, view_interval_wire_s: float, rule: str = "estimate"
    ) -> None:
        self._path = socket_path
        self._dilate = dilate
        self._interval = view_interval_wire_s
        self._views = ViewBook(dilate, shrink, rule)
        self._books = books = Books(dilate)
        self._roster = Roster(
            self._welcome,
            self._on_message,
            lambda member: books.gone.append(member.id),
            lambda text: books.notes.append(text),
        )
        self._members = self._roster.members
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.AbstractServer | None = None
        self._drains: set[asyncio.Task[None]] = set()
        self._held = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub", daemon=True)

    # -- life

    def start(self) -> None:
        """Listen. CannotRun when the socket can't be made."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(CALL_LIMIT)
        except OSError as error:
            self.close()
            raise CannotRun(f"{self._path}: the control socket can't be made: {error}") from error

    async def _listen(self) -> None:
        if os.path.exists(self._path):
            os.unlink(self._path)
        self._server = await self._loop.create_unix_server(self._roster.accept, self._path)
        os.chmod(self._path, 0o666)  # for the containers' user; the run's folder above is root's alone
        self._loop.call_later(self._interval, self._tick)

    def close(self) -> None:
        """End every connection and the thread. May be called twice."""
        if not self._loop.is_running():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(CALL_LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT)
        self._loop.close()

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._drains):
            task.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)
        for connection in self._roster.connections():
            connection.close()
        await asyncio.sleep(0)  # transports close one turn later
        if os.path.exists(self._path):
            os.unlink(self._path)

    def _call(self, function: Callable[[], T]) -> T:
        """Run `function` on the hub's loop and return what it returns."""

        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(CALL_LIMIT)

    # -- containers

    def expect(self, id: str, role: str, config: Message) -> str:
        """Register a container before it is started; the token it has to show. config: wire units, sent on hello.

        "t", "origin" and "view_interval" are added here.
        """
        if role not in ("stub", "gateway"):
            raise ValueError(f"{id}: role {role!r} is not one of 'stub', 'gateway'")
        token = secrets.token_hex(16)

        def register() -> None:
            if id in self._members:
                raise ValueError(f"{id}: a container of this name is already expected; remove it first")
            self._members[id] = Member(id, role, token, {**config, "view_interval": self._interval})

        self._call(register)
        return token

    def wait_ready(self, ids: Iterable[str], timeout_s: float) -> None:
        """Until all are ready; CannotRun naming those that failed or are not ready after timeout_s real seconds."""
        wanted = list(ids)
        end = time.monotonic() + timeout_s
        while True:
            answers = self._call(lambda: [self._roster.why_not_ready(i) for i in wanted])
            waiting = [a for a in answers if a is not None]
            failed = [why for why, final in waiting if final]
            if failed or (waiting and time.monotonic() >= end):
                reasons = "; ".join(failed or [why for why, _ in waiting])
                raise CannotRun(
                    f"{len(failed or waiting)} of {len(wanted)} containers are not ready after "
                    f"{timeout_s:g} s: {reasons}. Their output says more: docker logs CONTAINER"
                )
            if not waiting:
                return
            time.sleep(POLL)

    def ready_at(self, id: str) -> float | None:
        """When it said ready, CLOCK_MONOTONIC s; None: not yet."""
        return self._call(lambda: self._members[id].ready_at if id in self._members else None)

    def state_whole(self, id: str) -> bool | None:
        """Whether its state came whole (False: the source did not answer and it began without)."""
        return self._call(lambda: self._members[id].state_whole if id in self._members else None)

    def resize(self, id: str, workers: int) -> None:
        """Change p of an instance, and in the view. One that is not expected yet, or no more, is not told."""

        def change() -> None:
            member = self._members.get(id)
            if member is not None:
                member.config["workers"] = workers
                self._views.resize(id, workers)
                send(member, {"t": "resize", "workers": workers})

        self._call(change)

    def trouble(self, id: str, pace: float, errors: float) -> None:
        """Factor on an instance's service times and share of its requests that fail, from now on."""

        def change() -> None:
            member = self._members.get(id)
            if member is not None:
                member.config.update(pace=pace, errors=errors)
                send(member, {"t": "trouble", "pace": pace, "errors": errors})

        self._call(change)

    def stop(self, id: str) -> None:
        """Ask a container to end (it reports what it still holds as lost)."""
        self._call(lambda: send(self._members[id], {"t": "stop"}) if id in self._members else None)

    def remove(self, id: str) -> None:
        """Forget a container that is gone: out of the view, its connection closed, its token void."""

        def forget() -> None:
            self._views.remove(id)
            member = self._roster.forget(id)
            if member is not None and member.connection is not None:
                member.connection.finish()
            self._push()

        self._call(forget)

    def dead(self, id: str) -> int:
        """An instance died: forgotten, its tasks told to the gateways. Returns how many it held."""

        def bury() -> int:
            self._views.remove(id)
            self._push()
            member = self._roster.forget(id)
            if member is None:
                return 0
            if member.connection is not None:
                member.connection.close()
            held, passed = member.whereabouts(RECENT_INTERVALS * self._interval)
            for gateway in self._roster.gateways():
                mine = gateway.config["name"]
                send(
                    gateway,
                    {
                        "t": "lost",
                        "instance": id,
                        "tasks": [key for key in held if self._ingress(key[0]) == mine],
                        "passed": [key for key in passed if self._ingress(key[0]) == mine],
                    },
                )
            return self._books.lose(member)

        return self._call(bury)

    def _ingress(self, task: int) -> str | None:
        draw = self._books.draws.get(task)
        return draw.ingress if draw is not None else None

    # -- the view

    def set_targets(self, targets: Sequence[TargetSpec]) -> None:
        """All instances that may be routed to; pushed at once."""
        self._change(lambda: self._views.set_targets(targets))

    def set_paths(self, endpoints: Sequence[str], delay: Matrix, per_byte: Matrix, toll: Matrix | None = None) -> None:
        """Nominal path costs, s and s per byte; negative or infinite: unreachable; pushed at once."""
        self._change(lambda: self._views.set_paths(endpoints, delay, per_byte, toll))

    def hold(self, held: bool) -> int:
        """Push no view until told otherwise. Returns the version of the last one."""

        def change() -> int:
            self._held = held
            if not held:
                self._push()
            return self._views.version

        return self._call(change)

    def _change(self, change: Callable[[], None]) -> None:
        def both() -> None:
            change()
            self._push()

        self._call(both)

    def _tick(self) -> None:
        self._loop.call_later(self._interval, self._tick)
        now = self._loop.time()
        for connection in self._roster.connections():
            connection.check(now)
        self._push()

    def _push(self) -> None:
        """A new view to every container that has read the former one, unless views are held back."""
        if self._held:
            return
        backlogs = {m.id: m.backlog for m in self._members.values()}
        short, long = self._views.next(backlogs)
        for member in self._members.values():
            connection = member.connection
            if connection is None or connection.behind:
                continue
            fresh = connection.paths_sent != self._views.paths_version
            connection.paths_sent = self._views.paths_version
            connection.send(long if fresh else short)

    # -- tasks

    def set_origin(self, monotonic_s: float) -> None:
        """t = 0 on CLOCK_MONOTONIC."""

        def tell() -> None:
            self._books.origin = monotonic_s
            for gateway in self._roster.gateways():
                send(gateway, {"t": "origin", "at": monotonic_s})

        self._call(tell)

    def offer(self, gateway: str, tasks: Sequence[TaskDraw]) -> None:
        """Hand tasks to the container `gateway`; each is sent at its own time."""
        rows = wire_tasks(tasks, self._dilate)
        lines = [line({"t": "tasks", "tasks": rows[i : i + CHUNK]}) for i in range(0, len(rows), CHUNK)]

        def hand_over() -> None:
            member = self._members[gateway]
            self._books.draws.update((t.id, t) for t in tasks)
            for text in lines:
                if member.connection is not None:
                    member.connection.send(text)
                else:
                    member.outbox.append(text)

        self._call(hand_over)

    def outstanding(self) -> int:
        """Tasks offered that have no row yet."""
        return self._call(lambda: len(self._books.draws))

    def take(self) -> HubBatch:
        """Everything since the last call."""
        return self._call(lambda: self._books.take(self._members))

    # -- drains

    def drain(self, id: str, timeout_s: float | None = None) -> Future[DrainResult]:
        """Mark draining, wait for senders, gateways and the stub; at most timeout_s real seconds.

        By default the longest deadline plus DRAIN_EXTRA. The future is never cancelled by a container's death.
        """
        result: Future[DrainResult] = Future()
        result.set_running_or_notify_cancel()

        def begin() -> None:
            member = self._members[id]
            limit = timeout_s
            if limit is None:
                limit = member.longest_deadline + DRAIN_EXTRA
            task = self._loop.create_task(self._drain(member, limit, result))
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)

        self._call(begin)
        return result

    async def _drain(self, member: Member, limit: float, result: Future[DrainResult]) -> None:
        begun = self._loop.time()
        try:
            self._views.draining.add(member.id)
            self._push()
            marked = self._views.version
            gateways = self._roster.gateways()
            for gateway in gateways:
                gateway.released.discard(member.id)
                send(gateway, {"t": "release", "instance": member.id})
            asked = False
            while self._loop.time() < begun + limit and not member.drained:
                if not asked and self._roster.seen_by_all(marked) and all(member.id in g.released for g in gateways):
                    asked = True
                    send(member, {"t": "drain"})
                if self._members.get(member.id) is not member:
                    break  # removed or dead meanwhile
                await asyncio.sleep(POLL)
        finally:
            lost = 0 if member.drained else member.tasks_held()
            result.set_result(DrainResult((self._loop.time() - begun) / self._dilate, lost))

    # -- what containers say

    def _welcome(self, member: Member) -> None:
        send(member, {**member.config, "t": "config", "origin": self._books.origin})

    def _on_message(self, member: Member, message: Message) -> None:
        kind = message["t"]
        if kind == "telemetry":
            member.view_seen = int(message["v"])
            member.heard = self._loop.time()
            if member.role == "gateway":
                self._books.gateway(member, message)
            else:
                self._books.stub(member, message, keep_recent=2 * member.longest_deadline)
        elif kind == "ready":
            member.ready_at = float(message["at"])
            member.state_whole = message.get("state")
        elif kind == "failed":
            member.failed = str(message["why"])[:500]
        elif kind == "drained":
            member.drained = True
        elif kind == "released":
            member.released.add(str(message["instance"]))
        else:
            raise ValueError(f"a message of kind {kind!r}")
