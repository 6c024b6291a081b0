"""k-medoids against brute force; great circles against known distances."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.topology.cluster import count_for, medoids, shortest_delays
from testbed.topology.geography import FIBRE_SPEED, fibre_delay, filled, great_circle, middle


def cost(d: np.ndarray, chosen: list[int]) -> float:
    return float(d[:, chosen].min(axis=1).sum())


def points(seed: int, n: int) -> np.ndarray:
    at = np.random.default_rng(seed).random((n, 2))
    return np.sqrt(((at[:, None] - at[None]) ** 2).sum(axis=2))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 10), st.integers(1, 4))
def test_no_exchange_of_one_medoid_is_better(seed: int, n: int, k: int) -> None:
    d, k = points(seed, n), min(k, n)
    chosen, owner = medoids(d, k)
    assert chosen == sorted(set(chosen)) and len(chosen) == k
    assert all(d[i, chosen[owner[i]]] == pytest.approx(d[i, chosen].min()) for i in range(n))
    for out in chosen:
        for other in set(range(n)) - set(chosen):
            assert cost(d, [other if c == out else c for c in chosen]) >= cost(d, chosen) - 1e-9
    best = min(cost(d, list(c)) for c in combinations(range(n), k))
    assert cost(d, chosen) <= 5 * best + 1e-9  # Arya et al. 2004: a local optimum of one exchange is within 5


def test_clusters_that_are_plain_to_see() -> None:
    at = np.array([0, 1, 2, 100, 101, 102, 1000, 1001.0])
    chosen, owner = medoids(np.abs(at[:, None] - at[None]), 3)
    assert owner == [0, 0, 0, 1, 1, 1, 2, 2] and chosen[:2] == [1, 4]


def test_points_in_one_place_keep_their_own_medoids() -> None:
    assert medoids(np.zeros((3, 3)), 3) == ([0, 1, 2], [0, 1, 2])


def test_how_many() -> None:
    assert [count_for(n) for n in (1, 2, 3, 30, 31, 40, 61, 158, 754)] == [1, 2, 3, 3, 3, 4, 6, 16, 75]


def test_shortest_delays() -> None:
    d = shortest_delays(4, [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 5.0), (0, 1, 3.0)])
    assert d[0, 2] == 2 and d[2, 0] == 2 and d[0, 0] == 0 and np.isinf(d[0, 3])


def test_great_circles() -> None:
    quarter = 6_371_008.8 * np.pi / 2
    assert great_circle((0, 0), (90, 0)) == pytest.approx(quarter)
    assert great_circle((0, 0), (0, 90)) == pytest.approx(quarter)
    assert great_circle((179, 0), (-179, 0)) == pytest.approx(quarter * 2 / 90)
    # New York to London, 5,570 km
    assert great_circle((-74.006, 40.7128), (-0.1278, 51.5074)) == pytest.approx(5.570e6, rel=0.002)
    assert fibre_delay((0, 0), (90, 0)) == pytest.approx(quarter / FIBRE_SPEED)
    assert fibre_delay((0, 0), (0, 0)) == 0.0001


def test_missing_places_come_from_the_neighbours() -> None:
    assert middle([(179.0, 0.0), (-179.0, 0.0)])[0] == pytest.approx(180.0)
    neighbours = [[1], [0, 2], [1, 3], [2], []]
    got = filled([(0.0, 0.0), None, None, (3.0, 0.0), None], neighbours)
    assert got[1] == (0.0, 0.0) and got[2] == pytest.approx((3.0, 0.0)) and got[4] is None
