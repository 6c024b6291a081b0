"""The socket of a testbed held open: requests are taken by threads and carried out by the loop, one after the other."""

from __future__ import annotations

import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.errors import ShaketableError
from testbed.hands import wire

AT_ONCE = 8  # connections; one more is told to come again
ACCEPT_S = 0.2  # how often the door looks whether it is closed


@dataclass
class Ask:
    """A request on its way. gone: its client no longer waits, so it is not carried out any more."""

    request: wire.Request
    answered: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] = field(default_factory=dict)
    gone: bool = False


class Door:
    """Listens at `path`, for root only. The loop calls `serve`; nothing else touches the run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asks: queue.Queue[Ask] = queue.Queue(AT_ONCE)
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._closed = threading.Event()
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """The folder is the run's own and root's only: nobody else can have put something there."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen(AT_ONCE)
        self._listener.settimeout(ACCEPT_S)
        threading.Thread(target=self._accept, name="hands", daemon=True).start()

    def close(self) -> None:
        """Whoever still waits is told that the testbed goes down. May be called twice."""
        self._closed.set()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)
        with suppress(queue.Empty):
            while True:
                _answer(self._asks.get_nowait(), _refusal("the testbed is going down"))

    def serve(self, carry_out: Callable[[wire.Request], dict[str, Any]]) -> None:
        """Carry out what has been asked for until now, in this thread; ShaketableErrors are answers."""
        for _ in range(AT_ONCE):
            try:
                ask = self._asks.get_nowait()
            except queue.Empty:
                return
            if ask.gone:
                continue
            try:
                _answer(ask, {"ok": True, "answer": carry_out(ask.request)})
            except ShaketableError as error:
                _answer(ask, _refusal(str(error), error.exit_code))

    def _accept(self) -> None:
        while not self._closed.is_set() and (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:  # closed, or out of descriptors: the latter passes
                self._closed.wait(ACCEPT_S)
                continue
            if not self._free.acquire(blocking=False):
                _send(connection, _refusal(f"{AT_ONCE} others are being served: try again"))
                continue
            threading.Thread(target=self._talk, args=(connection,), name="hand", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            _send(connection, self._hear(connection))
        finally:
            self._free.release()

    def _hear(self, connection: socket.socket) -> dict[str, Any]:
        try:
            if _user(connection) not in (0, os.geteuid()):
                return _refusal("only root may work on a testbed")
            ask = Ask(wire.parse(wire.read_line(connection, wire.REQUEST_BYTES, wire.REQUEST_S)))
            self._asks.put(ask, timeout=wire.ANSWER_S)
        except ShaketableError as error:
            return _refusal(str(error), error.exit_code)
        except queue.Full:
            return _refusal("the testbed is too busy to answer: try again")
        except OSError as error:  # among them TimeoutError: the client went, or says nothing
            return _refusal(f"the request did not arrive: {error}")
        for _ in range(int(wire.ANSWER_S / ACCEPT_S)):
            if ask.answered.wait(ACCEPT_S):
                return ask.answer
            if self._closed.is_set():
                break
        ask.gone = not ask.answered.wait(ACCEPT_S)
        if not ask.gone:
            return ask.answer
        return _refusal("no answer: the testbed is going down, or its loop hangs; `status` says what was carried out")


def _answer(ask: Ask, answer: dict[str, Any]) -> None:
    ask.answer = answer
    ask.answered.set()


def _refusal(why: str, code: int = 4) -> dict[str, Any]:
    return {"ok": False, "code": code, "error": why}


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    """And close. A client that has gone hears nothing."""
    with connection, suppress(OSError):
        connection.settimeout(wire.REQUEST_S)
        connection.sendall(wire.encode(answer))


def _user(connection: socket.socket) -> int:
    """Of the process at the other end, as the kernel has it."""
    who = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", who)[1])
