"""What the backends share that leave shaping to the kernel: all links or none, tracks, reading back, the end.

A backend adds what a link becomes (its `Laid`), how that is made, and what a device with its shaper is told and asked.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import kernel
from testbed.world.live.links.base import Counters, Direction, Directions, End, Flow, WireLink, check_track, each
from testbed.world.live.links.htb_player import Player, Track
from testbed.world.live.netlink import Channel


class Laid(Protocol):
    """A link as built. interfaces: all that were made for it; roots: those with which the others go; shapers: where
    each direction queues."""

    @property
    def link(self) -> WireLink: ...
    @property
    def interfaces(self) -> tuple[End, ...]: ...
    @property
    def roots(self) -> tuple[End, ...]: ...
    @property
    def shapers(self) -> dict[Direction, End]: ...


L = TypeVar("L", bound=Laid)


class KernelLinks(ABC, Generic[L]):
    """A LinkBackend but for what its subclass adds. alias: written to the host's interfaces."""

    name: str
    instead: str  # what takes the links that this backend refuses

    def __init__(self, alias: str = "") -> None:
        self.alias = alias
        self._laid: dict[str, L] = {}
        self._configured: dict[tuple[str, Direction], Shape] = {}
        self._player = Player(self.alter_rate)
        self._lock = threading.Lock()

    # -- what a backend adds

    @staticmethod
    @abstractmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        """As LinkBackend has it."""

    @staticmethod
    @abstractmethod
    def lay(link: WireLink) -> L:
        """What a link that is not refused becomes; nothing is made yet."""

    @abstractmethod
    def make(self, laid: Sequence[L]) -> None:
        """Every interface, shaped and up."""

    @staticmethod
    @abstractmethod
    def alter_rate(device: str, shape: Shape) -> list[str]:
        """tc lines that give an installed shaper another rate and queue; frames already in it stay."""

    @abstractmethod
    def alter(self, shaper: End, shape: Shape, rate: bool) -> None:
        """Another shape at once. rate: its rate and queue too, which else a track gives."""

    @abstractmethod
    def read(self, shaper: End, configured: Shape) -> Shape:
        """What the kernel holds; `configured` has what it keeps to itself."""

    @abstractmethod
    def count(self, shaper: End) -> Flow: ...

    # -- a LinkBackend

    def create(self, links: Sequence[WireLink]) -> None:
        for link in links:
            if why := self.refuses(link, ()):
                raise CannotRun(f"link {link.name}: {why}; use {self.instead}")
        laid = [self.lay(link) for link in links]
        # what is there before us is not ours, and must not be removed when something fails later
        kernel.refuse_taken(_by_namespace(e for p in laid for e in p.interfaces))
        try:
            self.make(laid)
        except CannotRun:
            _remove(laid)
            raise
        for p in laid:
            self._laid[p.link.name] = p
            self._configured |= {(p.link.name, "ab"): p.link.ab, (p.link.name, "ba"): p.link.ba}

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        self._player.check()
        laid = self._laid[link]
        for d in each(direction):
            with self._lock:
                self._configured[link, d] = shape
                followed = self._player.scale((link, d), shape.rate / laid.link.shape(d).rate, shape)
                self.alter(laid.shapers[d], shape, rate=not followed)

    def play(
        self,
        link: str,
        direction: Directions,
        times_wire_s: Sequence[float],
        rates_wire_bps: Sequence[float],
        origin_monotonic: float,
    ) -> None:
        check_track(link, times_wire_s, rates_wire_bps)
        laid = self._laid[link]
        instants = [origin_monotonic + t for t in times_wire_s]
        for d in each(direction):
            with self._lock:
                shape, shaper = self._configured[link, d], laid.shapers[d]
                factor = shape.rate / laid.link.shape(d).rate
                track = Track(shaper.netns, shaper.interface, instants, list(rates_wire_bps), factor, shape)
                self._player.play((link, d), track)

    def play_trace(
        self,
        link: str,
        direction: Directions,
        file: str,
        opportunity_bytes: float,
        time_scale: float,
        origin_monotonic: float,
    ) -> None:
        raise CannotRun(f"link {link}: {self.name} can't replay packet opportunities; choose the relay (needs: trace)")

    def read_back(self, link: str) -> tuple[Shape, Shape, bool]:
        self._player.check()
        laid = self._laid[link]
        found = {d: self.read(shaper, self._configured[link, d]) for d, shaper in laid.shapers.items()}
        up = all(kernel.operational(end.interface, end.netns) for end in laid.interfaces)
        return found["ab"], found["ba"], up

    def counters(self, link: str) -> Counters:
        flows = {d: self.count(shaper) for d, shaper in self._laid[link].shapers.items()}
        return Counters(flows["ab"], flows["ba"])

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """Empty: the kernel keeps the schedule and does not tell."""
        return {}

    def close(self) -> None:
        self._player.close()
        _remove(list(self._laid.values()))
        self._laid.clear()


def batch(lines: Sequence[str]) -> str:
    """What `ip -batch` and `tc -batch` read."""
    return "\n".join(lines) + "\n"


def redirect(device: str, to: str) -> list[str]:
    """tc lines that send all that arrives at a device out by another one."""
    return [
        f"qdisc add dev {device} handle ffff: ingress",
        f"filter add dev {device} parent ffff: protocol all prio 1 u32 match u32 0 0 "
        f"action mirred egress redirect dev {to}",
    ]


def _by_namespace(ends: Iterable[End]) -> dict[str | None, list[str]]:
    where: dict[str | None, list[str]] = {}
    for end in ends:
        where.setdefault(end.netns, []).append(end.interface)
    return where


def prepare(laid: Iterable[Laid]) -> None:
    """All interfaces up, as `kernel.prepare` has it."""
    kernel.each(lambda those: kernel.prepare(*those), _by_namespace(e for p in laid for e in p.interfaces).items())


def _remove(laid: Sequence[Laid]) -> None:
    """By name, what is there: a pod that has gone has taken its interfaces with it, and their peers."""
    kernel.each(_delete, _by_namespace(e for p in laid for e in p.roots).items())


def _delete(what: tuple[str | None, list[str]]) -> None:
    netns, names = what
    with suppress(CannotRun), Channel(netns) as channel:
        for name in channel.links().keys() & set(names):
            channel.delete(name)
