"""The kernel's own account of a network namespace, by rtnetlink(7): no program is started to read an interface.

A `Channel` is a socket that was opened inside a namespace and works from outside for as long as it is open (and keeps
the namespace alive). It asks for whole tables, and a second one may listen to what changes. Things are made by
iproute2, whose words a reader knows; here they are read, deleted, and given another rate: a `tc` takes 4 ms to start.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import CannotRun
from testbed.world.live.links.tap import inside

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_NEW_LINK, _DEL_LINK, _GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 16, 17, 18, 22, 26, 30
_NEW_QDISC, _GET_QDISC, _NEW_CLASS, _GET_CLASS, _GET_FILTER = 36, 38, 40, 42, 46
_ETHERNET = 1  # how the kernel counts a frame's time: by its bytes, without a table from us
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_TABLE_MAIN, _PERMANENT = 254, 0x80
_UP, _LOWER_UP = 0x1, 0x10000
#: Groups a listener joins: links, neighbours, traffic control, IPv4 addresses and routes.
GROUPS = 0x1 | 0x4 | 0x8 | 0x10 | 0x40
_INGRESS = 0xFFFFFFF1  # parent of the ingress qdisc; its filters hang on ffff:
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. up: as set; running: up and with carrier, as far as the kernel has settled it."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    running: bool
    alias: str
    group: int


@dataclass(frozen=True, slots=True)
class Control:
    """A queueing discipline or class. handle, parent: as tc numbers them. settings: what it was told, in words; rate
    and limit: bit/s of an htb class, bytes of a fifo, else 0. bytes, packets, drops: since it was made."""

    kind: str
    handle: int
    parent: int
    settings: str
    rate: float
    limit: float
    bytes: int
    packets: int
    drops: int


class Channel:
    """rtnetlink of the namespace at this path (None: the host's), for asking or, with `listen`, for hearing what
    changes. Thread-safe."""

    def __init__(self, netns: str | None, listen: bool = False) -> None:
        self.netns = netns
        try:
            with inside(netns):
                self._socket = socket.socket(
                    socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
                )
        except OSError as error:
            gone = " (its container has ended)" if netns is not None and isinstance(error, FileNotFoundError) else ""
            raise CannotRun(f"the namespace {netns} can't be looked into: {error.strerror}{gone}") from error
        self._socket.bind((0, GROUPS if listen else 0))
        self._socket.settimeout(0.0 if listen else _PATIENCE_S)  # a listener takes what is there
        self._lock = threading.Lock()
        self._sequence = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def links(self) -> dict[str, Link]:
        """All interfaces by name."""
        found = (_link(body) for _, body in self._ask(_GET_LINK, bytes(16), _DUMP))
        return {link.name: link for link in found}

    def link(self, name: str) -> Link | None:
        """One interface; asking for one makes the kernel settle a pending change of its carrier."""
        try:
            _, body = next(iter(self._ask(_GET_LINK, bytes(16) + _text(3, name), 0)))
        except OSError:
            return None
        return _link(body)

    def addresses(self) -> list[tuple[int, str]]:
        """(interface index, "10.77.0.1/16"), IPv4."""
        out = []
        for _, body in self._ask(_GET_ADDRESS, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0), _DUMP):
            _, length, _, _, index = struct.unpack_from("=BBBBi", body)
            parts = attributes(body, 8)
            out.append((index, f"{socket.inet_ntoa(parts.get(2) or parts[1])}/{length}"))
        return out

    def routes(self) -> dict[str, tuple[int, int, str]]:
        """Of the main table, IPv4: "10.77.0.0/16" → (interface index, initial congestion window or 0, congestion
        control or "")."""
        out = {}
        for _, body in self._ask(_GET_ROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, *[0] * 8), _DUMP):
            length, table = body[1], body[4]
            parts = attributes(body, 12)
            if _number(parts.get(15), table) != _TABLE_MAIN:
                continue
            metrics = attributes(parts.get(8, b""), 0)
            where = f"{socket.inet_ntoa(parts[1])}/{length}" if 1 in parts else "default"
            control = metrics.get(16, b"").rstrip(b"\0").decode()
            out[where] = (_number(parts.get(4), 0), _number(metrics.get(11), 0), control)
        return out

    def neighbours(self) -> dict[str, str]:
        """IPv4 address → MAC of the permanent ones."""
        out = {}
        for _, body in self._ask(_GET_NEIGHBOUR, struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, 0, 0, 0, 0), _DUMP):
            parts = attributes(body, 12)
            if struct.unpack_from("=H", body, 8)[0] & _PERMANENT and len(parts.get(1, b"")) == 4:
                out[socket.inet_ntoa(parts[1])] = parts.get(2, b"").hex(":")
        return out

    def qdiscs(self, index: int = 0) -> list[tuple[int, Control]]:
        """(interface index, discipline), of all interfaces or of one; the kernel's "noqueue" left out."""
        asked = self._ask(_GET_QDISC, struct.pack("=BxxxiIII", 0, index, 0, 0, 0), _DUMP)
        found = [(struct.unpack_from("=i", body, 4)[0], _control(body)) for _, body in asked]
        return [(i, c) for i, c in found if (not index or i == index) and c.kind != "noqueue"]

    def classes(self, index: int) -> list[Control]:
        asked = self._ask(_GET_CLASS, struct.pack("=BxxxiIII", 0, index, 0, 0, 0), _DUMP)
        return [_control(body) for _, body in asked]

    def ingress_filters(self, index: int) -> int:
        """How many filters hang on the interface's ingress."""
        asked = self._ask(_GET_FILTER, struct.pack("=BxxxiIII", 0, index, 0, 0xFFFF0000, 0), _DUMP)
        return sum(1 for _ in asked)

    def change_htb(self, index: int, handle: int, parent: int, rate: float, burst: int, quantum: int) -> None:
        """Give an htb class another rate and ceiling, bit/s; burst and quantum in bytes. OSError: there is none."""
        spec = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, min(int(rate / 8), 0xFFFFFFFF))
        ticks = int(8 * burst / rate * _ticks_per_second())
        options = _attribute(1, spec + spec + struct.pack("=5I", ticks, ticks, quantum, 0, 0))
        if rate / 8 > 0xFFFFFFFF:
            options += _attribute(6, struct.pack("=Q", int(rate / 8))) + _attribute(7, struct.pack("=Q", int(rate / 8)))
        self._change(_NEW_CLASS, index, handle, parent, "htb", options)

    def change_bfifo(self, index: int, handle: int, parent: int, limit: float) -> None:
        """Give a queue another size, bytes; what is in it stays. OSError: there is none."""
        self._change(_NEW_QDISC, index, handle, parent, "bfifo", struct.pack("=I", round(limit)))

    def _change(self, message: int, index: int, handle: int, parent: int, kind: str, options: bytes) -> None:
        body = struct.pack("=BxxxiIII", 0, index, handle, parent, 0) + _text(1, kind) + _attribute(2, options)
        self._ask(message, body, _ACK)

    def delete(self, name: str) -> None:
        """Delete one interface, and its peer with it; nothing where there is none."""
        with suppress(OSError):
            self._ask(_DEL_LINK, bytes(16) + _text(3, name), _ACK)

    def delete_group(self, group: int) -> None:
        """Delete every interface of this group at once: the kernel waits for its readers once, not once for each."""
        with suppress(OSError):  # there is none
            self._ask(_DEL_LINK, bytes(16) + _attribute(27, struct.pack("=I", group)), _ACK)

    def heard(self) -> Iterator[tuple[int, int]]:
        """What changed since the last call, of a listener: (message type, interface index; 0 for a route)."""
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: more than the socket holds was said; what, only a look can tell
                yield 0, 0
                continue
            for kind, _, _, body in _messages(data):
                yield kind, struct.unpack_from("=i", body, 4)[0] if kind not in (24, 25) else 0

    def _ask(self, kind: int, body: bytes, flags: int) -> list[tuple[int, bytes]]:
        with self._lock:
            self._sequence += 1
            size = _HEADER.size + len(body)
            self._socket.send(_HEADER.pack(size, kind, _REQUEST | flags, self._sequence, 0) + body)
            found: list[tuple[int, bytes]] = []
            while True:
                for answer, flagged, sequence, content in _messages(self._socket.recv(1 << 18)):
                    if sequence != self._sequence:
                        continue
                    if answer == _NLMSG_DONE:
                        return found
                    if answer == _NLMSG_ERROR:
                        code = -struct.unpack_from("=i", content)[0]
                        if code:
                            raise OSError(code, f"{os.strerror(code)} (rtnetlink, message {kind})")
                        return found
                    found.append((answer, content))
                    if not flagged & 0x2:  # not one of several
                        return found


@functools.cache
def _ticks_per_second() -> float:
    """Of the packet scheduler's clock, in which a burst is told: tc's tick_in_usec, from /proc/net/psched."""
    to_us, from_us, resolution, _ = (int(word, 16) for word in Path("/proc/net/psched").read_text().split())
    return to_us / from_us * resolution


def attributes(data: bytes, start: int) -> dict[int, bytes]:
    """Netlink attributes from `start` on: type → payload; of a type given twice, the last."""
    found, at, end = {}, start, len(data)
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += length + 3 & ~3
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _link(body: bytes) -> Link:
    _, index, flags = struct.unpack_from("=HxxiI", body)
    parts = attributes(body, 16)
    kind = attributes(parts.get(18, b""), 0).get(1, b"")
    state = parts.get(16, b"\0")[0]
    running = bool(flags & _UP and flags & _LOWER_UP and state in (0, 6))  # operstate unknown or up
    return Link(
        index, _string(parts[3]), _string(kind), parts.get(1, b"").hex(":"), _number(parts.get(4), 0),
        bool(flags & _UP), running, _string(parts.get(20, b"")), _number(parts.get(27), 0),
    )  # fmt: skip


def _control(body: bytes) -> Control:
    _, _, handle, parent, _ = struct.unpack_from("=BxxxiIII", body)
    parts = attributes(body, 20)
    kind, options = _string(parts[1]), parts.get(2, b"")
    counted = attributes(parts.get(7, b""), 0)
    size, packets = struct.unpack_from("=QI", counted[1]) if 1 in counted else (0, 0)
    drops = struct.unpack_from("=5I", counted[3])[2] if 3 in counted else 0
    rate = limit = 0.0
    settings = options.hex()
    if kind == "htb":
        settings = ""  # of the discipline: a counter is among them
        told = attributes(options, 0)
        if 1 in told:
            whole = struct.unpack_from("=Q", told[6])[0] if 6 in told else struct.unpack_from("=I", told[1], 8)[0]
            rate = 8.0 * whole
            settings = f"rate {rate:.0f} bit/s"
    elif kind in ("bfifo", "pfifo", "pfifo_fast") and len(options) == 4:
        limit = float(_number(options, 0))
        settings = f"limit {limit:.0f}"
    return Control(kind, handle, parent, settings, rate, limit, size, packets, drops)


def _attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _number(data: bytes | None, default: int) -> int:
    return default if not data else int(struct.unpack_from("=I", data)[0])
