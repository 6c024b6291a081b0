"""p workers that share one queue. Idle: a service is a wait; busy: it burns CPU seconds in a thread."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stub.contention import BusyCounter
from stub.pending import Pending

_BLOCK = bytes(16_384)  # hashed outside the interpreter's lock, so threads burn side by side; some 20 µs each


@dataclass(slots=True, eq=False)
class Job:
    """One visit of one stage. Times: absolute wire seconds; work: wire seconds at speed 1."""

    header: dict[str, Any]
    deadline: float
    work: float
    arrived: float
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """What turns work into a service time. counter is None for core services: they do not contend."""

    speed: float
    contention: float
    counter: BusyCounter | None
    busy_mode: bool
    cpu_seconds: float

    def seconds(self, work: float) -> float:
        """work / s_v · (1 + α u_v²), s, with u_v as it is now (before this request counts itself)."""
        if self.counter is None:
            return work / self.speed
        return work / self.speed * (1.0 + self.contention * self.counter.share() ** 2)


class Workers:
    """done(job, finished) and dropped(job, now) are called as services end and as hopeless requests come up.

    hopeless(job, end of its service): whether that is too late; None: nothing is dropped.
    """

    def __init__(
        self,
        count: int,
        pending: Pending[Job],
        rates: Rates,
        hopeless: Callable[[Job, float], bool] | None,
        done: Callable[[Job, float], None],
        dropped: Callable[[Job, float], None],
    ) -> None:
        self.count = count
        self.pace = 1.0  # factor on service times, of those begun from now on
        self.running: set[Job] = set()
        self._pending = pending
        self._rates = rates
        self._hopeless = hopeless
        self._done = done
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        if rates.busy_mode:
            sys.setswitchinterval(0.0005)  # or the event loop waits 5 ms for each burning thread

    def resize(self, count: int) -> None:
        """Set p. Services that run are not cut short."""
        self.count = count
        self.pump()

    def pump(self) -> None:
        """Begin services while a worker is free and a request waits."""
        before = len(self.running)
        while len(self.running) < self.count:
            job = self._pending.pop()
            if job is None:
                break
            now = self._loop.time()
            seconds = self._rates.seconds(job.work) * self.pace
            if self._hopeless is not None and self._hopeless(job, now + seconds):
                self._dropped(job, now)
                continue
            job.started = now
            self.running.add(job)
            self._publish()
            if self._rates.busy_mode:
                self._loop.run_in_executor(
                    None, _burn, job.work * self.pace * self._rates.cpu_seconds
                ).add_done_callback(
                    lambda _, job=job: self._finish(job)  # type: ignore[misc]
                )
            else:
                self._loop.call_at(now + seconds, self._finish, job)
        if not self.running and before:
            self._publish()

    def stop(self) -> list[Job]:
        """Begin nothing more; what is in service is given up and returned."""
        self.count = 0
        running, self.running = list(self.running), set()
        self._publish()
        return running

    def _finish(self, job: Job) -> None:
        if job not in self.running:
            return  # given up by `stop`
        self.running.discard(job)
        self._publish()
        self._done(job, self._loop.time())
        self.pump()

    def _publish(self) -> None:
        if self._rates.counter is not None:
            self._rates.counter.write(len(self.running))


def _burn(seconds: float) -> None:
    """Use `seconds` of CPU time in this thread, however long the node's quota makes that take."""
    from hashlib import sha256

    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sha256(_BLOCK)
