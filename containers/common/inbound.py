"""One accepted TCP connection: frames, or (when it opens with "GET ") one plain-text HTTP answer."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

from common.wire import ACK, REQUEST, Decoder, Frame, WireError, head

#: After a peer was silent for so long it is asked whether it is there; real s. A node that loses its power says no
#: goodbye, and each of its connections would stay for ever. Longer than an outage of a link may last (7 min in all).
SILENT_S, AGAIN_S, TIMES = 300, 30, 4
HTTP_LIMIT = 8192  # bytes of an HTTP request line and headers


class Inbound(asyncio.Protocol):
    """requests: REQUEST frames received so far, of which `acked` were acknowledged; fin: see docs/wire.md, a drain.

    on_frame may raise WireError: the connection is then closed, as for any frame that breaks a rule.
    """

    def __init__(
        self,
        connections: set[Inbound],
        on_frame: Callable[[Inbound, Frame], None],
        http: Callable[[str], tuple[int, str]],
    ) -> None:
        self._connections = connections
        self._on_frame = on_frame
        self._http = http
        self._decoder = Decoder()
        self._opening = b""
        self._frames = False  # known to carry frames
        self.transport: asyncio.Transport | None = None
        self.requests = self.acked = 0
        self.fin = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._connections.add(self)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, SILENT_S), (socket.TCP_KEEPINTVL, AGAIN_S), (socket.TCP_KEEPCNT, TIMES),
        ):  # fmt: skip
            peer.setsockopt(socket.IPPROTO_TCP, option, value)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if not self._frames:
            data = self._opening + data
            if data[:4] == b"GET "[: len(data)]:
                self._opening = data
                self._answer(data)
                return
            self._frames = True
            self._opening = b""
        try:
            for frame in self._decoder.feed(data):
                if frame.kind == REQUEST:
                    self.requests += 1
                self._on_frame(self, frame)
        except WireError as error:
            print(f"frames: {error}; connection closed", file=sys.stderr)
            if self.transport is not None:
                self.transport.abort()

    def acknowledge(self) -> None:
        """Tell the sender how many of its requests are in the hub's books (docs/wire.md, ACK)."""
        if self.acked < self.requests and self.transport is not None and not self.transport.is_closing():
            self.acked = self.requests
            self.transport.write(head(ACK, {"n": self.acked}))

    def _answer(self, data: bytes) -> None:
        if self.transport is None or (b"\r\n\r\n" not in data and len(data) < HTTP_LIMIT):
            return
        words = data.split(None, 2)
        status, text = self._http(words[1].decode("latin-1") if len(words) > 1 else "/")
        reason = {200: "OK", 404: "Not Found"}.get(status, "Service Unavailable")
        body = text.encode()
        self.transport.write(
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()
