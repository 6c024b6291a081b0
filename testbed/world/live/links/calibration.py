"""What links of known shape do on this machine: the standard calibration behind `testbed doctor --links`.

Links between two namespaces of their own, one backend at a time, one quantity at a time, nothing else of ours running.
Delays, jitter and traces by one-way probes with the kernel's receive time stamps (`instrument.py`); rates by layer-2
bits at the receiving interface while saturated (`measure.py`); losses by numbered datagrams. The bounds are those a
result is held to, with their reasons in docs/results.md; what is outside is reported as it is.

A machine too slow for links of these rates may be asked for them as a dilated run has them: delays and gaps K times as
long, rates a Kth, and what is found told in nominal time.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from testbed.record.measures import quantile
from testbed.topology.model import Shape
from testbed.world.live.links import jitter, mahimahi
from testbed.world.live.links.base import LinkBackend, WireLink
from testbed.world.live.links.instrument import Flow, Seen, run
from testbed.world.live.links.measure import measure
from testbed.world.live.links.scratch import Scratch

SEED = 20  # of loss, jitter and the trace: the same draws each time, so two calibrations differ by the machine alone
DELAYS = (0.0005, 0.002, 0.010, 0.050)  # s
RATES = (1e6, 10e6, 50e6, 100e6)  # bit/s
LOSSES = (0.001, 0.01, 0.05)
SPREAD, SPREAD_DELAY = 0.002, 0.030  # s: jitter's deviation and the delay it varies
DELAY_P50, DELAY_P99 = 0.3e-3, 2e-3  # s, bounds of the error
RATE_ERROR, TRACE_ERROR, SPREAD_ERROR = 0.03, 0.03, 0.10  # relative
OPPORTUNITY_ERROR = 1e-3  # s, p99 of a packet's time against its opportunity
LEVEL = 0.01  # of Kolmogorov–Smirnov and of the losses' interval
WIDE = 100e6  # bit/s of links on which something else is measured

_DELAY_PROBES, _DELAY_GAP = 800, 0.005
_RATE_SECONDS, _RATE_MOST = 2.5, 4.0  # on slower links frames are smaller: no more seconds are needed to count them
_LOSS_PROBES, _LOSS_GAP, _BURST = 20_000, 350e-6, 5.0
_SPREAD_LINKS, _SPREAD_PROBES, _SPREAD_GAP = 16, 150, 0.026  # a gap wider than any law: order costs no frame its lag
_TRACE_SECONDS, _TRACE_PERIOD = 6.0, 2500  # the file (ms) repeats within the measurement
_TRACE_GAP, _WINDOW_STEP = 130e-6, 0.05  # s: 92 Mbit/s offered, more than the file carries at any time
_TRANSIT = 60e-6  # s from a sender's clock to the link's queue
_SMALL, _FULL = 100, 1500  # bytes of a probe at layer 2


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. value and bound in the unit named; within None: shown, not judged."""

    backend: str
    quantity: str
    configured: str
    unit: str
    value: float
    bound: str
    within: bool | None


@dataclass(frozen=True, slots=True)
class Bench:
    """Where links are measured. Shapes, gaps and lags of its methods are nominal; dilate: real s of a nominal one."""

    place: Scratch
    dilate: float = 1.0

    def links(
        self, backend: str, shapes: Sequence[Shape]
    ) -> AbstractContextManager[tuple[LinkBackend, list[WireLink]]]:
        k = self.dilate
        made = [replace(s, rate=s.rate / k, delay=s.delay * k, jitter=s.jitter * k) for s in shapes]
        return self.place.links(backend, SEED, made)

    def flow(self, index: int, size: int, interval: float, count: int, start: float = 0.0) -> Flow:
        place, k = self.place, self.dilate
        ends = place.address(index, "a"), place.address(index, "b")
        return Flow(place.a, place.b, *ends, size, interval * k, count, start * k)

    def run(self, flows: Sequence[Flow]) -> list[Seen]:
        """Times of what was seen are the clock's own."""
        return run(flows, 60.0 + 60.0 * self.dilate)

    def lags(self, seen: Seen) -> list[float]:
        """One-way times, s, less the probe's transmission."""
        return [(at - seen.sent[number]) / self.dilate - _SMALL * 8 / WIDE for number, at in seen.arrivals]


@dataclass(frozen=True, slots=True)
class Step:
    """seconds: about how long it takes, nominal."""

    name: str
    backends: tuple[str, ...]
    seconds: float
    work: Callable[[Bench, str], list[Row]]


def steps(offered: Sequence[str]) -> list[tuple[str, Step]]:
    """(backend, step) in the order in which they are done, for the backends this kernel offers."""
    return [(backend, step) for backend in offered for step in STEPS if backend in step.backends]


def calibrate(bench: Bench, plan: Sequence[tuple[str, Step]], say: Callable[[str, float], None]) -> Iterator[Row]:
    """Do the steps; say(what is being done, s left) before each."""
    left = sum(step.seconds for _, step in plan)
    for backend, step in plan:
        say(f"{backend}: {step.name}", left * bench.dilate)
        yield from step.work(bench, backend)
        left -= step.seconds


def delays(bench: Bench, backend: str) -> list[Row]:
    """Error of the one-way delay at each of DELAYS, links all at once, probes of their own."""
    with bench.links(backend, [Shape(WIDE, d) for d in DELAYS]):
        flows = [
            bench.flow(i, _SMALL, _DELAY_GAP, _DELAY_PROBES, i * _DELAY_GAP / len(DELAYS)) for i in range(len(DELAYS))
        ]
        seen = bench.run(flows)
    rows = []
    for configured, one in zip(DELAYS, seen, strict=True):
        errors = sorted(abs(lag - configured) for lag in bench.lags(one))
        shown = f"{configured * 1e3:g} ms"
        for what, share, bound in (("p50", 0.5, DELAY_P50), ("p99", 0.99, DELAY_P99)):
            found = quantile(errors, share) or 0.0
            rows.append(
                Row(backend, f"delay, error {what}", shown, "ms", found * 1e3, f"≤ {bound * 1e3:g}", found <= bound)
            )
    return rows


def rates(bench: Bench, backend: str) -> list[Row]:
    """Layer-2 bits at the receiving interface while saturated."""
    with bench.links(backend, [Shape(rate) for rate in RATES]):
        probes = [bench.place.probe(i, rate / bench.dilate) for i, rate in enumerate(RATES)]
        found = measure(probes, _RATE_SECONDS * min(bench.dilate, _RATE_MOST))
    rows = []
    for configured, one in zip(RATES, found, strict=True):
        error = one.bps * bench.dilate / configured - 1
        rows.append(
            Row(
                backend, "bandwidth, error", f"{configured / 1e6:g} Mbit/s", "%", error * 100,
                f"± {RATE_ERROR:.0%}", abs(error) <= RATE_ERROR,
            )
        )  # fmt: skip
    return rows


def losses(bench: Bench, backend: str) -> list[Row]:
    """Independent losses against the binomial interval; bursts against their mean length."""
    shapes = [Shape(WIDE, 0.001, loss=loss) for loss in LOSSES] + [Shape(WIDE, 0.001, loss=0.05, loss_burst=_BURST)]
    with bench.links(backend, shapes):
        seen = bench.run([bench.flow(i, _SMALL, _LOSS_GAP, _LOSS_PROBES) for i in range(len(shapes))])
    rows = []
    for shape, one in zip(shapes, seen, strict=True):
        there = {number for number, _ in one.arrivals}
        gone = [number not in there for number in range(_LOSS_PROBES)]
        if shape.loss_burst:
            lengths = _runs(gone)
            mean, bound = statistics.mean(lengths), 2.576 / math.sqrt(len(lengths))
            within = abs(mean / _BURST - 1) <= bound
            rows.append(Row(backend, "loss, burst", f"{_BURST:g} frames", "frames", mean, f"± {bound:.0%}", within))
            continue
        low, high = binomial_interval(_LOSS_PROBES, shape.loss, LEVEL)
        rows.append(
            Row(
                backend, "loss", f"{shape.loss:.1%}", "%", sum(gone) / _LOSS_PROBES * 100,
                f"{low / _LOSS_PROBES:.3%} to {high / _LOSS_PROBES:.3%}", low <= sum(gone) <= high,
            )
        )  # fmt: skip
    return rows


def spreads(bench: Bench, backend: str) -> list[Row]:
    """Deviation of the jitter and Kolmogorov–Smirnov against its law, whose place is fitted: delay has its own row.

    The deviation is the mean difference of two draws by that of the law: the root mean square of 2,400 right draws of
    the Pareto law is off by 5 % one time in three, this by 3 %.
    """
    shapes = [Shape(WIDE, SPREAD_DELAY, SPREAD, jitter_law=law) for law in jitter.LAWS for _ in range(_SPREAD_LINKS)]
    with bench.links(backend, shapes):
        gap = _SPREAD_GAP / len(shapes)
        seen = bench.run([bench.flow(i, _SMALL, _SPREAD_GAP, _SPREAD_PROBES, i * gap) for i in range(len(shapes))])
    rows = []
    for index, law in enumerate(jitter.LAWS):
        lags = [lag for one in seen[index * _SPREAD_LINKS : (index + 1) * _SPREAD_LINKS] for lag in bench.lags(one)]
        found = mean_difference(lags) / jitter.mean_difference(law)
        shown = f"{law}, σ {SPREAD * 1e3:g} ms"
        within = abs(found / SPREAD - 1) <= SPREAD_ERROR
        rows.append(Row(backend, "jitter, deviation", shown, "ms", found * 1e3, f"± {SPREAD_ERROR:.0%}", within))
        distance, p = at_its_best([lag / SPREAD for lag in lags], partial(jitter.distribution, law))
        rows.append(Row(backend, "jitter, KS", f"{shown}: D {distance:.3f}", "p", p, f"≥ {LEVEL:g}", p >= LEVEL))
    return rows


def trace(bench: Bench, backend: str) -> list[Row]:
    """A packet-opportunity file under saturation: every frame's time, and bytes in any 1 s window."""
    with tempfile.TemporaryDirectory(prefix=f"shaketable-{bench.place.names.tag}-") as folder:
        file = Path(folder) / "opportunities"
        file.write_text("\n".join(map(str, made_trace())) + "\n")
        opportunities = mahimahi.parse(str(file))
        with bench.links(backend, [Shape(WIDE, queue=1e9)]) as (made, links):
            origin = time.monotonic()
            made.play_trace(links[0].name, "ab", str(file), mahimahi.OPPORTUNITY_BYTES, bench.dilate, origin)
            seen = bench.run([bench.flow(0, _FULL, _TRACE_GAP, opportunities.count(_TRACE_SECONDS))])[0]
    times, sent = ([(at - origin) / bench.dilate for at in some] for some in ((a for _, a in seen.arrivals), seen.sent))
    transit = _TRANSIT / bench.dilate
    errors = sorted(abs(t - due) for t, due in zip(times, _chances(opportunities, sent, transit), strict=False))
    late = quantile(errors, 0.99) or 0.0
    worst = 0.0
    for step in range(int((times[-1] - times[0] - 1) / _WINDOW_STEP)):
        start = times[0] + step * _WINDOW_STEP
        due = opportunities.count(start + 1) - opportunities.count(start)
        worst = max(worst, abs((bisect_left(times, start + 1) - bisect_left(times, start)) / due - 1))
    shown = f"{len(times)} frames, {times[-1] - times[0]:.1f} s"
    return [
        Row(backend, "trace, bytes in 1 s", shown, "%", worst * 100, f"≤ {TRACE_ERROR:.0%}", worst <= TRACE_ERROR),
        Row(
            backend, "trace, frame's time p99", shown, "ms", late * 1e3, f"≤ {OPPORTUNITY_ERROR * 1e3:g}",
            late <= OPPORTUNITY_ERROR and len(times) == len(seen.sent),
        ),
    ]  # fmt: skip


def _chances(opportunities: mahimahi.Opportunities, sent: Sequence[float], transit: float) -> list[float]:
    """When each frame sent has its opportunity: the first that nobody before it has used. All in s of the trace."""
    out, index = [], -1
    for at in sent:
        index = max(index + 1, opportunities.count(at + transit))
        out.append(opportunities.at(index))
    return out


def made_trace() -> list[int]:
    """Milliseconds: a rate that changes every 100 ms between 4 and 40 Mbit/s."""
    draw = random.Random(SEED)
    times: list[int] = []
    for start in range(0, _TRACE_PERIOD, 100):
        times += sorted(start + draw.randrange(1, 101) for _ in range(draw.randrange(33, 333)))
    return [*times[:-1], _TRACE_PERIOD]


STEPS = (
    Step("delay", ("netem", "relay"), 5.5, delays),
    Step("bandwidth", ("htb", "netem", "relay"), 7.5, rates),
    Step("loss", ("netem", "relay"), 9.0, losses),
    Step("jitter", ("netem", "relay"), 6.0, spreads),
    Step("trace", ("relay",), 7.5, trace),
)


def _runs(gone: Sequence[bool]) -> list[int]:
    """Lengths of the runs of lost frames."""
    lengths, length = [], 0
    for lost in [*gone, False]:
        if lost:
            length += 1
        elif length:
            lengths.append(length)
            length = 0
    return lengths


def binomial_interval(n: int, p: float, level: float) -> tuple[int, int]:
    """Smallest and largest count of Binomial(n, p) with at most level/2 of the probability outside on each side."""
    low, high, below = 0, n, 0.0
    for k in range(n + 1):
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        term = math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))
        if below + term <= level / 2:
            low = k + 1
        below += term
        if below >= 1 - level / 2:
            high = k
            break
    return low, high


def mean_difference(values: Sequence[float]) -> float:
    """Of two of the values, all pairs counted (Gini)."""
    n = len(values)
    return sum((2 * i - n + 1) * x for i, x in enumerate(sorted(values))) * 2 / (n * (n - 1))


def at_its_best(values: Sequence[float], law: Callable[[float], float]) -> tuple[float, float]:
    """`kolmogorov_smirnov` at the place of the law where the distance is least: p is never too small for a right law.

    By its mean the place of a law with a sharp edge and a long tail is not known well enough: of samples that are the
    Pareto law's own, two in five failed at 1 %.
    """
    from scipy.optimize import brentq

    ordered, n = sorted(values), len(values)

    def above_less_below(place: float) -> float:
        return max((i + 1) / n - law(x - place) for i, x in enumerate(ordered)) - max(
            law(x - place) - i / n for i, x in enumerate(ordered)
        )

    span = ordered[-1] - ordered[0] + 20.0  # deviations: all of any law lies within it
    place = brentq(above_less_below, ordered[0] - span, ordered[-1] + span, xtol=1e-5)
    return kolmogorov_smirnov([x - place for x in ordered], law)


def kolmogorov_smirnov(values: Sequence[float], law: Callable[[float], float]) -> tuple[float, float]:
    """Largest distance of the sample's distribution from `law`, and its probability (Stephens' approximation)."""
    ordered, n = sorted(values), len(values)
    distance = max(max((i + 1) / n - law(x), law(x) - i / n) for i, x in enumerate(ordered))
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    if scaled < 0.2:
        return distance, 1.0
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return distance, min(1.0, max(0.0, p))
