"""Links shaped by the kernel's own netem and htb: a veth pair at each end, joined in the middle.

    a ── middle a ═ redirect ═ middle b ── b        (and the same way back)

What arrives at a middle is redirected (u32, mirred) to the other one's egress, where it queues in

    netem   delay, jitter, loss, duplicate, reorder, corrupt
      └─ htb    the rate
           └─ bfifo   the queue, in bytes

Nothing queues on an end, so an end may be a switch port of any datapath. Delay comes before the rate: for frames in
order and a constant delay that is the same as after it. A lost frame does not use the link here.

netem lets a frame with less jitter overtake. Its own `rate` makes it keep the order, so it gets one far above any
link's; only `reorder` frames overtake then, and a change of delay reorders nothing either.
"""

from __future__ import annotations

import functools
import tempfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import htb, jitter, kernel
from testbed.world.live.links.base import MTU, Direction, End, Flow, WireLink
from testbed.world.live.links.kernel_links import KernelLinks, batch, prepare, redirect

_LIMIT = 20_000  # frames in the delay line: 100 Mbit/s of the smallest frames for 100 ms
_ORDER = "100gbit"  # netem's own rate, see above: 0.1 µs for a full frame
_LEAST = 1e-6  # s: tc takes a distribution only with a delay above 0
_POINTS = 4096  # of a distribution's table
_SCALE = 8192  # table value of one deviation, by the kernel (NETEM_DIST_SCALE)
_WIDE = 4  # a table holds deviations ÷ _WIDE, so that 16 bits reach ±16 deviations; the jitter given is × _WIDE


@dataclass(frozen=True, slots=True)
class Laid:
    """A link as built. middles: beside a and beside b, in the host's namespace."""

    link: WireLink
    middles: tuple[str, str]

    @property
    def interfaces(self) -> tuple[End, ...]:
        return self.link.a, self.link.b, *self.roots

    @property
    def roots(self) -> tuple[End, ...]:
        """The ends go with their middles; an end whose pod has gone has taken its middle along."""
        return tuple(End(m) for m in self.middles)

    @property
    def shapers(self) -> dict[Direction, End]:
        return {"ab": End(self.middles[1]), "ba": End(self.middles[0])}


def netem_words(shape: Shape) -> str:
    """Every option each time: what is left out of a change would keep its old value."""
    words = [f"netem limit {_LIMIT}"]
    if shape.jitter:
        delay, spread = max(shape.delay, _LEAST), shape.jitter * _WIDE
        words.append(f"delay {_us(delay)} {_us(spread)} distribution {shape.jitter_law}")
    else:
        words.append(f"delay {_us(shape.delay)}")
    if shape.loss and shape.loss_burst:
        worsen, mend = shape.chain()
        words.append(f"loss gemodel {_percent(worsen)} {_percent(mend)} {_percent(shape.loss_bad)} "
                     f"{_percent(shape.loss_good)}")  # fmt: skip
    else:
        words.append(f"loss random {_percent(shape.loss)}")
    shares = {what: _percent(getattr(shape, what)) for what in ("duplicate", "corrupt", "reorder")}
    return " ".join([*words, *(f"{what} {share}" for what, share in shares.items()), f"rate {_ORDER}"])


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3f}us"


def _percent(share: float) -> str:
    return f"{share * 100:.6g}%"


def install(device: str, shape: Shape) -> list[str]:
    """tc lines that put a shaper on a middle's egress."""
    return [
        f"qdisc add dev {device} root handle 1: {netem_words(shape)}",
        f"qdisc add dev {device} parent 1:1 handle 2: htb default 1",
        f"class add dev {device} parent 2: classid 2:1 {htb.rate_words(shape)}",
        f"qdisc add dev {device} parent 2:1 handle 20: {htb.limit_words(shape)}",
    ]


def impair(device: str, shape: Shape) -> list[str]:
    """tc lines for everything of a shape but its rate and queue."""
    return [f"qdisc change dev {device} root handle 1: {netem_words(shape)}"]


@functools.cache
def table(law: str) -> str:
    """The law as tc reads it: quantiles in deviations × 8192 ÷ _WIDE."""
    values = (jitter.quantile(law, (i + 0.5) / _POINTS) for i in range(_POINTS))
    return "\n".join(f"{round(v * _SCALE / _WIDE)}" for v in values) + "\n"


class Netem(KernelLinks[Laid]):
    """Backend "netem": a LinkBackend of the kernel's own shapers. alias: written to the host's interfaces."""

    name = "netem"
    instead = "the relay"

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        if "trace" in needs:
            return "netem can't replay packet opportunities"
        if "outage" in needs:
            return "htb stays in debt long after an outage"
        if link.ab.jitter_correlation or link.ba.jitter_correlation or "jitter_correlation" in needs:
            return "netem's correlated jitter does not keep its distribution"
        return ""

    @staticmethod
    def lay(link: WireLink) -> Laid:
        """The middles' names follow from the ends', which are the run's own."""
        mark = zlib.crc32(f"{link.a.netns} {link.a.interface} {link.b.netns} {link.b.interface}".encode())
        return Laid(link, (f"skm{mark:08x}a", f"skm{mark:08x}b"))

    def make(self, laid: Sequence[Laid]) -> None:
        kernel.run(["ip", "-batch", "-"], text=batch([line for p in laid for line in self._pairs(p)]))
        tc = [line for p in laid for d, to in p.shapers.items() for line in install(to.interface, p.link.shape(d))]
        joints = [joint for p in laid for joint in (p.middles, p.middles[::-1])]
        _tc(tc + [line for here, there in joints for line in redirect(here, there)])
        prepare(laid)

    def _pairs(self, p: Laid) -> list[str]:
        lines = []
        for middle, end in zip(p.middles, (p.link.a, p.link.b), strict=True):
            there = "" if end.netns is None else f" netns {end.netns}"
            lines.append(f"link add name {middle} mtu {MTU} type veth peer name {end.interface} mtu {MTU}{there}")
            if self.alias:
                lines.append(f"link set dev {middle} alias {self.alias}")
                if end.netns is None:
                    lines.append(f"link set dev {end.interface} alias {self.alias}")
        return lines

    def set_state(self, link: str, up: bool) -> None:
        """The middles are taken down: both ends lose their carrier, the queues are emptied by the kernel."""
        state = "up" if up else "down"
        lines = [f"link set dev {middle} {state}" for middle in self._laid[link].middles]
        kernel.run(["ip", "-batch", "-"], text=batch(lines))

    @staticmethod
    def alter_rate(device: str, shape: Shape) -> list[str]:
        return [
            f"class change dev {device} parent 2: classid 2:1 {htb.rate_words(shape)}",
            f"qdisc change dev {device} parent 2:1 handle 20: {htb.limit_words(shape)}",
        ]

    def alter(self, shaper: End, shape: Shape, rate: bool) -> None:
        device = shaper.interface
        _tc([*impair(device, shape), *(self.alter_rate(device, shape) if rate else ())])

    def read(self, shaper: End, configured: Shape) -> Shape:
        """By tc; the law of the jitter is the configured one, which the kernel keeps to itself."""
        rate, queue = htb.told(shaper)
        found = next((q for q in _qdiscs(shaper) if q["kind"] == "netem"), None)
        if found is None:
            raise CannotRun(f"no netem on {shaper.interface} any more: something replaced its queueing discipline")
        law = configured.jitter_law
        return replace(shape_of(found["options"]), rate=rate, queue=float(queue.limit), jitter_law=law)

    def count(self, shaper: End) -> Flow:
        """netem counts what it lost and what its inner queue refused as one."""
        qdiscs = {q["kind"]: q for q in _qdiscs(shaper)}
        leaf, outer = qdiscs["bfifo"], qdiscs["netem"]
        dropped = int(leaf["drops"])
        return Flow(int(leaf["bytes"]), int(leaf["packets"]), dropped, max(0, int(outer["drops"]) - dropped))


def _tc(lines: Sequence[str]) -> None:
    """One batch, with our tables of distributions where tc looks for its own."""
    with tempfile.TemporaryDirectory(prefix="shaketable-tc-") as folder:
        for law in jitter.LAWS:
            if any(f"distribution {law}" in line for line in lines):
                Path(folder, f"{law}.dist").write_text(table(law))
        kernel.run(["env", f"TC_LIB_DIR={folder}", "tc", "-batch", "-"], text=batch(lines))


def _qdiscs(shaper: End) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kernel.ask(["tc", "-s", "-j", "qdisc", "show", "dev", shaper.interface])
    return found


def shape_of(options: dict[str, Any]) -> Shape:
    """netem's options as `tc -j` prints them; shares are fractions there."""
    delay = options.get("delay", {})
    chain = options.get("loss-gemodel")
    burst = {}
    loss = options.get("loss-random", {}).get("loss", 0.0)
    if chain:
        worsen, mend, bad, good = chain["p"], chain["r"], chain["1-h"], chain["1-k"]
        loss = (worsen * bad + mend * good) / (worsen + mend)
        burst = {"loss_burst": 1 / mend, "loss_bad": bad, "loss_good": good}
    given, spread = delay.get("delay", 0.0), delay.get("jitter", 0.0)
    return Shape(
        rate=0.0,
        delay=given if given > 2 * _LEAST else 0.0,
        jitter=spread / _WIDE,
        loss=loss,
        duplicate=options.get("duplicate", {}).get("duplicate", 0.0),
        reorder=options.get("reorder", {}).get("reorder", 0.0),
        corrupt=options.get("corrupt", {}).get("corrupt", 0.0),
        **burst,
    )
