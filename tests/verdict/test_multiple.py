"""Holm against the textbook and against its own promise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from testbed.verdict.multiple import holm


def test_the_textbook():
    """p = 0.01, 0.04, 0.03, 0.005 at 5 %: levels 0.05/4, /3, /2, /1 in order of p; 0.03 > 0.025 stops it."""
    found = holm([0.01, 0.04, 0.03, 0.005], [0.05] * 4)
    assert [rejected for rejected, _ in found] == [True, False, False, True]
    assert [level for _, level in found] == [0.05 / 3, 0.05, 0.05 / 2, 0.05 / 4]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_between_bonferroni_and_none(p):
    found = holm(p, [0.05] * len(p))
    for x, (rejected, level) in zip(p, found, strict=True):
        assert rejected or x > 0.05 / len(p), "Bonferroni rejects no more"
        assert not rejected or x <= 0.05, "and the uncorrected test no less"
        assert 0.05 / len(p) <= level <= 0.05


def test_the_chance_of_any_false_claim():
    """Eight true hypotheses: any rejected in at most 5 % + 3 standard errors of 4,000 trials."""
    rng = np.random.default_rng(5)
    wrong = sum(any(r for r, _ in holm(list(rng.random(8)), [0.05] * 8)) for _ in range(4000))
    assert wrong / 4000 <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5
