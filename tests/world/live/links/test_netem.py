"""What netem is told: the words, the tables of distributions, and the way back. No root, no kernel that has it."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from testbed.topology.model import Shape
from testbed.world.live.links.base import End, WireLink, alike
from testbed.world.live.links.netem import Netem, impair, install, netem_words, shape_of, table

PLAIN = Shape(10e6, 0.0125, queue=50e3)
LINK = WireLink("l", End("e-a", "/run/netns/a"), End("e-b"), PLAIN, PLAIN)


def test_every_option_is_given_each_time_so_that_a_change_can_switch_it_off() -> None:
    assert netem_words(PLAIN) == (
        "netem limit 20000 delay 12500.000us loss random 0% duplicate 0% corrupt 0% reorder 0% rate 100gbit"
    )


def test_jitter_names_its_table_and_a_delay_of_zero_becomes_a_microsecond() -> None:
    assert "delay 20000.000us 8000.000us distribution pareto " in netem_words(
        Shape(1e6, 0.02, 0.002, jitter_law="pareto")
    )
    assert "delay 1.000us 4000.000us distribution normal " in netem_words(Shape(1e6, 0.0, 0.001))


def test_bursts_become_the_chain() -> None:
    """Mean 10 % in bursts of four lost whole: r = 1/4, p = r · 0.1 / 0.9."""
    words = netem_words(Shape(1e6, loss=0.1, loss_burst=4))
    assert "loss gemodel 2.77778% 25% 100% 0% " in words
    assert "loss random 2.5% " in netem_words(Shape(1e6, loss=0.025))


def test_the_rate_and_the_queue_are_below_netem_and_change_apart() -> None:
    lines = install("m", PLAIN)
    assert [line.split(" handle ")[0] for line in lines if line.startswith("qdisc")] == [
        "qdisc add dev m root", "qdisc add dev m parent 1:1", "qdisc add dev m parent 2:1",
    ]  # fmt: skip
    assert "rate 10000000bit ceil 10000000bit" in lines[2]
    assert lines[3].endswith("bfifo limit 50000b")
    assert all(line.split()[1] == "change" for line in (*impair("m", PLAIN), *Netem.alter_rate("m", PLAIN)))
    assert impair("m", PLAIN)[0].endswith(netem_words(PLAIN))


def test_middles_have_names_of_their_own_that_fit() -> None:
    one, two = Netem.lay(LINK), Netem.lay(replace(LINK, b=End("e-c")))
    assert len({*one.middles, *two.middles}) == 4
    assert all(len(m) <= 15 and m.startswith("sk") for m in one.middles)
    assert one.shapers == {"ab": End(one.middles[1]), "ba": End(one.middles[0])}
    assert set(one.interfaces) == {LINK.a, LINK.b, *one.roots}


@pytest.mark.parametrize("law", ["normal", "uniform", "pareto"])
def test_a_table_has_mean_zero_and_the_deviation_tc_expects_and_fits_16_bits(law: str) -> None:
    values = [int(line) for line in table(law).split()]
    assert len(values) <= 16384
    assert max(map(abs, values)) < 2**15
    assert statistics.mean(values) == pytest.approx(0, abs=0.02 * 2048)
    assert statistics.pstdev(values) == pytest.approx(8192 / 4, rel=0.01)


def test_what_tc_prints_is_the_shape_again() -> None:
    """As `tc -j` of iproute2 6.1 printed it on Linux 6.1 for the words of this shape."""
    said = {
        "limit": 20000, "delay": {"delay": 0.02, "jitter": 0.008, "correlation": 0},
        "loss-gemodel": {"p": 0.03, "r": 0.25, "1-h": 0.8, "1-k": 0.01},
        "duplicate": {"duplicate": 0.02, "correlation": 0}, "reorder": {"reorder": 0.05, "correlation": 0},
        "corrupt": {"corrupt": 0.01, "correlation": 0}, "rate": {"rate": 12500000000}, "ecn": False, "gap": 1,
    }  # fmt: skip
    loss = (0.03 * 0.8 + 0.25 * 0.01) / 0.28
    wanted = Shape(
        1.0, 0.02, 0.002, loss, loss_burst=4, loss_bad=0.8, loss_good=0.01, duplicate=0.02, reorder=0.05, corrupt=0.01
    )
    assert wanted.chain() == pytest.approx((0.03, 0.25))
    assert alike(replace(shape_of(said), rate=1.0), wanted)


def test_it_refuses_what_the_kernel_gets_wrong() -> None:
    assert Netem.refuses(LINK, frozenset({"rate", "delay", "loss"})) == ""
    assert "opportunities" in Netem.refuses(LINK, frozenset({"trace"}))
    assert "debt" in Netem.refuses(LINK, frozenset({"outage"}))
    assert "correlated" in Netem.refuses(replace(LINK, ab=Shape(1e6, 0.1, 0.01, jitter_correlation=0.5)), ())
