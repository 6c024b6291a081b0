"""Links that only limit the rate: a veth pair with one end in a pod, htb on both directions inside the pod.

Toward the network htb sits on the pod's interface; toward the pod the arriving frames are redirected (u32, mirred) to
an ifb in the pod's namespace with an htb of its own. Nothing queues on the switch port: all ports of the userspace
datapath share one socket buffer, and a queue on one would stop the others. Both ends have transmit checksum offload
off, which the userspace datapath needs, so frames have their size on the wire and every byte is charged.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import kernel
from testbed.world.live.links.base import MTU, Direction, Directions, End, Flow, WireLink, queue_bytes
from testbed.world.live.links.kernel_links import KernelLinks, batch, prepare, redirect
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


@dataclass(frozen=True, slots=True)
class Laid:
    """A link as built: the pod's end, the other end, and the ifb beside the pod's."""

    link: WireLink
    pod: End
    far: End

    @property
    def ifb(self) -> End:
        return End(ifb_of(self.pod.interface), self.pod.netns)

    @property
    def interfaces(self) -> tuple[End, ...]:
        return self.far, self.pod, self.ifb

    @property
    def roots(self) -> tuple[End, ...]:
        return self.far, self.ifb

    @property
    def shapers(self) -> dict[Direction, End]:
        return {"ab": self.pod, "ba": self.ifb} if self.pod == self.link.a else {"ab": self.ifb, "ba": self.pod}


class Htb(KernelLinks[Laid]):
    """Backend "htb": a LinkBackend of veth pairs and the kernel's own shaper. alias: written to the far ends."""

    name = "htb"
    instead = "netem or the relay"

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        if not (link.ab.rate_only and link.ba.rate_only and set(needs) <= {"rate", "queue"}):
            return _RATES_ONLY
        if link.a.netns is None and link.b.netns is None:
            return "both ends are switch ports, on which nothing may queue"
        return ""

    @staticmethod
    def lay(link: WireLink) -> Laid:
        return Laid(link, link.a, link.b) if link.a.netns is not None else Laid(link, link.b, link.a)

    def make(self, laid: Sequence[Laid]) -> None:
        """Every interface by one `ip -batch`, then one `tc -batch` per pod; an end is up when it is shaped."""
        kernel.run(["ip", "-batch", "-"], text=batch([line for p in laid for line in self._pair(p)]))
        pods: dict[str | None, list[Laid]] = {}
        for p in laid:
            pods.setdefault(p.pod.netns, []).append(p)
        kernel.each(_shape_pod, pods.items())
        prepare(laid)

    def _pair(self, p: Laid) -> list[str]:
        far = "" if p.far.netns is None else f" netns {p.far.netns}"
        lines = [
            f"link add name {p.far.interface}{far} mtu {MTU} type veth "
            f"peer name {p.pod.interface} mtu {MTU} netns {p.pod.netns}",
            f"link add name {p.ifb.interface} mtu {MTU} netns {p.pod.netns} type ifb",
        ]
        if self.alias and p.far.netns is None:
            lines.append(f"link set dev {p.far.interface} alias {self.alias}")
        return lines

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        if not shape.rate_only:
            raise CannotRun(f"link {link}: {_RATES_ONLY}; delay and impairments need netem or the relay")
        super().change(link, direction, shape)

    def set_state(self, link: str, up: bool) -> None:
        """The far end is taken down: the pod's end loses its carrier and keeps its routes and neighbours."""
        far = self._laid[link].far
        kernel.run(["ip", "link", "set", "dev", far.interface, "up" if up else "down"], far.netns)

    @staticmethod
    def alter_rate(device: str, shape: Shape) -> list[str]:
        return [
            f"class change dev {device} parent 1: classid 1:1 {rate_words(shape)}",
            f"qdisc change dev {device} parent 1:1 handle 10: {limit_words(shape)}",
        ]

    def alter(self, shaper: End, shape: Shape, rate: bool) -> None:
        """What the lines of `alter_rate` do."""
        if not rate:
            return
        try:
            with Channel(shaper.netns) as channel:
                link = channel.link(shaper.interface)
                if link is None:
                    raise CannotRun(f"{shaper.interface} is gone: somebody deleted it")
                channel.change_htb(link.index, 0x10001, 0x10000, shape.rate, burst_bytes(shape), MTU + 100)
                channel.change_bfifo(link.index, 0x100000, 0x10001, queue_bytes(shape))
        except OSError as error:
            why = f"no htb class on {shaper.interface} any more ({error.strerror}): somebody replaced it"
            raise CannotRun(why) from error

    def read(self, shaper: End, configured: Shape) -> Shape:
        rate, leaf = told(shaper)
        return Shape(rate=rate, queue=leaf.limit)

    def count(self, shaper: End) -> Flow:
        _, leaf = told(shaper)
        return Flow(leaf.bytes, leaf.packets, leaf.drops)


def _shape_pod(pod: tuple[str | None, list[Laid]]) -> None:
    netns, group = pod
    tc = []
    for p in group:
        for direction, shaper in p.shapers.items():
            tc += _install(shaper.interface, p.link.shape(direction))
        tc += redirect(p.pod.interface, p.ifb.interface)
    kernel.run(["tc", "-batch", "-"], netns, batch(tc))


def told(shaper: End) -> tuple[float, Control]:
    """Rate of the device's htb class, bit/s, and the queue under it."""
    with Channel(shaper.netns) as channel:
        link = channel.link(shaper.interface)
        classes = [c for c in channel.classes(link.index) if c.kind == "htb"] if link else []
        leaves = [q for _, q in channel.qdiscs(link.index) if q.kind == "bfifo"] if link else []
    if not classes or not leaves:
        why = f"no htb class with a queue on {shaper.interface} any more: something replaced its queueing discipline"
        raise CannotRun(why)
    return classes[0].rate, leaves[0]
