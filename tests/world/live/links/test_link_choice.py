"""Which backend a link gets, what a track must be, which probes may run together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.scenario import loader
from testbed.topology.build import build
from testbed.topology.model import Shape
from testbed.world.live import inability
from testbed.world.live.links.base import End, WireLink, alike, check_track
from testbed.world.live.links.choice import choose
from testbed.world.live.links.htb import Htb, ifb_of
from testbed.world.live.links.measure import Probe, groups

ROOT = Path(__file__).parents[4]
ALL = {"veth": True, "htb": True, "ifb_mirred": True, "tun": True, "netem": True}
BARE = ALL | {"netem": False}
RATE_ONLY = WireLink("n1--s1", End("n1-eth0", "/proc/1/ns/net"), End("sk1-0b"), Shape(1e7), Shape(1e7))
TRUNK = replace(RATE_ONLY, a=End("sk1-0a"))
DELAYED = replace(RATE_ONLY, ba=Shape(1e7, delay=1e-3))


@pytest.mark.parametrize(
    ("link", "needs", "with_netem", "without"),
    [
        (RATE_ONLY, frozenset(), "htb", "htb"),
        (RATE_ONLY, frozenset({"rate"}), "htb", "htb"),
        (RATE_ONLY, frozenset({"rate", "delay"}), "netem", "relay"),
        (RATE_ONLY, frozenset({"outage"}), "relay", "relay"),
        (RATE_ONLY, frozenset({"trace"}), "relay", "relay"),
        (TRUNK, frozenset(), "netem", "relay"),
        (TRUNK, frozenset({"trace"}), "relay", "relay"),
        (DELAYED, frozenset(), "netem", "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, jitter=1e-3)), frozenset(), "netem", "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, 0.01, 1e-3, jitter_correlation=0.5)), frozenset(), "relay", "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, loss=0.1)), frozenset(), "netem", "relay"),
        (replace(RATE_ONLY, ab=Shape(1e7, corrupt=0.1)), frozenset(), "netem", "relay"),
    ],
)
def test_the_first_backend_that_can_takes_the_link(
    link: WireLink, needs: frozenset[str], with_netem: str, without: str
) -> None:
    assert choose(link, needs, ALL) == with_netem
    assert choose(link, needs, BARE) == without


def test_without_ifb_the_relay_and_without_tap_every_reason() -> None:
    assert choose(RATE_ONLY, frozenset(), {"htb": True, "veth": True, "tun": True}) == "relay"
    with pytest.raises(CannotRun, match=r"htb: both ends.*netem: this kernel has no netem; relay: .* no tun.*modprobe"):
        choose(TRUNK, frozenset(), BARE | {"tun": None})


def test_htb_refuses_what_it_cannot_shape_before_touching_anything() -> None:
    with pytest.raises(CannotRun, match="rates only; use netem or the relay"):
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


def test_shapes_are_alike_but_for_rounding_and_what_is_off() -> None:
    wanted = Shape(10e6, 0.01, 0.001, 0.1, loss_burst=4, duplicate=0.02)
    assert alike(replace(wanted, rate=10.05e6, queue=125e3), wanted)
    assert alike(Shape(10e6, loss_good=0.0, jitter_law="pareto"), Shape(10e6, loss_bad=0.5))
    for change in ({"rate": 10.2e6}, {"loss_burst": 5}, {"jitter_law": "uniform"}, {"reorder": 0.01}, {"queue": 1e6}):
        assert not alike(replace(wanted, **change), wanted)


def test_the_world_says_beforehand_which_link_no_backend_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TAP devices: correlated jitter and packet traces are for the relay alone, a plain delay is not."""
    scenario = loader.load(ROOT / "scenarios" / "demo.yaml", ["bandwidth=[]"])
    plain = build({"generator": "line", "sites": 2}, list(scenario.nodes), 1)
    odd = build(
        {"generator": "line", "sites": 2, "trunks": {"jitter": "1 ms", "jitter_correlation": 0.5}},
        list(scenario.nodes),
        1,
    )
    assert inability.cannot(scenario, odd) == []
    monkeypatch.setattr(inability, "TUN", "/nowhere/tun")
    assert inability.cannot(scenario, plain) == []
    (said,) = inability.cannot(scenario, odd)
    assert said.startswith("link s1--s2: htb: ")
    assert "correlated jitter" in said
    assert "no tun" in said
