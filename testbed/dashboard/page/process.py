"""The process that serves: `python -m testbed.dashboard.page.process FEED LISTENER…`, all inherited descriptors.

It ends when the feed's other end closes, however the run died. Run as root it becomes nobody once it has everything it
needs: what strangers send is read by a process that may do nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from testbed.dashboard.page.app import Hub, server
from testbed.dashboard.page.view import View

NOBODY = 65534
LONGEST = 1 << 26  # bytes of a line of the feed: of the ground of a thousand hosts, some MB
MOST_ASKED = 8  # at a time
DESCRIPTORS = 256
PR_SET_NO_NEW_PRIVS = 38
LINGER_S = 0.5  # for the last words to reach whoever reads


class Feed:
    """The page's end of the socket pair (testbed.dashboard.page.feed)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()

    async def line(self) -> tuple[str, Any] | None:
        """(letter, value); None at the end."""
        data = await self.reader.readline()
        return (chr(data[0]), json.loads(data[1:])) if data.endswith(b"\n") else None

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if len(self._waiting) >= MOST_ASKED:
            return {"ok": False, "code": 4, "error": f"{MOST_ASKED} others are being served: try again"}
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.writer.write(b"Q" + json.dumps({"id": number, "request": request}).encode() + b"\n")
            await self.writer.drain()
            return await self._waiting[number]
        except ConnectionError:
            return {"ok": False, "code": 4, "error": "the run has ended"}
        finally:
            self._waiting.pop(number, None)

    def answered(self, answer: dict[str, Any]) -> None:
        waiting = self._waiting.get(answer.pop("id"))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


async def serve(feed_descriptor: int, listeners: list[int]) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=feed_descriptor), limit=LONGEST)
    feed = Feed(reader, writer)
    first = await feed.line()
    if first is None:
        return
    view = View(first[1])
    hub = Hub(view, feed.ask if view.ground["hands"] else None)
    http = server(hub)
    sockets = [socket.socket(fileno=n) for n in listeners]
    for s in sockets:
        s.setblocking(False)
    http.add_sockets(sockets)
    with suppress(ConnectionError):
        while (line := await feed.line()) is not None:
            _heed(*line, feed, hub)
    await asyncio.sleep(LINGER_S)


def _heed(letter: str, value: Any, feed: Feed, hub: Hub) -> None:
    """A line of the feed."""
    view = hub.view
    if letter == "S":
        hub.tell("status", view.take_status(value))
    elif letter == "E":
        before = dict(view.faults)
        if new := view.take_event(value):
            hub.tell("events", new)
        if view.faults != before:
            hub.tell("faults", view.shaken())
    elif letter == "A":
        feed.answered(value)
    elif letter == "Z":
        view.last = value
        hub.tell("last", value)


def _become_nobody() -> None:
    """No rights, none to be had, and few descriptors. Not root: whoever started us is what we stay."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    feed, *listeners = map(int, arguments)
    "".encode("idna")  # imported now: as nobody we may not be able to read where Python lies
    _become_nobody()
    asyncio.run(serve(feed, listeners))


if __name__ == "__main__":
    main(sys.argv[1:])
