"""The helper of measure.py: sockets in many namespaces, one loop. Reads its order from stdin, prints its results."""

from __future__ import annotations

import json
import os
import select
import socket
import statistics
import struct
import sys
import time
from typing import Any

from testbed.world.live.links.base import DEFAULT_QUEUE, HEADER, MTU
from testbed.world.live.links.htb import ifb_of
from testbed.world.live.links.tap import inside, prompt

_ECHOES = 11  # per probe, after one that finds the neighbour
_PATIENCE = 1.0  # s for an echo
_OVERHEAD = HEADER + 20 + 8  # Ethernet, IPv4 and UDP headers around a payload
_ECHO = struct.Struct("!QI")  # ns sent, number
_EXCESS = 1.15  # sent over configured: enough to saturate, little enough for other links
_FRAME_TIME = 0.005  # s: a slow link gets smaller frames, so that a count of whole frames is still exact
_PRIORITY = 5  # SCHED_FIFO: before all ordinary processes, after the relay
_SKIP = 0.15  # s of the beginning left out, besides the delay


class Endpoint:
    """Sockets and counter of one probe."""

    def __init__(self, probe: dict[str, Any]) -> None:
        self.rate, self.extra = probe["rate_bps"], probe["extra_delay_s"]
        with inside(probe["receiver_netns"]):
            self.receiver = _udp(probe["receiver_ip"])
        with inside(probe["sender_netns"]):
            self.sender = _udp(probe["sender_ip"])
            self.sender.connect(self.receiver.getsockname())
        where = probe["counter"] or {"interface": probe["receiver_interface"], "netns": probe["receiver_netns"]}
        with inside(where["netns"]):
            # this thread's, so that it is the namespace just entered; open, it stays that namespace's
            self.counter = os.open("/proc/thread-self/net/dev", os.O_RDONLY)
        ifb = ifb_of(where["interface"])  # where there is one, the interface itself counts before the shaper
        self.interface = ifb if ifb in self._table() else where["interface"]
        self.trips: list[float] = []
        self.sent = 0
        size = min(HEADER + MTU, max(200, int(self.rate * _FRAME_TIME / 8)))
        self.payload = bytes(size - _OVERHEAD)
        self.received_bytes()

    def _table(self) -> dict[str, int]:
        """Bytes received by every interface of the counting namespace, layer 2."""
        rows = (line.split(":") for line in os.pread(self.counter, 1 << 16, 0).decode().splitlines()[2:])
        return {name.strip(): int(numbers.split()[0]) for name, numbers in rows}

    def received_bytes(self) -> int:
        table = self._table()
        if self.interface not in table:
            raise LookupError(f"no interface {self.interface}, where the bits are to be counted")
        return table[self.interface]

    def delay(self) -> float | None:
        if not self.trips:
            return None
        own = (_OVERHEAD + _ECHO.size) * 8 / self.rate
        return max(0.0, statistics.median(self.trips) / 2 - own - self.extra)

    def blast(self, elapsed: float) -> None:
        """Send what is due after `elapsed` s at the excess rate; what the kernel has no room for is dropped here."""
        due = int(elapsed * self.rate * _EXCESS / 8 / (len(self.payload) + _OVERHEAD))
        while self.sent < due:
            self.sent += 1
            try:
                self.sender.send(self.payload)
            except (BlockingIOError, ConnectionRefusedError):
                continue


def _udp(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.setblocking(False)
    return made


def echo(points: list[Endpoint]) -> None:
    """Round trips on all idle links, a round at a time; fills `trips`. The first round only finds neighbours."""
    poll, by_fd = select.poll(), {}
    for point in points:
        for end in (point.receiver, point.sender):
            poll.register(end, select.POLLIN)
            by_fd[end.fileno()] = (point, end)
    for number in range(_ECHOES + 1):
        waiting = len(points)
        for point in points:
            point.sender.send(_ECHO.pack(time.monotonic_ns(), number))
        deadline = time.monotonic() + _PATIENCE
        while waiting and time.monotonic() < deadline:
            for fd, _ in poll.poll(50):
                point, end = by_fd[fd]
                data, source = end.recvfrom(2048)
                if end is point.receiver:
                    end.sendto(data, source)
                    continue
                at, answered = _ECHO.unpack(data)
                if answered == number:
                    waiting -= 1
                    if number:
                        point.trips.append((time.monotonic_ns() - at) / 1e9)


def saturate(points: list[Endpoint], seconds: float) -> list[float]:
    """bit/s each counter saw while all of them were sent too much."""
    first: dict[int, tuple[float, int]] = {}
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        for index, point in enumerate(points):
            point.blast(elapsed)
            if index not in first and elapsed > min(_SKIP + (point.delay() or 0.0) + point.extra, seconds / 2):
                first[index] = (time.monotonic(), point.received_bytes())
        time.sleep(0.001)
    rates = []
    for index, point in enumerate(points):
        since, count = first[index]
        rates.append((point.received_bytes() - count) * 8 / (time.monotonic() - since))
    time.sleep(min(1.0, max(DEFAULT_QUEUE * 8 / p.rate for p in points)))  # their queues run empty
    return rates


def main() -> None:
    order = json.load(sys.stdin)
    prompt(_PRIORITY)  # where it may not, an echo also takes the time this process waits for a processor
    points = [Endpoint(probe) for probe in order["probes"]]
    echo(points)
    results: list[dict[str, float | None]] = [{"bps": 0.0, "delay_s": p.delay()} for p in points]
    for group in order["groups"]:
        for index, rate in zip(group, saturate([points[i] for i in group], order["seconds"]), strict=True):
            results[index]["bps"] = rate
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
