"""Two namespaces to hang links between, sockets in them, and datagrams with numbers."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from testbed.topology.model import Shape
from testbed.world.live.links.base import End, LinkBackend, WireLink
from testbed.world.live.links.measure import Probe
from testbed.world.live.links.tap import inside, prompt

_numbers = count()
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; not in the socket module
BUFFER = 1 << 22  # bytes a receiving socket may hold: the link is to drop, not the test


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def awaited(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Look until it holds, or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@dataclass
class Wires:
    """Link i joins e<i>a in namespace a (10.9.i.1) with e<i>b in namespace b (10.9.i.2)."""

    names: tuple[str, str]
    backends: list[LinkBackend] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    made: int = 0

    @property
    def a(self) -> str:
        return f"/run/netns/{self.names[0]}"

    @property
    def b(self) -> str:
        return f"/run/netns/{self.names[1]}"

    def link(self, ab: Shape, ba: Shape | None = None) -> WireLink:
        i = self.made
        self.made += 1
        return WireLink(f"l{i}", End(f"sktest-e{i}a", self.a), End(f"sktest-e{i}b", self.b), ab, ba or ab)

    def join(self, backend: LinkBackend, *links: WireLink) -> None:
        """Create, then give addresses and permanent neighbours, as the testbed does."""
        self.backends.append(backend)
        backend.create(links)
        for link in links:
            i = int(link.name[1:])
            addresses = {
                name: self._address(name, f"sktest-e{i}{end}") for name, end in zip(self.names, "ab", strict=True)
            }
            for own, (name, end) in enumerate(zip(self.names, "ab", strict=True)):
                ip("-n", name, "addr", "add", f"10.9.{i}.{own + 1}/24", "dev", f"sktest-e{i}{end}")
                other = addresses[self.names[1 - own]]
                ip("-n", name, "neigh", "replace", f"10.9.{i}.{2 - own}", "lladdr", other, "dev", f"sktest-e{i}{end}")

    @staticmethod
    def _address(name: str, interface: str) -> str:
        words = ip("-n", name, "-o", "link", "show", "dev", interface).split()
        return words[words.index("link/ether") + 1]

    def udp(self, link: WireLink, end: str) -> socket.socket:
        """A non-blocking socket at the link's end, "a" or "b", not connected."""
        with inside(self.a if end == "a" else self.b):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        made.bind((f"10.9.{link.name[1:]}.{1 if end == 'a' else 2}", 0))
        made.setblocking(False)
        self.sockets.append(made)
        return made

    def pair(self, link: WireLink) -> tuple[socket.socket, socket.socket]:
        """Sockets at a and b, connected to each other."""
        one, two = self.udp(link, "a"), self.udp(link, "b")
        one.connect(two.getsockname())
        two.connect(one.getsockname())
        return one, two

    def probe(self, link: WireLink, rate: float, direction: str = "ab") -> Probe:
        ends = [(self.a, "1", link.a), (self.b, "2", link.b)]
        (source, here, _), (target, there, end) = ends if direction == "ab" else reversed(ends)
        net = f"10.9.{link.name[1:]}."
        return Probe(link.name, source, target, net + here, net + there, end.interface, rate)


def send_numbered(
    sender: socket.socket,
    receiver: socket.socket,
    number: int,
    interval: float,
    size: int = 100,
    during: Callable[[int], None] = lambda index: None,
    quiet: float = 0.5,
    most: int | None = None,
) -> list[tuple[int, float, float]]:
    """(number, sent, received) in order of arrival; waits until `most` (default: all sent) have come, or nothing has
    for `quiet` s after the last."""
    got: list[tuple[int, float, float]] = []
    sent: list[float] = []
    start = last = time.monotonic()
    while len(sent) < number or time.monotonic() - last < quiet:
        due = len(sent) < number and time.monotonic() >= start + len(sent) * interval
        if due:
            during(len(sent))
            sent.append(time.monotonic())
            sender.send(len(sent).to_bytes(4, "big") + bytes(size - 4))
            last = sent[-1]
        # sleeping, not spinning: a real-time process that spins is stopped by the kernel, and the relay with it
        pause = max(0.0, start + len(sent) * interval - time.monotonic()) if len(sent) < number else 0.05
        if select.select([receiver], [], [], pause)[0]:
            try:
                index = int.from_bytes(receiver.recv(2048)[:4], "big") - 1
            except BlockingIOError:  # the datagram's checksum was wrong: the kernel has thrown it away
                continue
            last = time.monotonic()
            got.append((index, sent[index], last))
            if len(got) == (most or number):
                break
    return got


@pytest.fixture
def wires() -> Iterator[Wires]:
    tag = f"sktest-{os.getpid() % 100000}-{next(_numbers)}"
    made = Wires((f"{tag}a", f"{tag}b"))
    try:
        for name in made.names:
            ip("netns", "add", name)
        yield made
    finally:
        for sock in made.sockets:
            sock.close()
        for backend in made.backends:
            backend.close()
        for name in made.names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def punctual() -> Iterator[None]:
    """A time-stamping test does not wait for a processor while others use them all; below the relay's priority."""
    assert prompt(5)
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def numbered() -> Callable[..., list[tuple[int, float, float]]]:
    return send_numbered


@pytest.fixture
def until() -> Callable[..., bool]:
    return awaited
