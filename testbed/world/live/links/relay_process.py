"""The relay: one process that carries every frame of every relay link from one TAP to the other, when its pipe says.

Run by `relay.py` as `python -m … FD OWNER_PID`. FD is a Unix socket on which the owner sends one JSON object per line
and gets one per line back. The process ends, and its TAPs vanish with it, when the owner says quit, closes the
socket or dies (watched by pidfd: a parent-death signal would fire when the *thread* that started us ends).
One loop, one epoll; departures wait in a heap for one timerfd. Nothing here may block: a stall stalls every link.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, astuple, replace
from typing import Any

from testbed.topology.model import Shape
from testbed.world.live.links import mahimahi
from testbed.world.live.links.base import End
from testbed.world.live.links.shaper import NEVER, Pipe
from testbed.world.live.links.tap import Tap, Timer, prompt, tighten_timers

_PRIORITY = 10  # SCHED_FIFO, above every ordinary process and below the kernel's threads
_ROUND = 32  # frames read from one TAP before the others have their turn
# A wake-up costs as much as carrying a frame. So a relay that has just sent does not wake again at once: frames close
# together leave together, at most _REST late. One that is due within _AHEAD leaves with those before it: the way
# through a TAP and a namespace's stack takes longer than that, so it never arrives before its time.
_REST = 200e-6  # s
_AHEAD = 50e-6  # s
# A frame that came while the relay was held up shows no lateness of its own: its time begins when it is read. So the
# relay always has an appointment, at most _BEAT away, and what is read after one it missed by _HELD counts as late.
_BEAT, _HELD = 10e-3, 1e-3  # s
_STILL = 0.1  # s; an appointment missed by so much is counted whether frames came meanwhile or not
_FRAME = 2048  # bytes, more than MTU + header + VLAN tag
_BUCKET = 20e-6  # s, resolution of the lateness histogram
_BUCKETS = 5000  # up to 100 ms; the last one holds what is later


class Lateness:
    """Histogram of actual minus planned departure, s."""

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * _BUCKETS))
        self.max = 0.0
        self.still = 0.0  # s in all that the relay stood still for _STILL or longer

    def note(self, late: float) -> None:
        index = int(late / _BUCKET) if late > 0 else 0
        self.counts[index if index < _BUCKETS else _BUCKETS - 1] += 1
        if late > self.max:
            self.max = late

    def summary(self) -> dict[str, float]:
        total, seen, found = sum(self.counts), 0, {"p50": 0.0, "p99": 0.0}
        for index, count in enumerate(self.counts):
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                if seen < share * total <= seen + count:
                    found[name] = (index + 1) * _BUCKET
            seen += count
        return {"p50": min(found["p50"], self.max), "p99": min(found["p99"], self.max), "max": self.max, "n": total,
                "still": self.still}  # fmt: skip


class Link:
    """Two TAPs and two pipes."""

    def __init__(self, spec: dict[str, Any], seed: int, alias: str) -> None:
        self.name, self.up = spec["name"], True
        self.a = Tap(End(**spec["a"]), alias)
        try:
            self.b = Tap(End(**spec["b"]), alias)
        except OSError:
            self.a.close()
            raise
        self.pipes = {d: Pipe(Shape(**spec[d]), f"{seed}/{self.name}/{d}") for d in ("ab", "ba")}

    def chosen(self, direction: str) -> list[Pipe]:
        return list(self.pipes.values()) if direction == "both" else [self.pipes[direction]]

    def set_state(self, up: bool) -> None:
        for tap, direction in ((self.a, "ab"), (self.b, "ba")):
            if not up:
                self.pipes[direction].flush()
            self.pipes[direction].dropped += tap.drain()
        self.up = up
        for tap in (self.a, self.b):
            tap.carrier(up)

    def close(self) -> None:
        self.a.close()
        self.b.close()


class Relay:
    """The loop and what it is told. `lanes`: per TAP that is read, (link, pipe, descriptor written to)."""

    def __init__(self, control: socket.socket, owner: int) -> None:
        self.control, self.buffer = control, b""
        self.owner = os.pidfd_open(owner)
        self.timer, self.armed = Timer(), 0.0  # armed: when the timer fires; 0: it has
        self.links: dict[str, Link] = {}
        self.lanes: dict[int, tuple[Link, Pipe, int]] = {}
        self.writes: dict[int, tuple[Pipe, int]] = {}  # by number of the pipe, as used in the heap
        self.numbers: dict[Pipe, int] = {}
        self.due_at: list[float] = []  # per pipe, the time it stands in the heap with
        self.heap: list[tuple[float, int]] = []
        self.late = Lateness()
        self.epoll = select.epoll()
        for fd in (control.fileno(), self.owner):
            self.epoll.register(fd, select.EPOLLIN)
        # edge-triggered: setting it anew is enough, so nobody has to read it
        self.epoll.register(self.timer.fd, select.EPOLLIN | select.EPOLLET)
        self.running = True
        self.rest_until = 0.0

    def run(self) -> None:
        poll, lanes, control = self.epoll.poll, self.lanes, self.control.fileno()
        while self.running:
            events = poll()
            missed = time.monotonic() - self.armed if self.armed else 0.0
            if missed > _STILL:
                self.late.still += missed
            for fd, _ in events:
                if fd in lanes:
                    self.read(fd, missed)
                elif fd == self.timer.fd:
                    self.armed = 0.0
                elif fd == control:
                    self.listen()
                else:
                    self.running = False  # the owner is dead
            self.release()

    def read(self, fd: int, missed: float) -> None:
        """Take up to a round of frames from a TAP and hand each to its pipe with the time of its arrival.

        missed: s by which the appointment before was missed; below 0 where it is still to come.
        """
        link, pipe, _ = self.lanes[fd]
        read, clock = os.read, time.monotonic
        for _ in range(_ROUND):
            try:
                frame = read(fd, _FRAME)
            except BlockingIOError:
                break
            except OSError:  # somebody deleted the interface: no frame will ever come from here
                self.epoll.unregister(fd)
                break
            if missed > _HELD:
                self.late.note(missed)
            if link.up:
                pipe.offer(clock(), frame)
            else:
                pipe.dropped += 1
        self.schedule(pipe)

    def schedule(self, pipe: Pipe) -> None:
        """Put the pipe into the heap at its next departure or step; an older, later entry is recognised as stale."""
        at, number = pipe.next_at(), self.numbers[pipe]
        if at != self.due_at[number]:
            self.due_at[number] = at
            if at < NEVER:
                heapq.heappush(self.heap, (at, number))

    def release(self) -> None:
        """Write every frame whose time has come, then set the timer for the next."""
        heap, due_at, clock, note = self.heap, self.due_at, time.monotonic, self.late.note
        now = clock() + _AHEAD
        while heap and heap[0][0] <= now:
            at, number = heapq.heappop(heap)
            if at != due_at[number]:
                continue
            pipe, target = self.writes[number]
            for planned, frame in pipe.due(now):
                try:
                    os.write(target, frame)
                except OSError:  # the far end is administratively down or its backlog is full: the frame is gone
                    pipe.undelivered(frame)
                note(clock() - planned)
                self.rest_until = now + _REST
            due_at[number] = NEVER
            self.schedule(pipe)
        at = max(heap[0][0], self.rest_until) if heap else NEVER
        beat = now + _BEAT
        if self.armed > at or self.armed < now:  # too late, or over
            self.armed = at if at < beat else beat
            self.timer.arm(self.armed)

    def listen(self) -> None:
        try:
            data = self.control.recv(1 << 16, socket.MSG_DONTWAIT)
            *lines, self.buffer = (self.buffer + data).split(b"\n")
            for line in lines:
                self.control.sendall(json.dumps(self.obey(json.loads(line))).encode() + b"\n")
        except ConnectionError:  # the owner has gone without its answer: it was interrupted
            data = b""
        if not data:
            self.running = False

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; a failure is an answer, never the end of the process."""
        verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
            "create": self.create, "change": self.change, "state": self.state, "play": self.play,
            "trace": self.trace, "read": self.read_back, "counters": self.counters, "lateness": self.lateness,
            "quit": self.quit,
        }  # fmt: skip
        try:
            return {"ok": verbs[order["do"]](order)}
        except Exception as error:  # the text reaches the owner, which raises it
            return {"error": f"{type(error).__name__}: {error}"}

    def create(self, order: dict[str, Any]) -> int:
        made: list[Link] = []
        for spec in order["links"]:
            try:
                made.append(Link(spec, order["seed"], order["alias"]))
            except OSError as error:
                for link in made:
                    link.close()
                raise OSError(f"link {spec['name']}: {error}") from error
        for link in made:
            self.links[link.name] = link
            for source, target, direction in ((link.a, link.b, "ab"), (link.b, link.a, "ba")):
                pipe = link.pipes[direction]
                number = self.numbers[pipe] = len(self.due_at)
                self.due_at.append(NEVER)
                self.writes[number] = (pipe, target.fd)
                self.lanes[source.fd] = (link, pipe, target.fd)
                self.epoll.register(source.fd, select.EPOLLIN)
        gc.collect()
        gc.freeze()
        return len(made)

    def change(self, order: dict[str, Any]) -> None:
        shape = Shape(**order["shape"])
        for pipe in self.links[order["link"]].chosen(order["direction"]):
            pipe.change(time.monotonic(), shape)
            self.schedule(pipe)

    def state(self, order: dict[str, Any]) -> None:
        link = self.links[order["link"]]
        if link.up != order["up"]:
            link.set_state(order["up"])

    def play(self, order: dict[str, Any]) -> None:
        for pipe in self.links[order["link"]].chosen(order["direction"]):
            pipe.play(time.monotonic(), order["times"], order["rates"], order["origin"])
            self.schedule(pipe)

    def trace(self, order: dict[str, Any]) -> None:
        opportunities = mahimahi.parse(order["file"]).scaled(order["time_scale"])
        for pipe in self.links[order["link"]].chosen(order["direction"]):
            pipe.play_trace(time.monotonic(), opportunities, order["opportunity_bytes"], order["origin"])
            self.schedule(pipe)

    def read_back(self, order: dict[str, Any]) -> dict[str, Any]:
        link = self.links[order["link"]]
        answer: dict[str, Any] = {"up": link.up}
        for direction, pipe in link.pipes.items():
            answer[direction] = asdict(replace(pipe.shape, rate=pipe.rate_in_force(), queue=pipe.limit))
        return answer

    def counters(self, order: dict[str, Any]) -> dict[str, list[int]]:
        pipes = self.links[order["link"]].pipes
        return {d: list(astuple(p.flow())) for d, p in pipes.items()}

    def lateness(self, order: dict[str, Any]) -> dict[str, float]:
        found = {**self.late.summary(), "cpu_s": time.process_time()}
        if order["anew"]:
            self.late = Lateness()
        return found

    def quit(self, order: dict[str, Any]) -> None:
        self.running = False


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()  # nothing here makes cycles; a collection would be a stall
    tighten_timers()
    if not prompt(_PRIORITY):
        print("relay: no real-time priority here; departures will be later under load", file=sys.stderr)
    Relay(control, int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
