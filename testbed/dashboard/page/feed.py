"""The run's side of the live page: starts its process, tells it what happens, and does what it is asked for.

Nothing of this may hold the run up: the loop only leaves its status here; a thread tells it to the page, with the
lines that events.jsonl has got meanwhile. A page that is slow misses statuses, never events.

Over the socket pair, a line each: a letter and JSON. To the page: G ground, S status, E a line of events.jsonl, A an
answer, Z the end. From it: Q a question.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from testbed.errors import CannotRun, ShaketableError
from testbed.record.folder import EVENTS, plain

ROOT = Path(__file__).parents[3]
LOOPBACK = "127.0.0.1"
LOOK_S = 0.2  # real s between two looks at the events
END_S = 3.0  # for the page's process to end by itself
PIECE = 1 << 20  # bytes of events at a time

#: Carries out {"do": "inject" | "heal", …} as the command line would; ShaketableErrors are answers.
Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What of it is to be served. port, metrics: on the loopback; 0 for a port of the kernel's choice, None for none.

    read_only: nothing can be asked for, whatever the run allows.
    """

    port: int | None = None
    metrics: int | None = None
    read_only: bool = False

    @property
    def anything(self) -> bool:
        return self.port is not None or self.metrics is not None


#: Nothing is served.
NONE = Wanted()


class LivePage:
    """Up from `open` to `close`. ask: None where nobody may put a hand on the run.

    addresses: what to tell whoever started it; the page's holds the token. Raises CannotRun where a port is taken.
    """

    def __init__(self, wanted: Wanted, run_id: str, out: Path, ground: Mapping[str, Any], ask: Ask | None) -> None:
        self.run_id, self._events, self._ask = run_id, out / EVENTS, None if wanted.read_only else ask
        self.token = secrets.token_urlsafe(24)
        self._listeners = [_listen(p) for p in (wanted.port, wanted.metrics) if p is not None]
        ports = [s.getsockname()[1] for s in self._listeners]
        self.page = f"http://{LOOPBACK}:{ports[0]}/{self.token}/" if wanted.port is not None else None
        self.metrics = f"http://{LOOPBACK}:{ports[-1]}/metrics"
        self.hands = self._ask is not None
        told = {**ground, "token": self.token if self.page else None, "hands": self.hands}
        self._ground = _line("G", plain(told))
        self._status: Mapping[str, Any] | None = None
        self._news, self._closing = threading.Event(), threading.Event()
        self._sending = threading.Lock()
        self._last = ""

    def open(self) -> None:
        self._ours, theirs = socket.socketpair()
        shared = [theirs.fileno(), *(s.fileno() for s in self._listeners)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path}
        # A session of its own, and not marked as the run's: neither Ctrl-C nor the run's removal is its end, since it
        # shows what came out. It ends when our end of the socket pair closes, and that the kernel sees to.
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.process", *map(str, shared)], pass_fds=shared, env=environment,
            start_new_session=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        for s in (theirs, *self._listeners):
            s.close()
        self._threads = [
            threading.Thread(target=work, name=f"page, {what}", daemon=True)
            for work, what in ((self._tell, "telling"), (self._hear, "hearing"))
        ]
        for thread in self._threads:
            thread.start()

    def close(self, last: str = "") -> None:
        """last: what the page shows as the run's end. The process ends when its socket does."""
        self._last = last
        self._closing.set()
        self._news.set()
        self._threads[0].join(END_S)
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(END_S)
        self._ours.close()

    def __enter__(self) -> LivePage:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closing.is_set():
            self.close("" if error is None else f"The run has ended: {error or type(error).__name__}")

    def show(self, status: Mapping[str, Any]) -> None:
        """Called by the loop at every slot: the latest one counts."""
        self._status = status
        self._news.set()

    # -- the threads

    def _tell(self) -> None:
        position = 0
        with suppress(OSError):  # the page's process has ended: the run goes on without it
            self._send(self._ground)
            while True:
                over = self._closing.is_set()
                self._news.wait(LOOK_S)
                self._news.clear()
                status, self._status = self._status, None
                if status is not None:
                    self._send(_line("S", plain(status)))
                position = self._tell_events(position)
                if over:
                    self._send(_line("Z", self._last))
                    return

    def _tell_events(self, position: int) -> int:
        """What events.jsonl has got since. Its last line may be half there."""
        try:
            with self._events.open("rb") as file:
                file.seek(position)
                while piece := file.read(PIECE):
                    whole = piece[: piece.rfind(b"\n") + 1]
                    if not whole:
                        break
                    self._send(b"".join(b"E" + line for line in whole.splitlines(keepends=True)))
                    position += len(whole)
                    file.seek(position)
        except FileNotFoundError:  # not begun yet, or never
            pass
        return position

    def _hear(self) -> None:
        with suppress(OSError), self._ours.makefile("rb") as lines:
            for line in lines:
                asked = json.loads(line[1:])
                self._send(_line("A", {"id": asked["id"], **self._answer(asked["request"])}))

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the page sends was written by whoever has its address: it may ask for two things only."""
        if self._ask is None or request.get("do") not in ("inject", "heal"):
            return {"ok": False, "code": 4, "error": "read-only: nothing can be asked for here"}
        try:
            return {"ok": True, "answer": plain(self._ask(request))}
        except ShaketableError as error:
            return {"ok": False, "code": error.exit_code, "error": str(error)}

    def _send(self, data: bytes) -> None:
        with self._sending:
            self._ours.sendall(data)


def _line(letter: str, value: Any) -> bytes:
    return f"{letter}{json.dumps(value, separators=(',', ':'))}\n".encode()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise CannotRun(
            f"port {port} of {LOOPBACK} can't be listened on ({error.strerror}); name another, or 0 for a free one"
        ) from None
    listener.listen(128)
    return listener
