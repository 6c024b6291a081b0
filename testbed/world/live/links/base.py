"""What a link of the live world is, and what a backend that realises it must do.

A wire link joins two ends, each an interface in a namespace. A *pod* end lives in the pod's namespace under the name
given; a *switch port* lives in the host's namespace and is later attached to a bridge. Shapes are those of the wire
(already dilated and shrunk), rates count layer-2 bits (Ethernet header included, no preamble, no check sequence).
Addressing, neighbours and routes are somebody else's: a backend hands over interfaces that are up, with IPv6 off.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from testbed.errors import CannotRun
from testbed.topology.model import Shape

Direction = Literal["ab", "ba"]
Directions = Literal["ab", "ba", "both"]

MTU = 1500  # bytes at layer 3 on every emulated interface
HEADER = 14  # bytes of an Ethernet header: what layer 2 adds to the MTU
DEFAULT_QUEUE = 60e3  # bytes, see Shape.queue
DEFAULT_QUEUE_TIME = 0.1  # s at the rate, see Shape.queue


def queue_bytes(shape: Shape) -> float:
    """Capacity of the transmission queue in bytes: the shape's own, or the larger of 60 kB and 100 ms at the rate."""
    return max(DEFAULT_QUEUE, DEFAULT_QUEUE_TIME * shape.rate / 8) if shape.queue is None else shape.queue


@dataclass(frozen=True, slots=True)
class End:
    """An interface and where it lives. netns: a path like /proc/PID/ns/net; None = the host's: a switch port."""

    interface: str
    netns: str | None = None


@dataclass(frozen=True, slots=True)
class WireLink:
    """A link to be made; `ab` shapes what a sends to b, on the wire's scale."""

    name: str
    a: End
    b: End
    ab: Shape
    ba: Shape

    def shape(self, direction: Direction) -> Shape:
        return self.ab if direction == "ab" else self.ba


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction since creation. bytes and packets: delivered, layer 2. dropped: packets refused by a full queue
    or thrown away by a link that went down. lost: packets taken by the loss process. duplicated, reordered,
    corrupted: packets that met that fate, where the backend counts them."""

    bytes: int
    packets: int
    dropped: int
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    ab: Flow
    ba: Flow


class LinkBackend(Protocol):
    """One way to realise links. Every change is hitless: no frame is lost or reordered by it.

    While a track or trace plays in a direction, the rate given to `change` acts on it as the factor
    (rate given) / (rate at creation): "the fluctuating link at 30 %" needs no second track, and changing back to the
    created shape undoes it. The other fields of a shape act as they always do.
    """

    name: str

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        """Why this backend does not take the link ("" where it does).

        needs: fields of the shape that will change during the run; "trace" for a packet-opportunity file to be
        replayed, "outage" for a track that goes below 100 kbit/s.
        """
        ...

    def create(self, links: Sequence[WireLink]) -> None:
        """Make both ends of every link, in their namespaces, up. All or none; CannotRun says which one failed."""
        ...

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        """Give the link's direction(s) this shape from now on."""
        ...

    def set_state(self, link: str, up: bool) -> None:
        """Take the link down (both ends lose carrier, what it holds is dropped and counted) or up again."""
        ...

    def play(
        self,
        link: str,
        direction: Directions,
        times_wire_s: Sequence[float],
        rates_wire_bps: Sequence[float],
        origin_monotonic: float,
    ) -> None:
        """Follow a piecewise-constant rate without further calls; times ascend, s after `origin_monotonic`."""
        ...

    def play_trace(
        self,
        link: str,
        direction: Directions,
        file: str,
        opportunity_bytes: float,
        time_scale: float,
        origin_monotonic: float,
    ) -> None:
        """From `origin_monotonic` on, send `opportunity_bytes` (layer 2) at each instant of a packet-opportunity file.

        The file's times are multiplied by `time_scale`. Call it before the origin: the file is read once, now.
        """
        ...

    def read_back(self, link: str) -> tuple[Shape, Shape, bool]:
        """Shapes a→b and b→a as they are in force, and whether both interfaces are operational."""
        ...

    def counters(self, link: str) -> Counters: ...

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """How late frames left, s: p50, p99, max since creation; empty where the kernel keeps the schedule.

        anew: and begin to count again, so that the next answer is about the time from now on.
        """
        ...

    def close(self) -> None:
        """Remove every link made. May be called twice."""
        ...


def each(direction: Directions) -> tuple[Direction, ...]:
    return ("ab", "ba") if direction == "both" else (direction,)


def alike(found: Shape, wanted: Shape, close: float = 0.01, frames: float = 2000.0) -> bool:
    """The same shape but for rounding: `close` relative, a queue within `frames` bytes (backends count whole ones).

    A queue left to the backend is the default's size; the parameters of what is off do not count.
    """
    if abs(queue_bytes(found) - queue_bytes(wanted)) > frames:
        return False
    names = {"rate", "delay", "jitter", "loss", "duplicate", "reorder", "corrupt"}
    names |= {"jitter_law", "jitter_correlation"} if wanted.jitter else set()
    names |= {"loss_burst", "loss_bad", "loss_good"} if wanted.loss and wanted.loss_burst else set()
    pairs = [(getattr(found, name), getattr(wanted, name)) for name in names]
    return all(is_ == want if isinstance(want, str) else abs(is_ - want) <= close * abs(want) for is_, want in pairs)


def check_track(link: str, times: Sequence[float], rates: Sequence[float]) -> None:
    """A track has as many rates as times, ascending times and positive rates; CannotRun otherwise."""
    if not times or len(times) != len(rates):
        raise CannotRun(f"link {link}: a track of {len(times)} times and {len(rates)} rates; give one rate per time")
    if any(b <= a for a, b in pairwise(times)) or min(rates) <= 0:
        raise CannotRun(f"link {link}: the times of a track ascend and its rates are above 0 bit/s")
