"""What an engine of the twin is asked to do, and the tables it answers with.

An engine knows the run's moving parts (tasks, transfers, queues, views) and nothing of containers, moves or policies:
those are `fleet.py`'s and `world.py`'s. Two engines do exactly the same, byte for byte: `reference` in plain Python,
`kernel` compiled. Times are nominal s since t = 0, sizes nominal bytes, rates bytes per second.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from testbed.world.twin.layout import Floats, Ints

#: What an engine stops for: a member's state has come, no task is bound to it any more, it is drained.
STATE, RELEASED, DRAINED = range(3)
#: A signal: (one of those, member).
Signal = tuple[int, int]

REQUEST, RESULT, FAILED, FETCH = range(4)  # kinds of transfers
EXPIRED_WHY, RETRY_LATER, BROKEN = range(3)  # why a FAILED is sent: "expired"; "overflow", "no_route"; "broken"
ON_TIME, LATE, EXPIRED, REFUSED, UNANSWERED = range(5)  # of tasks, as in testbed.record.tables
DONE, DROPPED, LOST = range(3)  # of visits
#: Stream of the draws of failures (containers/stub/errors.py).
ERRORS = 1 << 20

#: Tasks that are over: `task` is its place among all offered; latency NaN unless it came back.
ANSWERS = np.dtype([("task", "i8"), ("latency", "f8"), ("attempts", "i8"), ("outcome", "i8")])
#: Visits that are over and reported. stage: its place in its type. ended: finished or dropped, NaN for lost ones.
VISITS = np.dtype(
    [
        ("task", "i8"),
        ("arrived", "f8"),
        ("started", "f8"),
        ("ended", "f8"),
        ("member", "i8"),
        ("stage", "i8"),
        ("attempt", "i8"),
        ("outcome", "i8"),
    ]
)


class Engine(Protocol):
    """See the module. Members are numbered as in `layout.py`."""

    @property
    def now(self) -> float: ...

    # -- instances

    def add(
        self, name: str, service: int, host: int, workers: int, speed: float, mean: float, milli: int, spare: float
    ) -> int:
        """A new instance, starting; its member number. mean: x̄ there, s. milli: thousandths of a core per worker
        (0: does not contend). spare: the host's cores for light services."""
        ...

    def open(self, member: int) -> None:
        """It listens and is in the views from the next one on."""
        ...

    def resize(self, member: int, workers: int) -> None: ...

    def mark(self, member: int) -> bool:
        """Draining, in the views from the next one on. True: no task in flight is bound to it; else RELEASED comes."""
        ...

    def drain(self, member: int) -> None:
        """It is to say DRAINED as soon as nothing is here, on its way here, or sent from here and not received."""
        ...

    def held(self, member: int) -> int:
        """Tasks it has reported as arrived and not as finished."""
        ...

    def stop(self, member: int) -> None:
        """It ends by order: what it still has fails and is sent again; out of the views from the next one on."""
        ...

    def kill(self, member: int) -> None:
        """It ends without a word; nobody knows yet."""
        ...

    def bury(self, member: int) -> None:
        """It is known to be dead: out of the views with a new one at once, its tasks are sent again."""
        ...

    def trouble(self, member: int, pace: float, errors: float) -> None:
        """Services begun from now on take `pace` times as long; this share of requests to come fails, by task and
        attempt (containers/stub/errors.py)."""
        ...

    def freeze(self, member: int, still: bool) -> None:
        """It stands still: what comes waits at its door, what is over is over when it goes on. What it sent goes on."""
        ...

    def push(self) -> None:
        """A new view to every sender."""
        ...

    def hold(self, held: bool) -> None:
        """Views are held back: no sender hears anything new, and nobody reports."""
        ...

    def fetch(self, source: int, member: int, size: float) -> None:
        """`member` gets `size` bytes of state from `source`; STATE when they are there."""
        ...

    # -- load

    def offer(
        self, gateway: Ints, type: Ints, at: Floats, deadline: Floats, access: Floats, size: Floats, work: Floats
    ) -> None:
        """Tasks, each sent at its own time. deadline relative, work [n, S] at speed 1."""
        ...

    # -- network

    def set_costs(self, delay: Floats, per_byte: Floats, toll: Floats) -> None:
        """[H, H] path costs and tolls of the next views; infinity: no path."""
        ...

    def set_next(self, table: Ints) -> None:
        """[site, site of the destination] lane to take, −1: none."""
        ...

    def play(self, lane: int, times: Floats, rates: Floats) -> None:
        """A lane's bandwidth from now on, piecewise constant."""
        ...

    def squeeze(self, lane: int, factor: float) -> None:
        """The lane at `factor` of what it would carry."""
        ...

    def shape(self, lane: int, delay: float, jitter: float, loss: float) -> None:
        """What comes from now on is delayed, varied and lost like this; loss per packet."""
        ...

    def set_lane(self, lane: int, up: bool) -> None:
        """Down: what it holds is lost, and so is what comes, until it is up again."""
        ...

    # -- time

    def run(self, until: float) -> list[Signal]:
        """Let time pass until `until`, or until something is to be said: then `now` is when."""
        ...

    # -- what happened

    def take(self) -> tuple[NDArray[np.void], NDArray[np.void], Ints]:
        """Since the last call: ANSWERS, VISITS, requests received [service, domain of the sender]."""
        ...

    def backlogs(self) -> Ints:
        """[member, 2] requests present and busy workers, as last reported."""
        ...

    def carried(self) -> Floats:
        """Bytes put on each lane so far."""
        ...
