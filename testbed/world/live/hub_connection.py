"""One container's connection to the hub: JSON lines, and never a wait for a container that does not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

LINE_LIMIT = 64 * 1024 * 1024
BUFFER_LIMIT = 64 * 1024 * 1024  # bytes kept for one container
HELLO_LIMIT = 5.0  # s a connection may stay anonymous
READ_LIMIT = 5.0  # s a container may leave bytes unread

Message = dict[str, Any]


def line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Connection(asyncio.Protocol):
    """on_message(connection, message) may raise: whatever is wrong with a message ends its connection only."""

    def __init__(
        self,
        on_message: Callable[[Connection, Message], None],
        on_lost: Callable[[Connection], None],
        note: Callable[[str], None],
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._note = note
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._unread_since: float | None = None
        self._opened = asyncio.get_running_loop().time()
        self.id: str | None = None  # once it said hello
        self.paths_sent = -1  # which paths of the view it has

    @property
    def name(self) -> str:
        return self.id if self.id is not None else "a connection without hello"

    @property
    def behind(self) -> bool:
        """Whether earlier bytes are still unread; views are then not sent (the next one replaces them)."""
        return self._transport is None or self._transport.get_write_buffer_size() > 0

    def send(self, data: bytes) -> None:
        """Queue bytes; a container that lets them pile up is dropped."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(data) > BUFFER_LIMIT:
            self.drop(f"left {self._transport.get_write_buffer_size()} bytes unread")
            return
        self._transport.write(data)

    def check(self, now: float) -> None:
        """Drop it if it has not read, or not said hello, for too long."""
        if self.id is None and now - self._opened > HELLO_LIMIT:
            self.drop(f"said no hello for {HELLO_LIMIT:g} s")
        elif not self.behind:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > READ_LIMIT:
            self.drop(f"did not read for {READ_LIMIT:g} s")

    def drop(self, why: str) -> None:
        """End the connection and report why."""
        self._note(f"{self.name}: {why}; control connection closed")
        self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Close once what is queued was sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        if data.find(b"\n") < 0:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > LINE_LIMIT:
                self.drop(f"sent a line of more than {LINE_LIMIT} bytes")
            return
        lines = b"".join((*self._pieces, data)).split(b"\n")
        self._pieces = [lines[-1]] if lines[-1] else []
        self._size = len(lines[-1])
        for text in lines[:-1]:
            if self._transport is None or self._transport.is_closing():
                return
            self._handle(text)

    def _handle(self, text: bytes) -> None:
        try:
            message = json.loads(text)
            if not isinstance(message, dict):
                raise ValueError("not a JSON object")
            self._on_message(self, message)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            self.drop(f"sent a line that can't be used ({type(error).__name__}: {error}): {text[:120]!r}")
