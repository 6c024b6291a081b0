"""Path control as its owner sees it: starts os-ken in a process of its own and commands it over a Unix socket pair.

The process ends when the socket closes, so it can't outlive its owner. The flows it wrote outlive it: switches
forward as before while it is dead, and `restart` reads what they hold instead of writing it anew.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from testbed.errors import CannotRun
from testbed.world.live.difference import Difference
from testbed.world.live.ledger import marked_environment, start_time
from testbed.world.live.names import Names
from testbed.world.live.openflow_paths import Plan

ROOT = Path(__file__).resolve().parents[3]  # where the package `testbed` is imported from
PATIENCE_S = 30.0  # for an answer; os-ken takes 1 s to start, 60 switches 1 s to be written
LOG = "openflow.log"
AUDIT_S = 0.5  # real s a slot waits for the flows' audit; a later answer is taken by a later slot
HUNG_S = 10.0  # real s without an answer, after which the process is ended and another takes its place


class Silent(CannotRun):
    """os-ken runs and does not answer: starved, or hung."""


class Book(Protocol):
    """What we need of a ledger."""

    def add(self, kind: str, **fields: Any) -> int: ...

    def done(self, *numbers: int) -> None: ...


class PathControl:
    """start → configure → (switches connect) → wait_connected → recompute, events, status … → stop. Thread-safe."""

    def __init__(self, names: Names, ledger: Book, python: str) -> None:
        """python: the interpreter to run os-ken with, e.g. sys.executable."""
        self.names, self.ledger, self.python = names, ledger, python
        self.port = 0  # of the loopback, where the switches find it; kept over a restart
        self._plan: Plan | None = None
        self._avoided: frozenset[str] = frozenset()  # by the last `recompute`, told again after a restart
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._entries: list[int] = []
        self._events: deque[dict[str, Any]] = deque()
        self._answers: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self._listening = threading.Event()
        self._lock = threading.Lock()
        self._life = threading.Lock()  # of starting anew and stopping
        self._stopped = False
        self.lost = False  # on purpose (`lose`)
        self._next = 0
        self._slow = 0.0
        self._audit: tuple[int, queue.Queue[dict[str, Any] | None], float] | None = None  # under way, and since when

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Start the process without waiting for it; `start` waits. Does nothing when it has begun."""
        if self._process is not None:
            return
        self._entries.append(self.ledger.add("process", what="os-ken"))
        environment = marked_environment(self.names.run_id)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        ours, theirs = socket.socketpair()
        words = [self.python, "-m", f"{__package__}.openflow_process", str(theirs.fileno()), str(self.port)]
        self._listening.clear()
        with open(self._log, "ab") as log:
            # A session of its own: Ctrl-C in the terminal is for the owner, who ends this process in order.
            self._process = subprocess.Popen(
                words, pass_fds=[theirs.fileno()], env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        theirs.close()
        pid = self._process.pid
        self._entries.append(self.ledger.add("process", what="os-ken", pid=pid, start_time=start_time(pid)))
        self._socket = ours
        threading.Thread(target=self._read, args=(ours,), name="openflow", daemon=True).start()

    def start(self) -> int:
        """Start the process if `begin` has not; returns the port it listens on."""
        self.begin()
        if not self._listening.wait(PATIENCE_S) or not self.alive:
            raise CannotRun(f"os-ken did not start within {PATIENCE_S:.0f} s{self._said()}")
        return self.port

    def configure(self, plan: Plan) -> None:
        """Tell it the network. Switches that connect before are refused and try again."""
        self._plan = plan
        self._call("configure", plan=plan.to_wire(), down=sorted(self._avoided), slow_s=self._slow)

    def wait_connected(self, timeout: float = PATIENCE_S) -> None:
        """Until every switch is connected and holds its flows; CannotRun names those that are not."""
        try:
            self._call("wait", timeout=timeout)
        except Silent:
            state = self.status()
            raise CannotRun(
                f"switches {', '.join(state['missing'])} did not connect to os-ken (tcp:127.0.0.1:{self.port}) within "
                f"{timeout:.0f} s: is the loopback up, and does a packet filter let it pass?"
            ) from None

    def recompute(self, down: Iterable[str] = ()) -> dict[str, Any]:
        """Avoid these links, besides those whose ports are down, from now on. Returns when the switches have it:
        {changed: flows, took_s, down: all links avoided, unreachable: hosts some switch has no path to}."""
        self._avoided = frozenset(down)
        return self._call("recompute", down=sorted(self._avoided))

    def events(self) -> list[dict[str, Any]]:
        """Since the last call: {"t": "event", "kind": …, "at": monotonic s, …}.

        kinds: link_down and link_up {link, port_at, took_s}, paths {down, unreachable, changed, took_s},
        switch_gone {site}, switch_refused {datapath_id}, openflow_error {site, type, code}, failed {error},
        control_lost (the process ended by itself: paths stay as they are until `restart`).
        """
        out = []
        while self._events:
            out.append(self._events.popleft())
        return out

    def status(self) -> dict[str, Any]:
        """{connected, missing: sites, flows: {site: number}, down: links, refused: connections, errors}."""
        return self._call("status")

    def counters(self) -> Mapping[str, Any]:
        """{site: {"packets": {host: n}, "missed": packets that matched no flow}} since the flows were written."""
        found: Mapping[str, Any] = self._call("counters")["counters"]
        return found

    def audit(self) -> list[Difference]:
        """Where a connected switch does not hold what was written. Counts of all, and one switch whole in turn.

        Never waits longer than AUDIT_S. Silent: no answer yet; the next call takes it, or says Silent again.
        """
        first = self._audit is None
        if self._audit is None:
            self._audit = *self._send("audit"), time.monotonic()
        ident, answer, _ = self._audit
        try:
            reply = answer.get(timeout=AUDIT_S) if first else answer.get_nowait()
        except queue.Empty:
            raise Silent(f"os-ken has not answered for {self.silent_s:.1f} s") from None
        self._audit = None
        self._answers.pop(ident, None)
        found = self._checked("audit", reply)["differences"]
        return [Difference(f"switch {site}", what, expected, is_) for site, what, expected, is_ in found]

    @property
    def silent_s(self) -> float:
        """Real s since the audit under way was asked for; 0 where none is."""
        audit = self._audit
        return 0.0 if audit is None else time.monotonic() - audit[2]

    def restart(self) -> None:
        """After its death: again on the same port with the same plan; the switches reconnect by themselves."""
        self._reap()
        self.start()
        if self._plan is not None:
            self.configure(self._plan)

    def restart_beside(self) -> None:
        """`restart` in a thread: it takes a second, in which slots go on. A failure is the event `failed`."""

        def work() -> None:
            with self._life:
                try:
                    if not self._stopped and not self.lost:
                        self.restart()
                except (CannotRun, OSError) as error:
                    self._events.append({"t": "event", "kind": "failed", "error": str(error), "at": time.monotonic()})

        threading.Thread(target=work, name="openflow-restart", daemon=True).start()

    def slow(self, seconds: float) -> tuple[bool, str]:
        """React to ports so much later, real s. (os-ken says so, or will be told when it runs again; in words)."""
        self._slow = seconds
        if not self.alive:
            return True, f"os-ken is not there; it will react {seconds:g} s late"
        self._call("slow", seconds=seconds)
        found = float(self.status()["slow_s"])
        return found == seconds, f"os-ken reacts {found:g} s late"

    def lose(self) -> bool:
        """End the process until `find` starts it again; commands fail meanwhile. True: it is gone."""
        self.lost = True
        with self._life:
            self._reap()
        return not self.alive

    def find(self) -> bool:
        """Start it again, and wait until every switch has its flows. True: they all have."""
        self.lost = False
        with self._life:
            if not self._stopped:
                self.restart()
                self.wait_connected()
        return self.alive

    def stop(self) -> None:
        """End the process. Flows stay; removing the switches is not its business. May be called twice."""
        self._stopped = True
        with self._life:
            self._reap()
        Path(self._log).unlink(missing_ok=True)
        entries, self._entries = self._entries, []
        self.ledger.done(*entries)

    def _reap(self) -> None:
        process, self._process = self._process, None
        self._audit = None
        if self._socket is not None:
            self._close(self._socket)
            self._socket = None
        if process is not None:
            try:
                process.wait(2.0)  # it ends by itself at the end of its command socket
            except subprocess.TimeoutExpired:
                process.kill()  # hung, or stopped by a signal
                process.wait()
        for answer in list(self._answers.values()):
            answer.put(None)

    @staticmethod
    def _close(connection: socket.socket) -> None:
        with suppress(OSError):  # the other end may have gone first
            connection.shutdown(socket.SHUT_RDWR)  # also wakes the reader, which holds a second reference
        connection.close()

    def _call(self, what: str, timeout: float = PATIENCE_S, **arguments: Any) -> dict[str, Any]:
        """One command and its answer. Silent after `timeout` s; CannotRun when the process has ended."""
        ident, answer = self._send(what, **arguments)
        try:
            reply = answer.get(timeout=timeout)
        except queue.Empty:
            raise Silent(f"os-ken did not answer {what!r} within {timeout:.0f} s") from None
        finally:
            self._answers.pop(ident, None)
        return self._checked(what, reply)

    def _send(self, what: str, **arguments: Any) -> tuple[int, queue.Queue[dict[str, Any] | None]]:
        """One command; its number, and where the answer will come."""
        with self._lock:
            self._next += 1
            ident, answer = self._next, queue.Queue[dict[str, Any] | None]()
            self._answers[ident] = answer
            if self._socket is None or not self.alive:
                raise CannotRun(f"os-ken does not run, it can't {what}{self._said()}")
            try:
                self._socket.sendall(json.dumps({"t": what, "id": ident, **arguments}).encode() + b"\n")
            except OSError as error:
                raise CannotRun(f"os-ken has ended, it can't {what}{self._said()}") from error
        return ident, answer

    def _checked(self, what: str, reply: dict[str, Any] | None) -> dict[str, Any]:
        if reply is None:
            raise CannotRun(f"os-ken ended while it was to {what}{self._said()}")
        if "error" in reply:
            raise CannotRun(f"os-ken can't {what}: {reply['error']}")
        return {key: value for key, value in reply.items() if key not in ("t", "id")}

    def _read(self, connection: socket.socket) -> None:
        # It may be closed under us, or the process be killed in the middle of a line: its end is told below.
        with suppress(OSError, ValueError), connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                self._take(json.loads(line))
        if self._socket is connection:
            self._events.append({"t": "event", "kind": "control_lost", "at": time.monotonic()})
            for answer in list(self._answers.values()):
                answer.put(None)
        self._listening.set()

    def _take(self, message: dict[str, Any]) -> None:
        if message["t"] == "event":
            self._events.append(message)
        elif message["t"] == "listening":
            self.port = message["port"]
            self._listening.set()
        elif (answer := self._answers.get(message["id"])) is not None:
            answer.put(message)

    @property
    def _log(self) -> str:
        Path(self.names.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        return f"{self.names.folder}/{LOG}"

    def _said(self) -> str:
        """The end of what the process wrote, for an error message."""
        try:
            lines = Path(self._log).read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return f"; it said: {' | '.join(lines[-3:])}" if lines else ""
