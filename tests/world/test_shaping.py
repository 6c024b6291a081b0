"""Several disturbances on one direction add up, in any order, and are gone when they are taken away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.topology.model import Shape
from testbed.world.shaping import scaled, shaken

BASE = Shape(1e8, delay=0.01, jitter=0.003, loss=0.01)
shapes = st.fixed_dictionaries(
    {}, optional={"rate_factor": st.floats(0.1, 1), "delay_add": st.floats(0, 1), "jitter": st.floats(0, 0.1),
                  "loss": st.floats(0, 0.5), "duplicate": st.floats(0, 0.5), "corrupt": st.floats(0, 0.5)}
)  # fmt: skip


def test_each_field_by_hand():
    found = shaken(BASE, [{"rate_factor": 0.5, "delay_add": 0.02, "loss": 0.1}, {"rate_factor": 0.5, "jitter": 0.004}])
    assert found.rate == 2.5e7 and found.delay == pytest.approx(0.03) and found.jitter == pytest.approx(0.005)
    assert found.loss == pytest.approx(1 - 0.99 * 0.9) and found.duplicate == 0.0


def test_nothing_changes_nothing():
    assert shaken(BASE, []) == BASE == shaken(BASE, [{}])


@given(st.lists(shapes, max_size=4), st.randoms(use_true_random=False))
def test_order_does_not_matter(several, random):
    other = random.sample(several, len(several))
    a, b = shaken(BASE, several), shaken(BASE, other)
    for name in ("rate", "delay", "jitter", "loss", "duplicate", "corrupt"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9, abs=1e-15)
    assert a.loss < 1 and a.delay >= BASE.delay and a.rate <= BASE.rate


def test_times_stretch_with_the_run():
    assert scaled({"delay_add": 0.02, "jitter": 0.001, "loss": 0.1}, 3.0) == pytest.approx(
        {"delay_add": 0.06, "jitter": 0.003, "loss": 0.1}
    )
