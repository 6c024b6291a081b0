"""Moving a service's state: its bytes travel over the emulated network before the new instance is ready."""

from __future__ import annotations

import asyncio

from common.wire import STATE, STATE_GET, Decoder, WireError, head

CHUNK = 1024 * 1024  # bytes in one STATE frame; "left" in its header says what is still to come
ATTEMPTS = 3


async def fetch(address: str, port: int, pause: float) -> bool:
    """Ask address:port for its state until it came whole; False after ATTEMPTS failures, `pause` s apart."""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(pause)
        try:
            reader, writer = await asyncio.open_connection(address, port)
        except OSError:
            continue
        try:
            writer.write(head(STATE_GET, {}))
            decoder = Decoder()
            while data := await reader.read(CHUNK):
                for frame in decoder.feed(data):
                    if frame.kind == STATE and frame.header.get("left") == 0:
                        return True
        except (OSError, WireError):
            continue
        finally:
            writer.close()
    return False


async def send(transport: asyncio.Transport, size: int) -> None:
    """Write `size` bytes as STATE frames, never more than a few of them ahead of the network."""
    left = size
    while True:
        part = min(CHUNK, left)
        left -= part
        transport.write(head(STATE, {"left": left}, part) + bytes(part))
        if not left:
            return
        while transport.get_write_buffer_size() > 2 * CHUNK:
            await asyncio.sleep(0.01)
            if transport.is_closing():
                return
