"""The solver door: status, bound and gap of both backends, and silence."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest

from controller.placement import PlacementParameters
from controller.placement.matrix import Matrix, Rows
from controller.placement.program import build
from controller.placement.solver import BACKENDS, Solved, solve
from tests.controller.instances import e12

backends = pytest.mark.parametrize("backend", list(BACKENDS))


def knapsack(least: float = 10, most: float = 3) -> Matrix:
    """Cover 10 with pieces of 6, 5 and 4 that cost 7, 6 and 5: 6 + 4 for 12 beats 6 + 5 for 13 and 5 + 4."""
    rows, each = Rows(), np.arange(3)
    rows.add("cover", least, np.inf, 1, [(0 * each, each, [6.0, 5.0, 4.0])])
    rows.add("few", -np.inf, most, 1, [(0 * each, each, 1.0)])
    return rows.matrix(np.array([7.0, 6.0, 5.0]), np.zeros(3), np.ones(3), np.ones(3, bool))


def reference(clusters: int) -> Matrix:
    return build(e12(clusters), PlacementParameters()).matrix()


@backends
def test_an_optimum_is_proven(backend: str) -> None:
    solved = solve(knapsack(), backend)
    assert (solved.status, solved.objective, solved.gap) == ("optimal", 12, 0)
    assert solved.values == pytest.approx([1, 0, 1])


@backends
def test_a_continuous_problem_is_its_own_bound(backend: str) -> None:
    rows, x = Rows(), np.zeros(1, np.int64)
    rows.add("line", 2.0, np.inf, 1, [(x, x, 1.0)])
    solved = solve(rows.matrix(np.array([3.0]), np.zeros(1), np.full(1, np.inf), np.zeros(1, bool)), backend)
    assert (solved.status, solved.objective, solved.bound) == ("optimal", 6, 6)


@backends
def test_infeasible(backend: str) -> None:
    solved = solve(knapsack(most=1), backend)
    assert solved.status == "infeasible"
    assert not len(solved.values)
    assert math.isnan(solved.gap)


@pytest.fixture(scope="module")
def optimum() -> Solved:
    return solve(reference(3))


@pytest.mark.parametrize(
    ("backend", "limit"), [("highs", {"nodes": 1}), ("cbc", {"gap": 0.02}), ("highs", {"gap": 0.02})]
)
def test_a_limit_leaves_a_proven_bracket_around_the_optimum(
    backend: str, limit: dict[str, float], optimum: Solved
) -> None:
    limited = solve(reference(3), backend, **limit)  # type: ignore[arg-type]
    assert limited.status == "feasible"
    assert limited.bound <= optimum.objective * (1 + 1e-9)
    assert optimum.objective <= limited.objective * (1 + 1e-9)
    assert limited.gap == pytest.approx((limited.objective - limited.bound) / limited.objective)
    assert 1e-6 < limited.gap <= limit.get("gap", 1.0)


@backends
def test_no_time_at_all_is_never_called_optimal(backend: str) -> None:
    hurried = solve(reference(2), backend, seconds=0.001)
    assert hurried.status in ("unknown", "feasible")
    assert hurried.bound <= hurried.objective


@backends
def test_the_same_problem_twice_gives_the_same_values(backend: str) -> None:
    first, second = (solve(reference(6), backend) for _ in range(2))
    assert (first.status, first.objective, first.bound) == (second.status, second.objective, second.bound)
    assert (first.values == second.values).all()


@backends
def test_nothing_is_written_and_nothing_left_behind(
    backend: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    solve(knapsack(), backend)
    ctypes.CDLL(None).fflush(None)  # what a solver wrote may still sit in C's buffer
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_no_name_means_highs() -> None:
    assert (solve(knapsack()).values == solve(knapsack(), "highs").values).all()


def test_an_unknown_solver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no solver 'gurobi'. There are: highs, cbc, pulp-highs"):
        solve(knapsack(), "gurobi")


@pytest.mark.parametrize("wrong", [{"gap": -0.1}, {"nodes": 0}])
def test_a_senseless_limit_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"found .*, allowed is"):
        solve(knapsack(), **wrong)  # type: ignore[arg-type]
