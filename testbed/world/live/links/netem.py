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
import threading
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import htb, jitter, kernel
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
)
from testbed.world.live.links.htb_player import Player, Track
from testbed.world.live.netlink import Channel

_LIMIT = 20_000  # frames in the delay line: 100 Mbit/s of the smallest frames for 100 ms
_ORDER = "100gbit"  # netem's own rate, see above: 0.1 µs for a full frame
_LEAST = 1e-6  # s: tc takes a distribution only with a delay above 0
_POINTS = 4096  # of a distribution's table
_SCALE = 8192  # table value of one deviation, by the kernel (NETEM_DIST_SCALE)
_WIDE = 4  # a table holds deviations ÷ _WIDE, so that 16 bits reach ±16 deviations; the jitter given is × _WIDE


@dataclass(frozen=True, slots=True)
class Placed:
    """A link as built. `shapers`: the middle on whose egress each direction queues, in the host's namespace."""

    link: WireLink
    middles: tuple[str, str]

    @property
    def ends(self) -> tuple[End, ...]:
        """All four interfaces."""
        return (self.link.a, self.link.b, *(End(m) for m in self.middles))

    @property
    def shapers(self) -> dict[Direction, str]:
        return {"ab": self.middles[1], "ba": self.middles[0]}


def place(link: WireLink) -> Placed:
    """The middles' names follow from the ends', which are the run's own."""
    mark = zlib.crc32(f"{link.a.netns} {link.a.interface} {link.b.netns} {link.b.interface}".encode())
    return Placed(link, (f"skm{mark:08x}a", f"skm{mark:08x}b"))


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


def alter_rate(device: str, shape: Shape) -> list[str]:
    """tc lines that give an installed shaper another rate and queue; frames already in it stay."""
    return [
        f"class change dev {device} parent 2: classid 2:1 {htb.rate_words(shape)}",
        f"qdisc change dev {device} parent 2:1 handle 20: {htb.limit_words(shape)}",
    ]


def alter(device: str, shape: Shape) -> list[str]:
    """tc lines for everything of a shape but its rate and queue."""
    return [f"qdisc change dev {device} root handle 1: {netem_words(shape)}"]


def _join(placed: Placed) -> list[str]:
    lines = []
    for here, there in (placed.middles, placed.middles[::-1]):
        lines += [
            f"qdisc add dev {here} handle ffff: ingress",
            f"filter add dev {here} parent ffff: protocol all prio 1 u32 match u32 0 0 "
            f"action mirred egress redirect dev {there}",
        ]
    return lines


@functools.cache
def table(law: str) -> str:
    """The law as tc reads it: quantiles in deviations × 8192 ÷ _WIDE."""
    values = (jitter.quantile(law, (i + 0.5) / _POINTS) for i in range(_POINTS))
    return "\n".join(f"{round(v * _SCALE / _WIDE)}" for v in values) + "\n"


class Netem:
    """Backend "netem": a LinkBackend of the kernel's own shapers. alias: written to the host's interfaces."""

    name = "netem"

    def __init__(self, alias: str = "") -> None:
        self.alias = alias
        self._placed: dict[str, Placed] = {}
        self._configured: dict[tuple[str, Direction], Shape] = {}
        self._player = Player(alter_rate)
        self._lock = threading.Lock()

    @staticmethod
    def refuses(link: WireLink, needs: Collection[str]) -> str:
        if "trace" in needs:
            return "netem can't replay packet opportunities"
        if "outage" in needs:
            return "htb stays in debt long after an outage"
        if link.ab.jitter_correlation or link.ba.jitter_correlation or "jitter_correlation" in needs:
            return "netem's correlated jitter does not keep its distribution"
        return ""

    def create(self, links: Sequence[WireLink]) -> None:
        for link in links:
            if why := self.refuses(link, ()):
                raise CannotRun(f"link {link.name}: {why}; use the relay")
        placed = [place(link) for link in links]
        _refuse_taken(placed)
        try:
            self._make(placed)
        except CannotRun:
            self._remove(placed)
            raise
        for p in placed:
            self._placed[p.link.name] = p
            self._configured |= {(p.link.name, "ab"): p.link.ab, (p.link.name, "ba"): p.link.ba}

    def _make(self, placed: Sequence[Placed]) -> None:
        kernel.run(["ip", "-batch", "-"], text=_text([line for p in placed for line in self._pairs(p)]))
        tc = [line for p in placed for d, shaper in p.shapers.items() for line in install(shaper, p.link.shape(d))]
        _tc(tc + [line for p in placed for line in _join(p)])
        where: dict[str | None, list[str]] = {}
        for p in placed:
            for netns, name in (
                *((e.netns, e.interface) for e in (p.link.a, p.link.b)),
                *((None, m) for m in p.middles),
            ):
                where.setdefault(netns, []).append(name)
        for netns, names in where.items():
            kernel.prepare(netns, names)

    def _pairs(self, p: Placed) -> list[str]:
        lines = []
        for middle, end in zip(p.middles, (p.link.a, p.link.b), strict=True):
            there = "" if end.netns is None else f" netns {end.netns}"
            lines.append(f"link add name {middle} mtu {MTU} type veth peer name {end.interface} mtu {MTU}{there}")
            if self.alias:
                lines.append(f"link set dev {middle} alias {self.alias}")
                if end.netns is None:
                    lines.append(f"link set dev {end.interface} alias {self.alias}")
        return lines

    def change(self, link: str, direction: Directions, shape: Shape) -> None:
        self._player.check()
        placed = self._placed[link]
        for d in each(direction):
            with self._lock:
                self._configured[link, d] = shape
                device = placed.shapers[d]
                factor = shape.rate / placed.link.shape(d).rate
                rate = [] if self._player.scale((link, d), factor, shape) else alter_rate(device, shape)
                _tc([*alter(device, shape), *rate])

    def set_state(self, link: str, up: bool) -> None:
        """The middles are taken down: both ends lose their carrier, the queues are emptied by the kernel."""
        state = "up" if up else "down"
        lines = [f"link set dev {middle} {state}" for middle in self._placed[link].middles]
        kernel.run(["ip", "-batch", "-"], text=_text(lines))

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
                track = Track(None, placed.shapers[d], instants, list(rates_wire_bps), factor, shape)
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
        raise CannotRun(f"link {link}: netem can't replay packet opportunities; choose the relay (needs: trace)")

    def read_back(self, link: str) -> tuple[Shape, Shape, bool]:
        """By tc; the law of the jitter is the configured one, which the kernel keeps to itself."""
        self._player.check()
        p = self._placed[link]
        found = {d: replace(read(m), jitter_law=self._configured[link, d].jitter_law) for d, m in p.shapers.items()}
        return found["ab"], found["ba"], all(kernel.operational(end.interface, end.netns) for end in p.ends)

    def counters(self, link: str) -> Counters:
        flows = {d: _count(device) for d, device in self._placed[link].shapers.items()}
        return Counters(flows["ab"], flows["ba"])

    def lateness(self, anew: bool = False) -> dict[str, float]:
        """Empty: the kernel keeps the schedule and does not tell."""
        return {}

    def close(self) -> None:
        self._player.close()
        self._remove(list(self._placed.values()))
        self._placed.clear()

    def _remove(self, placed: Sequence[Placed]) -> None:
        """The ends go with their middles; an end whose pod has gone has taken its middle along."""
        with Channel(None) as channel:
            for middle in channel.links().keys() & {m for p in placed for m in p.middles}:
                channel.delete(middle)


def _refuse_taken(placed: Sequence[Placed]) -> None:
    """What is there before us is not ours, and must not be removed when something fails later."""
    wanted: dict[str | None, set[str]] = {None: {m for p in placed for m in p.middles}}
    for end in (e for p in placed for e in (p.link.a, p.link.b)):
        wanted.setdefault(end.netns, set()).add(end.interface)
    kernel.refuse_taken(wanted)


def _tc(lines: Sequence[str]) -> None:
    """One batch, with our tables of distributions where tc looks for its own."""
    with tempfile.TemporaryDirectory(prefix="shaketable-tc-") as folder:
        for law in jitter.LAWS:
            if any(f"distribution {law}" in line for line in lines):
                Path(folder, f"{law}.dist").write_text(table(law))
        kernel.run(["env", f"TC_LIB_DIR={folder}", "tc", "-batch", "-"], text=_text(lines))


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def read(device: str) -> Shape:
    """What the kernel holds, but for the jitter's law."""
    qdiscs = kernel.ask(["tc", "-s", "-j", "qdisc", "show", "dev", device])
    found = next((q for q in qdiscs if q["kind"] == "netem"), None)
    leaf = next((q for q in qdiscs if q["kind"] == "bfifo"), None)
    if found is None or leaf is None:
        raise CannotRun(f"no netem with a bfifo on {device} any more: something replaced its queueing discipline")
    rate = htb.rate_of(device, None)
    return replace(shape_of(found["options"]), rate=rate, queue=float(leaf["options"]["limit"]))


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


def _count(device: str) -> Flow:
    """netem counts what it lost and what its inner queue refused as one."""
    qdiscs = {q["kind"]: q for q in kernel.ask(["tc", "-s", "-j", "qdisc", "show", "dev", device])}
    leaf, outer = qdiscs["bfifo"], qdiscs["netem"]
    dropped = int(leaf["drops"])
    return Flow(int(leaf["bytes"]), int(leaf["packets"]), dropped, max(0, int(outer["drops"]) - dropped))
