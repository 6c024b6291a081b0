"""Intensities against closed forms: the inverse undoes the integral, an MMPP has the mean it should."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.load.shapes import Intensity, intensities
from testbed.scenario.model import Arrivals

rates = st.one_of(st.just(0.0), st.floats(0.01, 50.0))
knots = st.lists(st.tuples(st.floats(0.1, 5.0), rates, rates), min_size=1, max_size=6)


def ladder(steps: list[tuple[float, float, float]]) -> Intensity:
    t, out = 0.0, []
    for width, a, b in steps:
        out.append((t, a, b))
        t += width
    return Intensity(out)


@given(knots, st.floats(0.01, 30.0), st.floats(0.0, 10.0), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_inverse_undoes_the_integral(steps, t, at, factor):
    shape = ladder(steps)
    shape.set_factor(factor, at)
    target = shape.integral(t)
    found = shape.inverse(target)
    if target == 0 or found == math.inf:
        return
    assert found <= t + 1e-6
    assert shape.integral(found) == pytest.approx(target, rel=1e-6, abs=1e-6)


def test_ramp_has_the_area_of_a_trapezium():
    shape = intensities(Arrivals(law="ramp", rate="10 /s", ramp_to=3.0), 2.0, {"gw": 0.5}, 20.0, 1)["gw"]
    assert shape.integral(20.0) == pytest.approx((10 + 30) / 2 * 20)
    assert shape.rate(10.0) == pytest.approx(20.0)


def test_spike_multiplies_only_its_window():
    law = Arrivals(law="spike", rate="4 /s", spike_factor=5.0, spike_at="3 s", spike_for="2 s")
    shape = intensities(law, 1.0, {"gw": 1.0}, 10.0, 1)["gw"]
    assert shape.integral(3.0) == pytest.approx(12.0)
    assert shape.integral(5.0) == pytest.approx(12.0 + 40.0)
    assert shape.integral(10.0) == pytest.approx(12.0 + 40.0 + 20.0)


def test_mmpp_spends_two_thirds_of_its_time_low_and_keeps_the_mean():
    shape = intensities(Arrivals(law="mmpp", rate="10 /s"), 1.0, {"gw": 1.0}, 60_000.0, 7)["gw"]
    low = sum(b[0] - a[0] for a, b in zip(shape.knots, shape.knots[1:], strict=False) if a[1] == pytest.approx(7.0))
    assert low / shape.knots[-1][0] == pytest.approx(4 / 6, abs=0.02)
    assert shape.integral(60_000.0) / 60_000.0 == pytest.approx(10.0, rel=0.02)


def test_a_factor_set_later_leaves_history_alone():
    shape = Intensity([(0.0, 2.0, 2.0)])
    shape.set_factor(3.0, 5.0)
    shape.set_factor(1.0, 8.0)
    assert [shape.integral(t) for t in (5.0, 8.0, 10.0)] == pytest.approx([10.0, 28.0, 32.0])


def test_silence_never_yields_an_arrival():
    assert Intensity([(0.0, 0.0, 0.0)]).inverse(1e-9) == math.inf
    assert np.isfinite(Intensity([(0.0, 0.0, 0.0), (4.0, 1.0, 1.0)]).inverse(1.0))
