"""The calibration's own statistics against SciPy; its namespaces, which leave nothing behind."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from testbed.topology.model import Shape
from testbed.world.live import capabilities, ledger
from testbed.world.live.links import calibration, choice, jitter
from testbed.world.live.links.scratch import scratch
from testbed.world.live.meters import LATE_BOUND, doubts

ROOT = Path(__file__).parents[4]
Until = Callable[..., bool]


@pytest.mark.parametrize(("n", "p"), [(20_000, 0.001), (20_000, 0.01), (20_000, 0.05), (100, 0.3), (10, 0.5)])
def test_the_binomial_interval_is_scipys(n: int, p: float) -> None:
    assert calibration.binomial_interval(n, p, 0.01) == (stats.binom.ppf(0.005, n, p), stats.binom.ppf(0.995, n, p))


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.3])
def test_kolmogorov_smirnov_is_scipys(shift: float) -> None:
    draw = random.Random(4)
    values = [draw.gauss(shift, 1.0) for _ in range(1000)]
    distance, p = calibration.kolmogorov_smirnov(values, stats.norm.cdf)
    expected = stats.kstest(values, stats.norm.cdf)
    assert distance == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.01)


def test_a_wrong_law_fails_and_the_right_one_passes() -> None:
    """2,400 draws, as many as the calibration takes, at its own level."""
    draw = jitter.source("uniform", 0.0, "1/jitter")
    values = [draw() for _ in range(2400)]
    for law in jitter.LAWS:
        p = calibration.at_its_best(values, lambda x, law=law: jitter.distribution(law, x))[1]
        assert (p >= calibration.LEVEL) == (law == "uniform")


@pytest.mark.parametrize("law", jitter.LAWS)
def test_samples_of_a_law_are_told_to_be_its_own(law: str) -> None:
    """Fifty calibrations of a right back end, wherever its law lies: a level of 1 % and bounds of 10 %, both kept."""
    draw = jitter.source(law, 0.0, "7/jitter")
    for place in range(50):
        values = [place / 10 + draw() for _ in range(2400)]
        assert calibration.at_its_best(values, lambda x: jitter.distribution(law, x))[1] >= calibration.LEVEL
        found = calibration.mean_difference(values) / jitter.mean_difference(law)
        assert abs(found - 1) <= calibration.SPREAD_ERROR
        assert abs(1.3 * found - 1) > calibration.SPREAD_ERROR, "30 % too wide is seen each time"


@pytest.mark.parametrize(("law", "least"), [("normal", 2 / math.sqrt(math.pi)), ("uniform", 2 / math.sqrt(3))])
def test_the_mean_difference_is_the_laws_own(law: str, least: float) -> None:
    assert jitter.mean_difference(law) == pytest.approx(least, rel=1e-3)
    assert calibration.mean_difference([1.0, 2.0, 4.0]) == pytest.approx((1 + 3 + 2) / 3)


def test_the_made_trace_is_one_and_repeats_within_the_measurement() -> None:
    times = calibration.made_trace()
    assert times == sorted(times)
    assert times[-1] == 2500
    assert 10e6 < len(times) * 1500 * 8 / 2.5 < 30e6


@pytest.mark.live
def test_a_calibrated_delay_is_reported_row_by_row_and_nothing_is_left(tmp_path: Path) -> None:
    run_id = f"calib-{os.getpid():06x}"
    with scratch(run_id) as place:
        rows = calibration.delays(calibration.Bench(place), "relay")
        holders = ledger.read(Path(place.names.folder)).pending
        assert len(holders) >= 3, "two namespaces and a relay"
    assert [(r.quantity, r.configured) for r in rows][:2] == [
        ("delay, error p50", "0.5 ms"), ("delay, error p99", "0.5 ms"),
    ]  # fmt: skip
    assert all(0 <= r.value < 50 for r in rows), "ms; how good they are is the calibration's to say, not this test's"
    assert not Path(f"/run/shaketable/{run_id}").exists()


@pytest.mark.live
def test_a_dilated_link_is_slower_and_is_told_in_nominal_time() -> None:
    """A frame of 100 bytes on 1 Mbit/s and 50 ms: three times as much on the wire, the same in the table."""
    with scratch(f"calib-{os.getpid():06x}d") as place:
        bench = calibration.Bench(place, 3.0)
        with bench.links("relay", [Shape(1e6, 0.05)]) as (_, links):
            assert (links[0].ab.rate, links[0].ab.delay) == (pytest.approx(1e6 / 3), pytest.approx(0.15))
            seen = bench.run([bench.flow(0, 100, 0.02, 20)])[0]
    assert seen.sent[-1] - seen.sent[0] >= 19 * 0.06 - 1e-3
    real = min(at - seen.sent[number] for number, at in seen.arrivals)
    assert real >= 0.15 + 3 * 100 * 8 / 1e6 - 1e-4
    assert min(bench.lags(seen)) == pytest.approx(real / 3 - 100 * 8 / calibration.WIDE)


@pytest.mark.parametrize("dilate", ["0.5", "1000", "nan"])
def test_a_dilation_out_of_range_says_what_is_allowed(dilate: str, capfd: pytest.CaptureFixture[str]) -> None:
    from testbed.cli import main

    assert main(["doctor", "--links", "--dilate", dilate]) == 2
    assert "1 to 100 is allowed" in capfd.readouterr().err


OWNER = """
import time
from testbed.topology.model import Shape
from testbed.world.live.links.scratch import scratch
with scratch("RUN") as place, place.links("relay", 1, [Shape(1e6)]) as (relay, links):
    print(relay.pid, place.a.split("/")[2], place.b.split("/")[2], flush=True)
    time.sleep(60)
"""


@pytest.mark.live
def test_a_calibration_that_is_killed_leaves_no_namespace_and_no_relay(until: Until) -> None:
    run_id = f"calib-{os.getpid():06x}k"
    words = [sys.executable, "-c", OWNER.replace("RUN", run_id)]
    owner = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) == 3
    assert all(ledger.start_time(pid) for pid in pids)
    owner.kill()
    owner.wait()
    assert until(lambda: not any(ledger.start_time(pid) for pid in pids), 20)
    assert until(lambda: not Path(f"/run/shaketable/{run_id}").exists(), 20)


@pytest.mark.live
def test_a_relay_that_was_held_up_makes_a_run_doubtful(wires: Any, numbered: Any) -> None:
    """Stopped for 0.3 s while 500 frames pass in a second: a third of them leave late, and the bound is passed."""
    link = wires.link(Shape(10e6, 0.002, queue=1e6))
    relay = choice.make("relay", 1, "")
    wires.join(relay, link)
    pair = wires.pair(link)
    numbered(*pair, 100, 0.002)
    calm = relay.lateness(anew=True)

    def hold(index: int) -> None:
        if index == 100:
            os.kill(relay.pid, signal.SIGSTOP)
        elif index == 250:
            os.kill(relay.pid, signal.SIGCONT)

    assert len(numbered(*pair, 500, 0.002, during=hold)) == 500
    late = relay.lateness()
    assert late["n"] >= 500, "counted from the last call on"
    assert late["p99"] > LATE_BOUND
    assert doubts({"relay_late_s_p99": late["p99"]})
    assert calm["n"] >= 100


@pytest.mark.live
def test_doctor_says_without_root_what_it_takes(capfd: pytest.CaptureFixture[str]) -> None:
    from testbed.cli import main

    if "relay" not in choice.offered(capabilities.features()):
        pytest.skip("capability: tun")
    uid = os.geteuid()
    os.seteuid(65534)
    try:
        assert main(["doctor", "--links"]) == 4
    finally:
        os.seteuid(uid)
    assert "sudo ./shaketable doctor --links" in capfd.readouterr().err
