"""What the links of a built testbed really do, measured before load: layer-2 rate when saturated, delay when idle.

Rate: datagrams at 1.15 times the configured rate for a bounded time; bits counted by the kernel at an interface behind
the link. Delay: half the median round trip of small datagrams on the idle link, less what is known to be outside it
and less the datagram's own transmission time. One helper process holds a socket in every namespace.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.errors import CannotRun
from testbed.world.live.links.base import End

_ROOT = Path(__file__).resolve().parents[4]
BUDGET = 100e6  # bit/s sent at a time: more would measure this machine's processors instead of its links


@dataclass(frozen=True, slots=True)
class Probe:
    """One direction of one link, from a sender to a receiver whose other links are faster.

    Namespaces are paths, None the host's. receiver_interface: where the bits are counted, in the receiver's namespace;
    where an htb link shapes behind that interface, they are counted at its ifb. counter: an interface elsewhere to
    count at instead, e.g. End(switch port). extra_delay_s: one-way delay of the rest of the path, taken off the result.
    along: every link the datagrams cross, so that probes which share one do not run together.
    """

    link: str
    sender_netns: str | None
    receiver_netns: str | None
    sender_ip: str
    receiver_ip: str
    receiver_interface: str
    rate_bps: float
    extra_delay_s: float = 0.0
    counter: End | None = None
    along: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """bps: bit/s at layer 2. delay_s: one way, s; None when no echo came back."""

    link: str
    bps: float
    delay_s: float | None


def groups(probes: Sequence[Probe], budget: float = BUDGET) -> list[list[int]]:
    """Indices of probes that may send at the same time: nothing shared on the way, at most `budget` bit/s together."""
    made: list[tuple[list[int], set[str | None], float]] = []
    for index, probe in enumerate(probes):
        ends = {probe.sender_netns, probe.receiver_netns, *probe.along}
        for place, (members, taken, rate) in enumerate(made):
            if not ends & taken and rate + probe.rate_bps <= budget:
                made[place] = ([*members, index], taken | ends, rate + probe.rate_bps)
                break
        else:
            made.append(([index], ends, probe.rate_bps))
    return [members for members, _, _ in made]


def measure(probes: Sequence[Probe], seconds: float = 1.0, together: bool = False) -> list[Measured]:
    """Measure each probe, in the order given; takes about `seconds` per group of probes that may run together.

    together: all at once whatever they share, to load them rather than to measure each.
    """
    if not probes:
        return []
    plan = [list(range(len(probes)))] if together else groups(probes)
    order = {"probes": [asdict(p) for p in probes], "groups": plan, "seconds": seconds}
    limit = 20 + 3 * seconds * len(plan) + 0.2 * len(probes)  # s
    words = [sys.executable, "-m", f"{__package__}.measure_process"]
    try:
        done = subprocess.run(
            words, input=json.dumps(order), capture_output=True, text=True, timeout=limit, cwd=_ROOT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(
            f"measuring {len(probes)} links did not end within {limit:.0f} s: the machine is overloaded"
        ) from error
    if done.returncode:
        raise CannotRun(f"the links could not be measured: {done.stderr.strip().splitlines()[-1:]}")
    return [Measured(p.link, r["bps"], r["delay_s"]) for p, r in zip(probes, json.loads(done.stdout), strict=True)]
