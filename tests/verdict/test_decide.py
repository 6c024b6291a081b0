"""From summaries to verdicts: plain, paired, worst and swept claims, several at once, and what makes them unknown."""

from typing import Any

import pytest

from testbed.scenario.model import Claim
from testbed.verdict.cells import Cell, cells_of, digest
from testbed.verdict.decide import decide, gather


def summary(rate: float, cost: float = 100.0, valid: bool = True) -> dict[str, Any]:
    doubts = [] if valid else ["the machine was overloaded"]
    return {"on_time_rate": rate, "cost": {"total_per_slot": cost}, "valid": valid, "invalid_because": doubts}


def claim(**more: Any) -> Claim:
    return Claim(**{"id": "c", "metric": "on_time_rate", "at_least": 0.84, "runs": 10, **more})


def wobble(seed: int) -> float:
    return 0.004 * ((seed * 7) % 5 - 2)


def verdict(c: Claim, rate: Any, seed: int = 1) -> dict[str, Any]:
    """rate: Cell → the run's summary."""
    (found,) = decide([gather(c, seed, rate)])
    return found


@pytest.mark.parametrize(("mean", "expected"), [(0.86, "pass"), (0.82, "fail"), (0.8401, "unknown")])
def test_three_verdicts(mean, expected):
    found = verdict(claim(), lambda cell: summary(mean + wobble(cell.seed)))
    assert found["verdict"] == expected
    assert found["lower"] < found["estimate"] < found["upper"]
    if expected == "pass":
        assert found["lower"] >= 0.84
    if expected == "fail":
        assert found["upper"] <= 0.84


def test_at_most_is_the_mirror():
    c = claim(metric="cost.total_per_slot", at_least=None, at_most=100.0)
    assert verdict(c, lambda cell: summary(0.9, 90 + 100 * wobble(cell.seed)))["verdict"] == "pass"
    assert verdict(c, lambda cell: summary(0.9, 110 + 100 * wobble(cell.seed)))["verdict"] == "fail"


def test_seeds_are_fixed_by_the_scenario():
    assert [c.seed for c in cells_of(claim(runs=3), 101)] == [101, 102, 103]


def test_an_invalid_or_missing_run_makes_unknown_never_pass():
    def one_bad(cell: Cell) -> dict[str, Any] | None:
        return summary(0.99, valid=cell.seed != 4)

    found = verdict(claim(), one_bad)
    assert found["verdict"] == "unknown" and "overloaded" in found["doubts"][0] and found["estimate"] is None
    found = verdict(claim(), lambda cell: None if cell.seed == 9 else summary(0.99))
    assert found["verdict"] == "unknown" and "s9" in found["doubts"][0]


def test_pairing_removes_what_seeds_share():
    """Seeds differ by points, the policies by a tenth of one: only the paired claim sees it."""

    def run(cell: Cell) -> dict[str, Any]:
        better = 0.0 if "policy.name=other" in cell.sets else 0.001
        return summary(0.85 + 5 * wobble(cell.seed) + better + 0.01 * wobble(cell.seed + 3))

    paired = claim(at_least=0.0, against={"policy": "other"})
    assert verdict(paired, run)["verdict"] == "pass"
    assert {c.sets for c in cells_of(paired, 1)} == {(), ("policy.name=other",)}
    assert verdict(claim(at_least=0.849), run)["verdict"] == "unknown"


def test_a_ratio():
    def run(cell: Cell) -> dict[str, Any]:
        return summary(0.9, 92 + wobble(cell.seed) if not cell.sets else 100.0)

    c = claim(
        metric="cost.total_per_slot", at_least=None, at_most=0.95, against={"policy": "static_peak", "by": "ratio"}
    )
    assert verdict(c, run)["estimate"] == pytest.approx(0.92, abs=1e-3)
    assert verdict(c, run)["verdict"] == "pass"
    assert verdict(c, lambda cell: summary(0.9, 0.0))["verdict"] == "unknown", "a ratio to nothing"


def test_worst_wants_every_run():
    c = claim(statistic="worst")
    assert verdict(c, lambda cell: summary(0.85))["verdict"] == "pass"
    found = verdict(c, lambda cell: summary(0.83 if cell.seed == 7 else 0.99))
    assert (found["verdict"], found["estimate"], found["lower"]) == ("fail", 0.83, None)


def rate_at(load: str, cell: Cell) -> bool:
    return f"load={load}" in cell.sets


def test_the_largest_drop_between_loads():
    levels = {"1": 0.95, "2": 0.94, "3": 0.90}

    def run(cell: Cell) -> dict[str, Any]:
        level = next(v for k, v in levels.items() if rate_at(k, cell))
        return summary(level + 3 * wobble(cell.seed))

    def drop(limit: float) -> dict[str, Any]:
        sweep = {"path": "load", "values": [1, 2, 3], "rule": "drop"}
        return verdict(claim(at_least=None, at_most=limit, sweep=sweep), run)

    assert drop(0.05)["verdict"] == "pass"
    found = drop(0.03)
    assert (found["verdict"], found["binding"]) == ("fail", "load=2 → load=3")
    assert found["estimate"] == pytest.approx(0.04)


def test_a_sweep_holds_at_each_value_or_not():
    sweep = {"path": "faults.0.target", "values": ["n1", "n2", "n3"]}

    def run(cell: Cell) -> dict[str, Any]:
        return summary((0.80 if "faults.0.target=n2" in cell.sets else 0.95) + wobble(cell.seed))

    found = verdict(claim(sweep=sweep), run)
    assert (found["verdict"], found["binding"]) == ("fail", "faults.0.target=n2")
    assert len(found["questions"]) == 3
    assert verdict(claim(sweep=sweep), lambda cell: summary(0.95 + wobble(cell.seed)))["verdict"] == "pass"


def test_many_claims_are_held_to_more():
    """A claim that passes alone at 5 % does not among forty."""

    def run(cell: Cell) -> dict[str, Any]:
        return summary(0.8445 + wobble(cell.seed))

    alone = decide([gather(claim(), 1, run)])
    assert alone[0]["verdict"] == "pass" and alone[0]["level"] == pytest.approx(0.05)
    many = decide([gather(claim(id=f"c{i}"), 1, run) for i in range(40)])
    assert {c["verdict"] for c in many} == {"unknown"}
    assert min(c["level"] for c in many) == pytest.approx(0.05 / 40)


def test_a_claim_that_no_mean_decides_takes_no_part_in_the_correction():
    run = lambda cell: summary(0.86 + wobble(cell.seed))  # noqa: E731
    found = decide([gather(claim(statistic="worst"), 1, run), gather(claim(id="d"), 1, run)])
    assert found[1]["level"] == pytest.approx(0.05)


def test_names_of_cells_are_their_own():
    cells = [Cell(("load=1",), 1), Cell(("load=1.5",), 1), Cell(("a=/x",), 1), Cell(("a=-x",), 1), Cell((), 1)]
    assert len({c.name for c in cells}) == len(cells)
    assert all("/" not in c.name for c in cells)


def test_a_changed_plan_has_another_digest():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
