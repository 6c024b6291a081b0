"""Verdicts: three of them, and unknown is never pass."""

import pytest

from testbed.scenario.model import Claim
from testbed.verdict.claims import EXIT, judge, overall, value_of


def summary(rate=0.9, valid=True):
    return {"on_time_rate": rate, "valid": valid, "cost": {"total_per_slot": 100.0}}


@pytest.mark.parametrize(
    ("claim", "state", "verdict"),
    [
        (Claim(id="a", metric="on_time_rate", at_least=0.84), summary(), "pass"),
        (Claim(id="a", metric="on_time_rate", at_least=0.84), summary(0.84), "pass"),
        (Claim(id="a", metric="on_time_rate", at_least=0.84), summary(0.8399), "fail"),
        (Claim(id="a", metric="on_time_rate", at_least=0.84), summary(valid=False), "unknown"),
        (Claim(id="a", metric="on_time_rate", at_least=0.84), summary(None), "unknown"),
        (Claim(id="a", metric="no.such", at_least=0.84), summary(), "unknown"),
        (Claim(id="a", metric="cost.total_per_slot", at_most=99.0), summary(), "fail"),
        (Claim(id="a", metric="on_time_rate", at_least=0.84, runs=5), summary(), "pending"),
    ],
)
def test_one_run(claim, state, verdict):
    found = judge(claim, state)
    assert found["verdict"] == verdict
    assert found["lower"] is None and found["upper"] is None and found["runs"] == 1


@pytest.mark.parametrize(
    ("verdicts", "valid", "expected", "code"),
    [
        ([], True, "none", 0),
        (["pass"], True, "pass", 0),
        (["pass", "pending"], True, "pass", 0),
        (["pending"], True, "pending", 0),
        (["pass", "unknown"], True, "unknown", 3),
        (["unknown", "fail"], True, "fail", 1),
        (["fail"], False, "unknown", 3),
        ([], False, "unknown", 3),
    ],
)
def test_overall(verdicts, valid, expected, code):
    assert overall([{"verdict": v} for v in verdicts], valid) == expected
    assert EXIT[expected] == code


def test_value_of_a_path():
    assert value_of(summary(), "cost.total_per_slot") == 100.0
    assert value_of(summary(), "cost") is None
