"""The instrument of a calibration: a process that sends numbered datagrams and notes when the kernel received them.

Sent: CLOCK_MONOTONIC just before the send. Received: the kernel's own time stamp of the frame (SO_TIMESTAMPNS), so the
wait for a processor is not counted as the link's, moved from CLOCK_REALTIME to CLOCK_MONOTONIC by the difference of
the two, read at the beginning and at the end: slewing moves it evenly, a clock that was set is refused.
Reads its order from stdin, prints one object per flow.
"""

from __future__ import annotations

import heapq
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live.links.base import HEADER
from testbed.world.live.links.tap import inside, prompt

OVERHEAD = HEADER + 20 + 8  # Ethernet, IPv4 and UDP headers around a payload
_ROOT = Path(__file__).resolve().parents[4]
_SO_TIMESTAMPNS, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 35, 32, 33  # asm-generic/socket.h
_BUFFER = 1 << 23  # bytes: the link is to drop, not a socket
_NUMBER = struct.Struct("!Q")
_STAMP = struct.Struct("qq")
_PRIORITY = 5  # SCHED_FIFO: before all ordinary processes, after the relay
_QUIET = 0.4  # s without a datagram after the last was sent: there is none on the way
_CLOCK_STEP = 0.005  # s the two clocks may have moved against each other: more was no slewing


@dataclass(frozen=True, slots=True)
class Flow:
    """count datagrams of `size` bytes at layer 2, one every `interval` s, the first after `start` s."""

    sender_netns: str
    receiver_netns: str
    sender_ip: str
    receiver_ip: str
    size: int
    interval: float
    count: int
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """sent: monotonic s by number. arrivals: (number, monotonic s) in the order of arrival, copies included."""

    sent: list[float]
    arrivals: list[tuple[int, float]]


def run(flows: Sequence[Flow], timeout: float = 120.0) -> list[Seen]:
    """Send them all at once and wait for the last; one answer per flow."""
    words = [sys.executable, "-m", __name__]
    order = json.dumps([asdict(f) for f in flows])
    try:
        done = subprocess.run(
            words, input=order, capture_output=True, text=True, timeout=timeout, cwd=_ROOT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"the probes did not end within {timeout:.0f} s: the machine is overloaded") from error
    if done.returncode:
        raise CannotRun(f"the probes failed: {done.stderr.strip().splitlines()[-1:]}")
    return [Seen(s["sent"], [(n, at) for n, at in s["arrivals"]]) for s in json.loads(done.stdout)]


class _Running:
    def __init__(self, flow: dict[str, Any]) -> None:
        self.interval, self.count, self.start = flow["interval"], flow["count"], flow["start"]
        with inside(flow["receiver_netns"]):
            self.receiver = _udp(flow["receiver_ip"])
        with inside(flow["sender_netns"]):
            self.sender = _udp(flow["sender_ip"])
        self.receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sender.connect(self.receiver.getsockname())
        self.padding = bytes(flow["size"] - OVERHEAD - _NUMBER.size)
        self.sent: list[float] = []
        self.arrivals: list[tuple[int, float]] = []  # CLOCK_REALTIME

    def send(self) -> float:
        """Send the next and say when the one after it is due, s from the beginning; inf after the last."""
        number = len(self.sent)
        self.sent.append(time.monotonic())
        self.sender.send(_NUMBER.pack(number) + self.padding)
        return self.start + (number + 1) * self.interval if number + 1 < self.count else float("inf")

    def receive(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self.receiver.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = _STAMP.unpack(ancillary[0][2][: _STAMP.size])
            self.arrivals.append((_NUMBER.unpack_from(data)[0], seconds + nanoseconds * 1e-9))


def _udp(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
        made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    made.bind((address, 0))
    made.setblocking(False)
    return made


def _drive(flows: list[_Running]) -> None:
    poll = select.epoll()
    by_fd = {flow.receiver.fileno(): flow for flow in flows}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    begin = last = time.monotonic()
    due = [(flow.start, index) for index, flow in enumerate(flows)]
    heapq.heapify(due)
    while due or time.monotonic() - last < _QUIET:
        while due and due[0][0] <= time.monotonic() - begin:
            _, index = heapq.heappop(due)
            again = flows[index].send()
            last = time.monotonic()
            if again < float("inf"):
                heapq.heappush(due, (again, index))
        # the time-out of epoll is rounded up to milliseconds; select's is not
        wait = max(0.0, due[0][0] - (time.monotonic() - begin)) if due else 0.05
        if select.select([poll], [], [], wait)[0]:
            for fd, _ in poll.poll(0):
                by_fd[fd].receive()
            last = time.monotonic()


def _difference() -> float:
    """CLOCK_REALTIME − CLOCK_MONOTONIC, s."""
    return (time.time_ns() - time.monotonic_ns()) * 1e-9


def main() -> None:
    flows = [_Running(flow) for flow in json.load(sys.stdin)]
    prompt(_PRIORITY)
    start, before = time.time(), _difference()
    _drive(flows)
    span, moved = time.time() - start, _difference() - before
    if abs(moved) > _CLOCK_STEP:
        raise SystemExit(f"the machine's clock was set by {moved * 1e3:.1f} ms: measure again")

    def monotonic(realtime: float) -> float:
        return realtime - before - moved * (realtime - start) / span

    answer = [{"sent": f.sent, "arrivals": [(n, monotonic(at)) for n, at in f.arrivals]} for f in flows]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
