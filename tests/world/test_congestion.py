"""What is left of a link, by hand."""

import pytest

from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.congestion import GAIN, MOST, TOLL, Congestion

NET = Topology(
    "t", (Site("s1", "a"), Site("s2", "b")), (Host("n1", "s1", "a", "big"),), (),
    (
        Link("s1--s2", "s1", "s2", Shape(8e6), Shape(16e6), "trunk"),
        Link("n1--s1", "n1", "s1", Shape(8e6), Shape(8e6), "node"),
    ),
)  # fmt: skip


def carried(there: float = 0.0, back: float = 0.0) -> dict[str, float]:
    return {"s1->s2": there, "s2->s1": back, "n1->s1": 0.0, "s1->n1": 0.0}


def test_an_idle_network_has_its_own_rates():
    c = Congestion(NET)
    c.read(0.0, carried())
    c.read(1.0, carried())
    assert c.left({}) == {"s1->s2": 8e6, "s2->s1": 16e6, "n1->s1": 8e6, "s1->n1": 8e6}


def test_each_direction_by_what_it_carried():
    c = Congestion(NET)
    c.read(0.0, carried())
    c.read(2.0, carried(1e6, 1e6))  # 4 Mbit/s each: half of the one, a quarter of the other
    assert c.left({})["s1->s2"] == pytest.approx(8e6 * (1 - GAIN * 0.5))
    assert c.left({})["s2->s1"] == pytest.approx(16e6 * (1 - GAIN * 0.25))


def test_a_trunk_has_a_price_by_its_use_and_a_host_s_own_link_has_none():
    c = Congestion(NET)
    c.read(0.0, carried())
    assert c.prices({}) == {"s1->s2": 0.0, "s2->s1": 0.0}, "nobody is on it"
    c.read(2.0, carried(1e6, 1e6) | {"n1->s1": 1e6})
    assert c.prices({})["s1->s2"] == pytest.approx(TOLL * GAIN * 0.5 * 8 / 8e6)
    assert c.prices({})["s2->s1"] == pytest.approx(TOLL * GAIN * 0.25 * 8 / 16e6)
    assert c.prices({"s1--s2": 4e6})["s1->s2"] == pytest.approx(TOLL * GAIN * 0.5 * 8 / 4e6), "narrowed, it is dearer"


def test_a_full_link_keeps_something_and_recovers():
    c = Congestion(NET)
    for t in range(40):
        c.read(float(t), carried(2e6 * t))  # twice its rate
    assert c.left({})["s1->s2"] == pytest.approx(8e6 * (1 - MOST))
    for t in range(40, 80):
        c.read(float(t), carried(2e6 * 39))
    assert c.left({})["s1->s2"] == pytest.approx(8e6, rel=1e-4)


def test_a_squeezed_link_is_squeezed_first():
    c = Congestion(NET)
    c.read(0.0, carried())
    c.read(1.0, carried(5e5))
    assert c.left({"s1--s2": 4e6})["s1->s2"] == pytest.approx(4e6 * (1 - GAIN * 0.5))
    assert c.left({"s2->s1": 1e6})["s2->s1"] == pytest.approx(1e6)


def test_the_same_time_twice_is_no_reading():
    c = Congestion(NET)
    c.read(1.0, carried())
    c.read(1.0, carried(1e6))
    assert c.left({})["s1->s2"] == 8e6
