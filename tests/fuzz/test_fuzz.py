"""Anything may come in: it is accepted, or refused in our words, soon and within memory."""

from __future__ import annotations

import secrets
import warnings
from pathlib import Path

import pytest

from tests.fuzz import engines
from tests.fuzz.fleet import campaign, guided, line, report
from tests.fuzz.judge import LONGEST_S, Judge
from tests.fuzz.targets import TARGETS, Flaw, Target, prepare

INPUTS = 100_000  # of the long form
FEW = {"scenario": 30, "command": 15}  # of the short one; of the others:
OTHERS = 60
SEED = secrets.randbelow(10**6)


@pytest.mark.parametrize("name", list(TARGETS))
@pytest.mark.parametrize("engine", ["structured", "blind"])
def test_a_few_new_inputs_each_time(name: str, engine: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    judge = Judge(TARGETS[name], tmp_path)
    corpus = TARGETS[name].corpus()
    for text in corpus:
        judge(text)
    assert judge.tally.accepted > 0, "where it begins from is good"
    print(f"seed {SEED}")  # shown where it fails
    with warnings.catch_warnings(action="ignore"):
        getattr(engines, engine)(corpus, FEW.get(name, OTHERS), SEED, judge)
    assert judge.tally.count > len(corpus) and judge.tally.slowest < LONGEST_S


@pytest.mark.long
def test_a_hundred_thousand(capsys: pytest.CaptureFixture[str]) -> None:
    results = campaign(INPUTS, SEED, lambda text: None)
    with capsys.disabled():
        print("\n" + report(results, SEED))
    assert not [line(r) for r in results if r.flaw]
    assert sum(r.facts["count"] for r in results) >= INPUTS


@pytest.mark.long
def test_by_coverage() -> None:
    """What it keeps has reached code that nothing before it had."""
    if why := engines.guidance():
        pytest.skip(f"capability: {why}")
    results = guided({"gml": "2000", "frames": "2000"}, SEED, lambda text: None)
    assert not [line(r) for r in results if r.flaw]
    assert all(r.facts["count"] >= 2000 and r.facts["kept"] > 10 for r in results)


def raising(error: BaseException) -> Target:
    def run(folder: Path, data: bytes) -> bool:
        raise error

    return Target("none", list, run)


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RecursionError(), SystemExit(1), OSError(36, "long")])
def test_the_judge_lets_nothing_else_pass(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(Flaw):
        Judge(raising(error), tmp_path)(b"x")


def test_the_judge_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(folder: Path, data: bytes) -> bool:
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.judge.LONGEST_S", 0.05)
    with pytest.raises(Flaw, match="not answered within"):
        Judge(Target("none", list, for_ever), tmp_path)(b"x")
