"""Every fault of links and switches, by an independent instrument: ping between two pods, before, during and after."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import CannotRun
from testbed.faults.base import load_kind, timeline
from testbed.record.tables import Names as Book
from testbed.run.execute import bed_of
from testbed.run.worlds import bins
from testbed.scenario.model import Fault
from testbed.topology.model import Topology
from testbed.world.base import Disturbance
from testbed.world.live.names import Names
from testbed.world.live.world import LiveWorld
from tests.live_run.kit import docker, ready, until
from tests.world.live.hosts_kit import new_run_id, traces

pytestmark = pytest.mark.live
TRUNK = "s1--s2"
KINDS = ("bandwidth_drop", "delay_spike", "jitter", "loss", "duplicate", "reorder", "corrupt", "link_down")
PLANNED = ", ".join(f"{{kind: {k}, target: {TRUNK}, at: {i}s, for: 500 ms}}" for i, k in enumerate(KINDS))
RTT = 0.010  # s between n1 and n3: 0.5 + 4 + 0.5 ms each way
SLACK = 0.004  # s, of a busy machine's median


@dataclass
class Ping:
    sent: int
    received: int
    duplicates: int
    median: float
    spread: float
    order: list[int]


@dataclass
class Bed:
    world: LiveWorld
    topology: Topology
    pids: dict[str, int]
    addresses: dict[str, str]
    asked: list[Disturbance] = field(default_factory=list)

    def disturb(self, verb: str, target: str, shape: Any) -> Disturbance:
        made = self.world.disturb(verb, target, shape)
        assert made.verified, made.evidence
        self.asked.append(made)
        return made

    def undo(self, disturbance: Disturbance) -> Disturbance:
        raise AssertionError("the test undoes")

    def apply(self, kind: str, target: str = TRUNK, **parameters: Any) -> list[Disturbance]:
        module = load_kind(kind)
        return list(module.apply(self, target, module.Parameters(**parameters)))

    @contextmanager
    def shaken(self, *faults: tuple[str, str, dict[str, Any]]) -> Iterator[list[Disturbance]]:
        """(kind, target, parameters) in force; undone and as before afterwards, whatever the body finds."""
        made: list[Disturbance] = []
        try:
            for kind, target, parameters in faults:
                made += self.apply(kind, target, **parameters)
            yield made
        finally:
            undone = [self.world.undo(d) for d in reversed(made)]
            assert all(d.verified for d in undone), [d.evidence for d in undone]
        self.calm()

    @contextmanager
    def added(self, kind: str, target: str, **parameters: Any) -> Iterator[None]:
        """One more, beside what is in force."""
        made = self.apply(kind, target, **parameters)
        try:
            yield
        finally:
            assert all(self.world.undo(d).verified for d in made)

    def checksums(self, host: str) -> int:
        """ICMP messages the host's kernel threw away for their checksum."""
        heads, values = [
            line.split() for line in Path(f"/proc/{self.pids[host]}/net/snmp").read_text().splitlines()
            if line.startswith("Icmp:")
        ]  # fmt: skip
        return int(values[heads.index("InCsumErrors")])

    def ping(self, count: int = 100, size: int = 56, source: str = "n1", target: str = "n3") -> Ping:
        """From one pod to another, a request every 10 ms."""
        words = [
            "nsenter",
            "-t",
            str(self.pids[source]),
            "-n",
            "ping",
            "-n",
            "-i",
            "0.01",
            "-w",
            str(2 + count // 50),
            "-s",
            str(size),
        ]
        done = subprocess.run(
            [*words, "-c", str(count), self.addresses[target]], capture_output=True, text=True, timeout=60
        )
        lines = [m for m in re.finditer(r"icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms( \(DUP!\))?", done.stdout)]
        times = sorted(float(m[2]) / 1e3 for m in lines if not m[3])
        total = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", done.stdout)
        assert total, done.stdout + done.stderr
        middle = times[len(times) // 2] if times else float("inf")
        away = sorted(abs(t - middle) for t in times)
        return Ping(
            int(total[1]), int(total[2]), int(total[3] or 0), middle,
            1.4826 * away[len(away) // 2] if away else 0.0, [int(m[1]) for m in lines if not m[3]],
        )  # fmt: skip

    def calm(self) -> None:
        """As built: nothing lost, nothing twice, the delay its own."""

        def normal() -> bool:
            seen = self.ping(30)
            return (seen.received, seen.duplicates) == (30, 0) and abs(seen.median - RTT) < SLACK

        until(normal, f"{TRUNK} is as it was built")


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """The short scenario's edge, up and without load."""
    run_id = new_run_id()
    prepared = ready("bandwidth=[]", "run.duration=60 s", f"faults=[{PLANNED}]")
    world = LiveWorld(run_id, lambda text: None)
    topology = prepared.resolved.topology
    try:
        world.up(bed_of(prepared, run_id, bins(), Book.of(prepared.resolved.model)))
        names, pids, addresses = Names(run_id), {}, {}
        for host in ("n1", "n3", "gw1"):
            pids[host] = int(docker("inspect", "-f", "{{.State.Pid}}", names.container(host)))
            shown = subprocess.check_output(
                ["nsenter", "-t", str(pids[host]), "-n", "ip", "-j", "-4", "addr"], text=True
            )
            addresses[host] = next(a["local"] for i in json.loads(shown) for a in i["addr_info"] if i["ifname"] != "lo")
        yield Bed(world, topology, pids, addresses)
    finally:
        world.down()
    assert traces(run_id) == []


def test_delay_spike_and_its_end(bed: Bed) -> None:
    bed.calm()
    with bed.shaken(("delay_spike", TRUNK, {"add": "30 ms"})):
        assert bed.ping().median == pytest.approx(RTT + 0.060, abs=SLACK), "both directions"


def test_delay_in_one_direction(bed: Bed) -> None:
    with bed.shaken(("delay_spike", "s1->s2", {"add": "30 ms"})):
        assert bed.ping().median == pytest.approx(RTT + 0.030, abs=SLACK)
        with bed.added("delay_spike", "s2->s1", add="10 ms"):
            assert bed.ping().median == pytest.approx(RTT + 0.040, abs=SLACK), "they add up"
        assert bed.ping().median == pytest.approx(RTT + 0.030, abs=SLACK), "and go one by one"


def test_jitter(bed: Bed) -> None:
    """Uniform with a deviation of 3 ms in one direction; the spread of a calm link is that of this machine."""
    calm = bed.ping(200).spread
    with bed.shaken(("jitter", "s1->s2", {"deviation": "3 ms", "law": "uniform"})):
        assert bed.ping(300).spread > calm + 0.001


def within(count: int, n: int, p: float) -> bool:
    """Five standard deviations of a binomial."""
    return abs(count - n * p) <= 5 * (n * p * (1 - p)) ** 0.5


def test_loss(bed: Bed) -> None:
    with bed.shaken(("loss", TRUNK, {"share": 0.1})):
        seen = bed.ping(400)
        assert within(seen.sent - seen.received, seen.sent, 1 - 0.9**2)


def test_loss_in_bursts(bed: Bed) -> None:
    """Means of eight in a row: far fewer gaps than losses."""
    with bed.shaken(("loss", "s1->s2", {"share": 0.2, "burst": 8})):
        seen = bed.ping(400)
        arrived = sorted(set(seen.order))
        lost, gaps = seen.sent - seen.received, sum(b - a > 1 for a, b in pairwise([0, *arrived]))
        assert lost > 20 and gaps < lost / 2.5, (lost, gaps)


def test_corrupt(bed: Bed) -> None:
    """A flipped bit among 98 bytes; in 64 of them it is the ICMP checksum that finds it, at the receiver's kernel."""
    before = bed.checksums("n3")
    with bed.shaken(("corrupt", "s1->s2", {"share": 0.3})):
        bed.ping(300)
        found = bed.checksums("n3") - before
        assert within(found, 300, 0.3 * 64 / 98)


def test_duplicate(bed: Bed) -> None:
    with bed.shaken(("duplicate", "s1->s2", {"share": 0.2})):
        seen = bed.ping(300)
        assert seen.received == 300 and within(seen.duplicates, seen.sent, 0.2)


def test_reorder(bed: Bed) -> None:
    """A frame that skips 40 ms of delay overtakes those sent within them; requests leave every 10 ms."""
    calm = bed.ping(100)
    assert calm.order == sorted(calm.order)
    with bed.shaken(("delay_spike", "s1->s2", {"add": "36 ms"}), ("reorder", "s1->s2", {"share": 0.2})):
        seen = bed.ping(200)
        overtaken = sum(b < a for a, b in pairwise(seen.order))
        assert overtaken > 10 and seen.received == 200


def test_bandwidth_drop(bed: Bed) -> None:
    """A frame of 1,042 bytes each way at 15 % of the trunk's 10 Mbit/s: 5.6 ms instead of 0.8."""
    rate = next(k for k in bed.topology.links if k.name == TRUNK).ab.rate / 50
    calm = bed.ping(60, size=1000).median
    with bed.shaken(("bandwidth_drop", TRUNK, {"keep": 0.15})):
        extra = 2 * 8 * (1000 + 42) / rate * (1 / 0.15 - 1)
        assert bed.ping(60, size=1000).median == pytest.approx(calm + extra, abs=SLACK)


def test_a_trace_of_rates(bed: Bed) -> None:
    """Step by step what the kernel or the relay carries, at 15 % and 40 % of the trunk, by ping as above."""
    rate = next(k for k in bed.topology.links if k.name == TRUNK).ab.rate / 50
    calm = bed.ping(60, size=1000).median
    trace = {"keep": [0.15, 1, 0.4], "step": "1 s"}
    fault = Fault(kind="link_trace", target=TRUNK, **{"for": "3 s", "with": trace})
    for step, keep in zip(timeline([fault], bed.topology), (0.15, 0.4), strict=True):
        with bed.shaken(("link_trace", TRUNK, {"keep": step.parameters.model_dump()["keep"]})):
            extra = 2 * 8 * (1000 + 42) / rate * (1 / keep - 1)
            assert bed.ping(60, size=1000).median == pytest.approx(calm + extra, abs=SLACK)


def test_halves_and_a_bridge_between_them(bed: Bed) -> None:
    """Of s2, s1 | s3: halves cut s3 off; a bridge leaves s2 both, so s1 reaches s3 no more but n3 both."""
    carrier = {k.name: i for i, k in enumerate(bed.topology.links)}

    def dark() -> set[str]:
        names = Names(bed.world.run_id)
        ports = {k: [Path(f"/sys/class/net/{names.port(i, e)}/operstate") for e in "ab"] for k, i in carrier.items()}
        return {k for k, files in ports.items() if any(f.exists() and f.read_text().strip() == "down" for f in files)}

    before = dark()
    for shape, cut in (("halves", {"s2--s3", "s1--s3"}), ("bridge", {"s1--s3"}), ("ring", set())):
        with bed.shaken(("partition", "s2", {"shape": shape})) as made:
            assert {d.target for d in made} == cut
            until(lambda wanted=before | cut: dark() == wanted, f"{shape}: the kernel says down")
            assert bed.ping(20).received == 20
        until(lambda: dark() == before, f"{shape}: up again")


def test_down_goes_round_and_comes_back(bed: Bed) -> None:
    with bed.shaken(("link_down", TRUNK, {})):
        until(lambda: bed.ping(10).median == pytest.approx(0.022, abs=SLACK), "the way round by s3")


@pytest.mark.parametrize("kind", ["partition", "switch_crash"])
def test_cut_off_and_back(bed: Bed, kind: str) -> None:
    """Isolated, n3's site is out of reach of n1's; the rest carries on."""
    with bed.shaken((kind, "s2", {})) as made:
        assert {d.target for d in made} == {
            k.name for k in bed.topology.links if "s2" in (k.a, k.b) and (kind == "switch_crash" or k.role == "trunk")
        }
        assert bed.ping(20).received == 0
        assert bed.ping(20, target="gw1").received == 20


def test_what_it_can_not_do_is_said(bed: Bed) -> None:
    with pytest.raises(CannotRun, match=r"can't do link_shape.*it has link_state"):
        bed.world.disturb("link_shape", TRUNK, {"colour": 1})
