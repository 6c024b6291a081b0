"""Values written exactly: what comes back is what went in, to the last bit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decision import Placement
from controller.model import Model, Paths
from controller.observation import InstanceState, Observation
from testbed.record.exact import decode, encode
from tests.load.builders import model

names = st.text(max_size=8)
numbers = st.floats(allow_nan=False)
pairs = st.tuples(names, names)
paths = st.builds(Paths, st.dictionaries(pairs, numbers), st.dictionaries(pairs, numbers))
states = st.builds(InstanceState, names, names, names, st.integers(0, 99), st.integers(0, 99), st.booleans())
observations = st.builds(
    Observation,
    st.integers(0, 9999), numbers, st.lists(states).map(tuple), st.dictionaries(pairs, st.integers(0, 99)),
    st.dictionaries(names, st.lists(numbers).map(tuple)), st.dictionaries(names, st.lists(numbers).map(tuple)),
    st.dictionaries(pairs, st.integers(0, 99)), st.none() | paths, st.lists(names).map(tuple),
)  # fmt: skip


def there_and_back(kind, value):
    return decode(kind, json.loads(json.dumps(encode(value))))


@given(observations)
def test_an_observation_comes_back_whole_and_in_order(observation):
    back = there_and_back(Observation, observation)
    assert back == observation
    assert list(back.services) == list(observation.services) and list(back.arrivals) == list(observation.arrivals)


def test_a_model_and_a_placement_come_back():
    assert there_and_back(Model, model()) == model()
    placed = Placement({"llm": ("n1", "n2")}, "heuristic", 3.5, -math.inf, math.nan, {("llm", "gw1", "n1"): 0.1})
    back = there_and_back(Placement, placed)
    assert math.isnan(back.gap) and back.bound == -math.inf
    assert (back.instances, back.flows) == (placed.instances, placed.flows)


def test_numbers_of_numpy_are_numbers():
    assert encode((np.int64(3), np.float64(0.1), np.bool_(True))) == [3, 0.1, True]


@dataclass(frozen=True)
class Box:
    pair: tuple[str, int]
    maybe: float | None = None


def test_what_has_another_shape_is_refused():
    assert decode(Box, {"pair": ["a", 1], "maybe": None}) == Box(("a", 1))
    for wrong in ({"pair": ["a"], "maybe": None}, {"pair": ["a", 1]}, {"pair": ["a", True], "maybe": None}, [], 3):
        with pytest.raises(ValueError, match=r"expected|where|no Box"):
            decode(Box, wrong)
    with pytest.raises(TypeError, match="can't be written exactly"):
        encode({"set": {1}})
