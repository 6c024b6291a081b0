"""The solver door: status, bound and gap of both backends, and silence."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import pulp
import pytest

from controller.placement import PlacementParameters
from controller.placement.program import build
from controller.placement.solver import BACKENDS, Solved, solve
from tests.controller.instances import e12

backends = pytest.mark.parametrize("backend", list(BACKENDS))


def knapsack() -> pulp.LpProblem:
    """Cover 10 with pieces of 6, 5 and 4 that cost 7, 6 and 5: 6 + 4 for 12 beats 6 + 5 for 13 and 5 + 4."""
    problem = pulp.LpProblem("cover", pulp.LpMinimize)
    x = [pulp.LpVariable(f"x_{i}", cat=pulp.LpBinary) for i in range(3)]
    problem += 7 * x[0] + 6 * x[1] + 5 * x[2]
    problem += 6 * x[0] + 5 * x[1] + 4 * x[2] >= 10
    return problem


@backends
def test_an_optimum_is_proven(backend: str) -> None:
    solved = solve(knapsack(), backend)
    assert (solved.status, solved.objective, solved.gap) == ("optimal", 12, 0)
    assert solved.values == pytest.approx({"x_0": 1, "x_1": 0, "x_2": 1})


@backends
def test_a_continuous_problem_is_its_own_bound(backend: str) -> None:
    problem = pulp.LpProblem("line", pulp.LpMinimize)
    x = pulp.LpVariable("x", 0)
    problem += 3 * x
    problem += x >= 2
    solved = solve(problem, backend)
    assert (solved.status, solved.objective, solved.bound) == ("optimal", 6, 6)


@backends
def test_infeasible(backend: str) -> None:
    problem = knapsack()
    problem += pulp.lpSum(problem.variables()) <= 1
    solved = solve(problem, backend)
    assert solved.status == "infeasible"
    assert not solved.values
    assert math.isnan(solved.gap)


@pytest.fixture(scope="module")
def optimum() -> Solved:
    return solve(build(e12(3), PlacementParameters()).problem)


@pytest.mark.parametrize(
    ("backend", "limit"), [("highs", {"nodes": 1}), ("cbc", {"gap": 0.02}), ("highs", {"gap": 0.02})]
)
def test_a_limit_leaves_a_proven_bracket_around_the_optimum(
    backend: str, limit: dict[str, float], optimum: Solved
) -> None:
    limited = solve(build(e12(3), PlacementParameters()).problem, backend, **limit)  # type: ignore[arg-type]
    assert limited.status == "feasible"
    assert limited.bound <= optimum.objective * (1 + 1e-9)
    assert optimum.objective <= limited.objective * (1 + 1e-9)
    assert limited.gap == pytest.approx((limited.objective - limited.bound) / limited.objective)
    assert 1e-6 < limited.gap <= limit.get("gap", 1.0)


@backends
def test_no_time_at_all_is_never_called_optimal(backend: str) -> None:
    hurried = solve(build(e12(2), PlacementParameters()).problem, backend, seconds=0.001)
    assert hurried.status in ("unknown", "feasible")
    assert hurried.bound <= hurried.objective


@backends
def test_the_same_problem_twice_gives_the_same_values(backend: str) -> None:
    first, second = (solve(build(e12(6), PlacementParameters()).problem, backend) for _ in range(2))
    assert first == second


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
    assert solve(knapsack()) == solve(knapsack(), "highs")


def test_an_unknown_solver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no solver 'gurobi'. There are: highs, cbc"):
        solve(knapsack(), "gurobi")


def test_a_constant_or_a_maximum_is_refused() -> None:
    constant = knapsack()
    constant.objective += 1
    largest = pulp.LpProblem("largest", pulp.LpMaximize)
    largest += pulp.LpVariable("x", 0, 1)
    for problem in (constant, largest):
        with pytest.raises(ValueError, match="without a constant"):
            solve(problem)


@pytest.mark.parametrize("wrong", [{"gap": -0.1}, {"nodes": 0}])
def test_a_senseless_limit_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"found .*, allowed is"):
        solve(knapsack(), **wrong)  # type: ignore[arg-type]
