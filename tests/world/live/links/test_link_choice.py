"""Which backend a link gets, what a track must be, which probes may run together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links.base import End, WireLink, check_track, choose
from testbed.world.live.links.htb import Htb, ifb_of
from testbed.world.live.links.measure import Probe, groups

ALL = frozenset({"htb", "ifb", "tap"})
RATE_ONLY = WireLink("n1--s1", End("n1-eth0", "/proc/1/ns/net"), End("sk1-0b"), Shape(1e7), Shape(1e7))


@pytest.mark.parametrize(
    ("link", "role", "needs", "expected"),
    [
        (RATE_ONLY, "node", frozenset(), "htb"),
        (RATE_ONLY, "gateway", frozenset({"rate"}), "htb"),
        (RATE_ONLY, "trunk", frozenset(), "relay"),
        (RATE_ONLY, "node", frozenset({"rate", "delay"}), "relay"),
        (RATE_ONLY, "node", frozenset({"trace"}), "relay"),
        (replace(RATE_ONLY, ba=Shape(1e7, delay=1e-3)), "node", frozenset(), "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, jitter=1e-3)), "node", frozenset(), "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, loss=0.1)), "node", frozenset(), "relay"),
        (replace(RATE_ONLY, a=End("sk1-0a")), "node", frozenset(), "relay"),
    ],
)
def test_htb_takes_pure_rates_at_a_pod_and_the_relay_all_else(
    link: WireLink, role: str, needs: frozenset[str], expected: str
) -> None:
    assert choose(link, role, needs, ALL) == expected


def test_without_ifb_the_relay_and_without_tap_an_error() -> None:
    assert choose(RATE_ONLY, "node", frozenset(), {"htb", "tap"}) == "relay"
    with pytest.raises(CannotRun, match="modprobe tun"):
        choose(RATE_ONLY, "trunk", frozenset(), {"htb", "ifb"})


def test_htb_refuses_what_it_cannot_shape_before_touching_anything() -> None:
    with pytest.raises(CannotRun, match="need the relay"):
        Htb().create([replace(RATE_ONLY, ab=Shape(1e7, delay=1e-3))])
    with pytest.raises(CannotRun, match="switch ports"):
        Htb().create([replace(RATE_ONLY, a=End("sk1-0a"))])


def test_names_of_ifbs_fit_an_interface() -> None:
    assert ifb_of("n1-eth0") == "i-n1-eth0"
    long = [ifb_of("a-very-long-n-0"), ifb_of("a-very-long-n-1")]
    assert max(map(len, long)) <= 15
    assert long[0] != long[1]


@pytest.mark.parametrize(("times", "rates"), [([], []), ([0.0], [1.0, 2.0]), ([1.0, 1.0], [1.0, 1.0]), ([0.0], [0.0])])
def test_a_track_that_is_none_is_refused(times: list[float], rates: list[float]) -> None:
    with pytest.raises(CannotRun, match="link l"):
        check_track("l", times, rates)


def test_probes_that_share_a_namespace_or_exceed_the_budget_run_apart() -> None:
    def probe(sender: str, receiver: str | None, rate: float) -> Probe:
        return Probe("l", sender, receiver, "10.0.0.1", "10.0.0.2", "x", rate)

    probes = [probe("a", "b", 5e6), probe("b", "c", 5e6), probe("c", "d", 5e6), probe("e", "f", 200e6)]
    assert groups(probes, 100e6) == [[0, 2], [1], [3]]
