"""What links carry, from their shapes, tracks and disturbances, by hand."""

from __future__ import annotations

import pytest

from testbed.topology.build import build
from testbed.world.base import Track
from testbed.world.rates import Rates, Way

TRUNK = {"generator": "ring", "sites": 3, "trunks": {"rate": "800 Mbit/s", "delay": "1 ms"}}


def rates(*tracks: Track) -> Rates:
    return Rates(build(TRUNK, ["small"], 1), tracks)


def test_a_name_means_both_directions_or_one_in_either_order() -> None:
    r = rates()
    assert r.ways("s1--s2") == r.ways("s2--s1") == (Way("s1--s2", "ab"), Way("s1--s2", "ba"))
    assert (r.ways("s1->s2"), r.ways("s2->s1")) == ((Way("s1--s2", "ab"),), (Way("s1--s2", "ba"),))
    with pytest.raises(KeyError):
        r.link("s1--s9")


def test_a_track_holds_its_first_rate_before_it_begins_and_its_last_for_ever() -> None:
    r = rates(Track("s1--s2", (1.0, 5.0), (8e8, 4e8)))
    assert [r.at(t)["s1--s2"] for t in (0.0, 1.0, 4.999, 5.0, 1e9)] == [8e8, 8e8, 8e8, 4e8, 4e8]


def test_disturbances_multiply_and_are_taken_away_one_by_one() -> None:
    r = rates(Track("s1--s2", (0.0,), (8e8,)))
    assert r.at(0.0) == {"s1--s2": 8e8}
    there, back = r.ways("s1--s2")
    r.disturb(there, "rain", {"rate_factor": 0.5})
    r.disturb(there, "snow", {"rate_factor": 0.25, "delay_add": 0.004})
    assert r.factor(there) == 0.125 and r.factor(back) == 1.0
    assert r.at(0.0) == {"s1->s2": 1e8, "s2->s1": 8e8}
    assert r.shape(there).delay == pytest.approx(0.005) and r.shape(back).delay == pytest.approx(0.001)
    r.disturb(there, "rain", None)
    r.disturb(back, "snow", {"rate_factor": 0.25})
    assert r.at(0.0) == {"s1--s2": 2e8}
    r.disturb(there, "snow", None)
    r.disturb(back, "snow", None)
    assert r.at(0.0) == {"s1--s2": 8e8}


def test_a_link_that_does_not_fluctuate_is_named_while_it_is_disturbed() -> None:
    r = rates()
    assert r.at(0.0) == {}
    (one,) = r.ways("s2->s3")
    r.disturb(one, "squeeze", {"rate_factor": 0.3})
    assert r.at(0.0) == {"s2->s3": pytest.approx(2.4e8)}
    r.disturb(one, "squeeze", None)
    assert r.at(0.0) == {}
