"""Links that only limit the rate: a veth pair with one end in a pod, htb on both directions inside the pod.

Toward the network htb sits on the pod's interface; toward the pod the arriving frames are redirected (u32, mirred) to
an ifb in the pod's namespace with an htb of its own. Nothing queues on the switch port: all ports of the userspace
datapath share one socket buffer, and a queue on one would stop the others. Both ends have transmit checksum offload
off, which the userspace datapath needs, so frames have their size on the wire and every byte is charged.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import kernel
from testbed.world.live.links.base import (
    MTU,
    Counters,
    Direction,
    Directions,
    End,
    Flow,
    WireLink,
    check_track,
    each,
    queue_bytes,
)
from testbed.world.live.links.htb_player import Player, Track
from testbed.world.live.netlink import Channel, Control

_BURST = 3200  # bytes: two frames; more would let small payloads through unshaped
_BURST_TIME = 1e-3  # s at the rate, above 26 Mbit/s: what a soft interrupt may come late on a busy machine


_RATES_ONLY = "htb shapes rates only"


def ifb_of(interface: str) -> str:
    """The ifb that shapes what this pod interface receives; lives beside it."""
    name = f"i-{interface}"
    return name if len(name) <= 15 else f"i-{zlib.crc32(interface.encode()):08x}"


def burst_bytes(shape: Shape) -> int:
    return int(max(_BURST, shape.rate * _BURST_TIME / 8))


def rate_words(shape: Shape) -> str:
    burst = burst_bytes(shape)
    # tc's "bit" is bits per second, always spelled out; the quantum is ours so that no r2q is guessed from the rate
    return f"htb rate {shape.rate:.0f}bit ceil {shape.rate:.0f}bit burst {burst}b cburst {burst}b quantum {MTU + 100}"


def limit_words(shape: Shape) -> str:
    return f"bfifo limit {queue_bytes(shape):.0f}b"


def _install(device: str, shape: Shape) -> list[str]:
    return [
        f"qdisc add dev {device} root handle 1: htb default 1",
        f"class add dev {device} parent 1: classid 1:1 {rate_words(shape)}",
        f"qdisc add dev {device} parent 1:1 handle 10: {limit_words(shape)}",
    ]


def _alter(device: str, shape: Shape) -> list[str]:
    """Lines that give an installed shaper another rate and queue; frames already in it stay."""
    return [
        f"class change dev {device} parent 1: classid 1:1 {rate_words(shape)}",
        f"qdisc change dev {device} parent 1:1 handle 10: {limit_words(shape)}",
    ]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A link as built: the pod's end, the other end, and the device that shapes each direction (both in the pod)."""

    link: WireLink
    pod: End
    far: End
    devices: dict[Direction, str]


def _check_rate_only(link: str, shape: Shape) -> None:
    if not shape.rate_only:
        raise CannotRun(f"link {link}: {_RATES_ONLY}; delay and impairments need netem or the relay")


def _place(link: WireLink) -> _Placed:
    """A link that `Htb.refuses` let through."""
    if link.a.netns is not None:
        return _Placed(link, link.a, link.b, {"ab": link.a.interface, "ba": ifb_of(link.a.interface)})
    return _Placed(link, link.b, link.a, {"ba": link.b.interface, "ab": ifb_of(link.b.interface)})


class Htb:
    """Backend "htb": a LinkBackend of veth pairs and the kernel's own shaper. alias: written to the far ends."""

    name = "htb"

    def __init__(self, alias: str = "") -> None:
        self.alias = alias
        self._placed: dict[str, _Placed] = {}
        self._configured: dict[tuple[str, Direction], Shape] = {}
        self._player = Player(_alter)
        self._lock = threading.Lock()

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        if not (link.ab.rate_only and link.ba.rate_only and set(needs) <= {"rate", "queue"}):
            return _RATES_ONLY
        if link.a.netns is None and link.b.netns is None:
            return "both ends are switch ports, on which nothing may queue"
        return ""

    def create(self, links: Sequence[WireLink]) -> None:
        for link in links:
            if why := self.refuses(link, ()):
                raise CannotRun(f"link {link.name}: {why}; use netem or the relay")
        placed = [_place(link) for link in links]
        _refuse_taken(placed)
        try:
            self._make(placed)
        except CannotRun:
            self._remove(placed)
            raise
        for p in placed:
            self._placed[p.link.name] = p
            self._configured |= {(p.link.name, "ab"): p.link.ab, (p.link.name, "ba"): p.link.ba}

    def _make(self, placed: Sequence[_Placed]) -> None:
        """Every interface by one `ip -batch`, then one `tc -batch` per pod; an end is up when it is shaped."""
        kernel.run(["ip", "-batch", "-"], text=_text([line for p in placed for line in self._pair(p)]))
        pods: dict[str | None, list[_Placed]] = {}
        for p in placed:
            pods.setdefault(p.pod.netns, []).append(p)
        kernel.each(_shape_pod, pods.items())
        for p in placed:
            kernel.prepare(p.far.netns, [p.far.interface])

    def _pair(self, p: _Placed) -> list[str]:
        far = "" if p.far.netns is None else f" netns {p.far.netns}"
        lines = [
            f"link add name {p.far.interface}{far} mtu {MTU} type veth "
            f"peer name {p.pod.interface} mtu {MTU} netns {p.pod.netns}",
            f"link add name {ifb_of(p.pod.interface)} mtu {MTU} netns {p.pod.netns} type ifb",
        ]
        if self.alias and p.far.netns is None:
            lines.append(f"link set dev {p.far.interface} alias {self.alias}")
        return lines

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        _check_rate_only(link, shape)
        self._player.check()
        placed = self._placed[link]
        for d in each(direction):
            with self._lock:
                self._configured[link, d] = shape
                factor = shape.rate / placed.link.shape(d).rate
                if not self._player.scale((link, d), factor, shape):
                    _alter_now(placed.devices[d], placed.pod.netns, shape)

    def set_state(self, link: str, up: bool) -> None:
        """The far end is taken down: the pod's end loses its carrier and keeps its routes and neighbours."""
        far = self._placed[link].far
        kernel.run(["ip", "link", "set", "dev", far.interface, "up" if up else "down"], far.netns)

    def play(
        self,
        link: str,
        direction: Directions,
        times_wire_s: Sequence[float],
        rates_wire_bps: Sequence[float],
        origin_monotonic: float,
    ) -> None:
        check_track(link, times_wire_s, rates_wire_bps)
        placed = self._placed[link]
        instants = [origin_monotonic + t for t in times_wire_s]
        for d in each(direction):
            with self._lock:
                shape = self._configured[link, d]
                factor = shape.rate / placed.link.shape(d).rate
                track = Track(placed.pod.netns or "", placed.devices[d], instants, list(rates_wire_bps), factor, shape)
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
        raise CannotRun(f"link {link}: htb can't replay packet opportunities; choose the relay (needs: trace)")

    def read_back(self, link: str) -> tuple[Shape, Shape, bool]:
        self._player.check()
        p = self._placed[link]
        shapes = {d: _read(device, p.pod.netns) for d, device in p.devices.items()}
        up = all(kernel.operational(end.interface, end.netns) for end in (p.pod, p.far))
        return shapes["ab"], shapes["ba"], up and kernel.operational(ifb_of(p.pod.interface), p.pod.netns)

    def counters(self, link: str) -> Counters:
        p = self._placed[link]
        flows = {d: _count(device, p.pod.netns) for d, device in p.devices.items()}
        return Counters(flows["ab"], flows["ba"])

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """Empty: the kernel keeps the schedule and does not tell."""
        return {}

    def close(self) -> None:
        self._player.close()
        self._remove(list(self._placed.values()))
        self._placed.clear()

    def _remove(self, placed: Sequence[_Placed]) -> None:
        """Delete by name what is there; a pod that has gone has taken its interfaces with it."""
        where: dict[str | None, list[str]] = {}
        for p in placed:
            where.setdefault(p.far.netns, []).append(p.far.interface)
            where.setdefault(p.pod.netns, []).append(ifb_of(p.pod.interface))
        kernel.each(_delete, where.items())


def _delete(what: tuple[str | None, list[str]]) -> None:
    netns, names = what
    with suppress(CannotRun), Channel(netns) as channel:
        for name in channel.links().keys() & set(names):
            channel.delete(name)


def _refuse_taken(placed: Sequence[_Placed]) -> None:
    """What is there before us is not ours, and must not be removed when something fails later."""
    wanted: dict[str | None, set[str]] = {}
    for p in placed:
        wanted.setdefault(p.far.netns, set()).add(p.far.interface)
        wanted.setdefault(p.pod.netns, set()).update((p.pod.interface, ifb_of(p.pod.interface)))
    kernel.refuse_taken(wanted)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _shape_pod(pod: tuple[str | None, list[_Placed]]) -> None:
    netns, group = pod
    tc = []
    for p in group:
        device, ifb = p.pod.interface, ifb_of(p.pod.interface)
        for direction, shaper in p.devices.items():
            tc += _install(shaper, p.link.shape(direction))
        tc += [
            f"qdisc add dev {device} handle ffff: ingress",
            f"filter add dev {device} parent ffff: protocol all prio 1 u32 match u32 0 0 "
            f"action mirred egress redirect dev {ifb}",
        ]
    kernel.run(["tc", "-batch", "-"], netns, _text(tc))
    kernel.prepare(netns, [name for p in group for name in (ifb_of(p.pod.interface), p.pod.interface)])


def _alter_now(device: str, netns: str | None, shape: Shape) -> None:
    """What the lines of `_alter` do."""
    try:
        with Channel(netns) as channel:
            link = channel.link(device)
            if link is None:
                raise CannotRun(f"{device} is gone: somebody deleted it")
            channel.change_htb(link.index, 0x10001, 0x10000, shape.rate, burst_bytes(shape), MTU + 100)
            channel.change_bfifo(link.index, 0x100000, 0x10001, queue_bytes(shape))
    except OSError as error:
        raise CannotRun(f"no htb class on {device} any more ({error.strerror}): somebody replaced it") from error


def _leaf(channel: Channel, index: int) -> Control | None:
    return next((q for _, q in channel.qdiscs(index) if q.kind == "bfifo"), None)


def rate_of(device: str, netns: str | None) -> float:
    """bit/s of the device's htb class."""
    with Channel(netns) as channel:
        return _told(channel, device)[0]


def _told(channel: Channel, device: str) -> tuple[float, Control]:
    """The device's rate, bit/s, and the queue under it."""
    link = channel.link(device)
    classes = [c for c in channel.classes(link.index) if c.kind == "htb"] if link else []
    leaf = _leaf(channel, link.index) if link else None
    if not classes or leaf is None:
        raise CannotRun(f"no htb class with a queue on {device} any more: something replaced its queueing discipline")
    return classes[0].rate, leaf


def _read(device: str, netns: str | None) -> Shape:
    with Channel(netns) as channel:
        rate, leaf = _told(channel, device)
    return Shape(rate=rate, queue=leaf.limit)


def _count(device: str, netns: str | None) -> Flow:
    with Channel(netns) as channel:
        _, leaf = _told(channel, device)
    return Flow(leaf.bytes, leaf.packets, leaf.drops)
