"""Links with delay, jitter and loss where the kernel has no netem: TAPs joined by one userspace relay process.

This is the owner's side: it starts the process (relay_process.py) and speaks with it over a socket pair.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import kernel, mahimahi
from testbed.world.live.links.base import Counters, Directions, Flow, WireLink, check_track

_ROOT = Path(__file__).resolve().parents[4]  # where the package `testbed` is imported from
_PATIENCE = 30.0  # s to make links; a batch of 100 takes half a second
_ANSWER = 10.0  # s for an answer to anything else; one that takes longer hangs, and the run with it


class Relay:
    """Backend "relay": a LinkBackend whose frames pass through one process of ours. Thread-safe.

    seed: of the loss and jitter streams, one pair per link and direction. alias: written to the switch-side
    interfaces, e.g. "shaketable.run=<id>". `pid` is the process's, for a ledger.
    """

    name = "relay"

    def __init__(self, seed: int = 0, alias: str = "") -> None:
        self.seed, self.alias = seed, alias
        self._links: dict[str, WireLink] = {}
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
        words = [sys.executable, "-m", f"{__package__}.relay_process", str(theirs.fileno()), str(os.getpid())]
        # A session of its own: Ctrl-C in the terminal is for the owner, who still needs the links to end in order.
        self._process = subprocess.Popen(
            words, pass_fds=[theirs.fileno()], env=environment, start_new_session=True, stdin=subprocess.DEVNULL
        )
        theirs.close()
        ours.settimeout(_PATIENCE)
        self._socket, self._answers = ours, ours.makefile("rb")
        self.pid = self._process.pid
        self._silent = False  # it has left a command unanswered: nothing is expected of it any more

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        return ""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def create(self, links: Sequence[WireLink]) -> None:
        specs = [asdict(link) for link in links]
        self._tell("create", links=specs, seed=self.seed, alias=self.alias)
        self._links |= {link.name: link for link in links}

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        self._tell("change", link=link, direction=direction, shape=asdict(shape))

    def set_state(self, link: str, up: bool) -> None:
        self._tell("state", link=link, up=up)

    def play(
        self,
        link: str,
        direction: Directions,
        times_wire_s: Sequence[float],
        rates_wire_bps: Sequence[float],
        origin_monotonic: float,
    ) -> None:
        check_track(link, times_wire_s, rates_wire_bps)
        times, rates = list(times_wire_s), list(rates_wire_bps)
        self._tell("play", link=link, direction=direction, times=times, rates=rates, origin=origin_monotonic)

    def play_trace(
        self,
        link: str,
        direction: Directions,
        file: str,
        opportunity_bytes: float,
        time_scale: float,
        origin_monotonic: float,
    ) -> None:
        mahimahi.parse(file)  # so that a garbage line is the user's InputError and not a message from the process
        self._tell(
            "trace",
            link=link,
            direction=direction,
            file=os.path.abspath(file),
            opportunity_bytes=opportunity_bytes,
            time_scale=time_scale,
            origin=origin_monotonic,
        )

    def read_back(self, link: str) -> tuple[Shape, Shape, bool]:
        """Shapes as the process holds them (queue in bytes, rate as a track has set it); states by the kernel."""
        state = self._tell("read", link=link)
        made = self._links[link]
        up = state["up"] and all(kernel.operational(end.interface, end.netns) for end in (made.a, made.b))
        return Shape(**state["ab"]), Shape(**state["ba"]), up

    def counters(self, link: str) -> Counters:
        flows = self._tell("counters", link=link)
        return Counters(Flow(*flows["ab"]), Flow(*flows["ba"]))

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """Departures: p50, p99, max (s), n; still: s in all that it stood still; cpu_s: its processor time so far."""
        return dict(self._tell("lateness", anew=anew))

    def close(self) -> None:
        """End the process and wait for it: its interfaces vanish as its descriptors are closed."""
        with self._lock:
            self._answers.close()
            self._socket.close()  # the process ends when it sees this
        try:
            self._process.wait(0.0 if self._silent else _ANSWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, verb: str, **order: Any) -> Any:
        """One command and its answer."""
        with self._lock:
            try:
                self._socket.settimeout(_PATIENCE if verb == "create" else _ANSWER)
                self._socket.sendall(json.dumps({"do": verb, **order}).encode() + b"\n")
                line = self._answers.readline()
            except (OSError, ValueError) as error:
                self._silent = True
                raise CannotRun(f"the link relay (process {self.pid}) does not answer {verb!r}: {error}") from error
        if not line:
            raise CannotRun(
                f"the link relay (process {self.pid}) has ended: all its links are gone; start the run anew"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise CannotRun(f"the link relay refused {verb!r}{_about(order)}: {answer['error']}")
        return answer["ok"]


def _about(order: dict[str, Any]) -> str:
    return f" of link {order['link']}" if "link" in order else ""
