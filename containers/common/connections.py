"""Outgoing connections: one for each peer, opened on first use, frames in order.

Responsibility for a REQUEST passes to the receiver when it acknowledges it, which it does after reporting it to
the hub. Requests not acknowledged when a connection ends are handed to `on_failed`.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections import deque
from collections.abc import Callable

from common.wire import ACK, FIN, REQUEST, Decoder, Header, WireError, head

#: s; a peer that is gone is noticed by the view first, this is for one that never was.
CONNECT_TIMEOUT = 10.0
#: Bytes that may wait in this process for one peer; beyond, frames fail instead of filling the memory.
BUFFER_LIMIT = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_ZEROS = bytes(_CHUNK)


class Link(asyncio.Protocol):
    """One connection to the peer `key` (an instance's id, or a gateway's name)."""

    def __init__(self, owner: Connections, key: str, address: str, port: int) -> None:
        self._owner = owner
        self._decoder = Decoder()
        self._acked = 0
        self._waiting: list[tuple[bytes, int]] = []  # frames to write once the connection stands
        self._waiting_bytes = 0
        self._transport: asyncio.Transport | None = None
        self.key, self.address, self.port = key, address, port
        self.pending: deque[Header] = deque()  # requests not yet acknowledged, oldest first
        self.draining = False
        self.closed = False
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(lambda: self, self.address, self.port)
        except OSError:  # TimeoutError is one
            self._end()

    def send(self, kind: int, header: Header, length: int = 0) -> None:
        """Write a frame with `length` zero bytes of payload. A request counts as pending even if it can't be."""
        if kind == REQUEST:
            self.pending.append(header)
        if self.buffered() + length > BUFFER_LIMIT:
            self.abort()
            return
        first = head(kind, header, length)
        if self._transport is None:
            self._waiting.append((first, length))
            self._waiting_bytes += len(first) + length
        else:
            _write(self._transport, first, length)
        if kind == REQUEST and self.draining:
            self.fin()

    def fin(self) -> None:
        """Tell a draining peer that nothing new will be routed to it (again after a bound frame)."""
        self.draining = True
        self.send(FIN, {"src": self._owner.source})

    def buffered(self) -> int:
        """Bytes in this process that the kernel has not taken yet."""
        return self._waiting_bytes + (self._transport.get_write_buffer_size() if self._transport else 0)

    def flushed(self) -> bool:
        """Whether the peer's kernel has acknowledged every byte and the peer every request."""
        if self.closed:
            return True
        if self._transport is None or self.pending or self._transport.get_write_buffer_size():
            return False
        sock = self._transport.get_extra_info("socket")
        return bool(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0] == 0)

    def abort(self) -> None:
        """End at once; pending requests fail. Not from within `send`'s caller: after this turn of the loop."""
        if not self.closed:
            asyncio.get_running_loop().call_soon(self._end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self.closed:
            transport.abort()  # type: ignore[attr-defined]
            return
        for first, length in self._waiting:
            _write(self._transport, first, length)  # type: ignore[arg-type]
        self._waiting.clear()
        self._waiting_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                n = frame.header.get("n")
                if frame.kind != ACK or type(n) is not int or not self._acked <= n <= self._acked + len(self.pending):
                    raise WireError(f"kind {frame.kind} with n = {n!r} where an acknowledgement is expected")
                for _ in range(n - self._acked):
                    self.pending.popleft()
                self._acked = n
        except WireError:
            self._end()

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._task.cancel()
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()
        failed, self.pending = list(self.pending), deque()
        self._owner.ended(self, failed)


def _write(transport: asyncio.Transport, first: bytes, length: int) -> None:
    """A frame's bytes; the payload's content is arbitrary, so all frames share one block of zeros."""
    if length <= _CHUNK:
        transport.write(first + _ZEROS[:length])
        return
    transport.write(first)
    while length > 0:
        transport.write(_ZEROS if length >= _CHUNK else _ZEROS[:length])
        length -= _CHUNK


class Connections:
    """All outgoing connections of this process. source: this sender's endpoint name, told in FIN."""

    def __init__(self, source: str, on_failed: Callable[[str, list[Header]], None]) -> None:
        self.source = source
        self.links: dict[str, Link] = {}
        self._on_failed = on_failed

    def send(self, key: str, address: str, port: int, kind: int, header: Header, length: int = 0) -> None:
        """Send to `key` at address:port, connecting first if need be."""
        link = self.links.get(key)
        if link is None or link.closed:
            link = self.links[key] = Link(self, key, address, port)
        link.send(kind, header, length)

    def flushed(self) -> bool:
        return all(link.flushed() for link in self.links.values())

    def ended(self, link: Link, failed: list[Header]) -> None:
        """A link is over: forget it, hand back what it still owed."""
        if self.links.get(link.key) is link:
            del self.links[link.key]
        self._on_failed(link.key, failed)

    def close(self) -> None:
        """Abort everything without asking anyone to send again."""
        self._on_failed = lambda key, failed: None
        for link in list(self.links.values()):
            link._end()
