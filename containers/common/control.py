"""The container's end of the control socket: JSON lines to and from the hub, reconnecting for as long as it lives."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from common.wire import encode_json

Message = dict[str, Any]
RECONNECT = 0.2  # s between attempts to reach the hub
LINE_LIMIT = 64 * 1024 * 1024
#: What may wait for a hub that does not read; telemetry then stays with its owner and grows no buffer.
BUFFER_LIMIT = 4 * 1024 * 1024


class Control(asyncio.Protocol):
    """Calls `on_message` for every object from the hub. `send` says whether the message was taken."""

    def __init__(self, path: str, hello: Message, on_message: Callable[[Message], None]) -> None:
        self._path = path
        self._hello = hello
        self._on_message = on_message
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._closed = False
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Connect, serve until the connection ends, again; returns after `close`."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            try:
                await loop.create_unix_connection(lambda: self, self._path)
            except OSError:
                await asyncio.sleep(RECONNECT)
                continue
            await self._lost.wait()
            if not self._closed:
                await asyncio.sleep(RECONNECT)

    def close(self) -> None:
        """Send what is buffered, then end."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def send(self, message: Message) -> bool:
        """Queue one line. False: not connected, or the hub has not read for a while; nothing was queued."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > BUFFER_LIMIT:
            return False
        transport.write(encode_json(message).encode() + b"\n")
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._lost.clear()
        self._pieces.clear()
        self._size = 0
        self.send(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        end = data.find(b"\n")
        if end < 0:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > LINE_LIMIT and self._transport is not None:
                self._transport.abort()
            return
        lines = b"".join((*self._pieces, data)).split(b"\n")
        self._pieces = [lines[-1]] if lines[-1] else []
        self._size = len(lines[-1])
        for line in lines[:-1]:
            self._handle(line)

    def _handle(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            print(f"control: a line of {len(line)} bytes is not a JSON object ({error}); ignored", file=sys.stderr)
            return
        self._on_message(message)
