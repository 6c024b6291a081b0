"""Measures by hand on rows one can count."""

from types import SimpleNamespace as Row

import numpy as np
import pytest

from testbed.record import measures
from testbed.record.tables import DONE, DROPPED, LATE, LOST, ON_TIME, STAGES, UNANSWERED, stage_rows, task_rows

NAN = float("nan")
SERVICES = ("other", "m")


def task(outcome=ON_TIME, kind=0, latency=0.1):
    return (1, 0.0, 0.5, latency, 0.0, 0, kind, 1, outcome)


def visit(arrived=0.0, started=NAN, finished=NAN, outcome=DONE, service=1, node=0):
    return (1, arrived, started, finished, 0, 0, service, node, 1, outcome)


def test_offered_is_on_time_plus_late_plus_lost():
    rows = task_rows([task(outcome) for outcome in range(UNANSWERED + 1)])
    found = measures.counts(rows)
    assert found["tasks"] == {"offered": 5, "completed": 2, "on_time": 1, "late": 1, "lost": 3}
    assert found["lost_by"] == {"expired": 1, "refused": 1, "unanswered": 1}
    assert measures.on_time_rate(rows) == 0.2
    assert measures.on_time_rate(rows[:0]) is None


def test_by_type_speaks_of_the_types_that_were_offered():
    rows = task_rows([task(LATE, 2, 0.3), task(kind=2), task(LATE, 0, 0.2), task(UNANSWERED, 0, NAN)])
    rates, latencies = measures.by_type(rows, ("b", "none", "a"))
    assert rates == {"a": 0.5, "b": 0.0}
    assert latencies == {"a": {"p50": 0.1, "p95": 0.3, "p99": 0.3}, "b": dict.fromkeys(("p50", "p95", "p99"), 0.2)}


@pytest.mark.parametrize(("q", "value"), [(0.5, 5), (0.95, 10), (0.99, 10), (0.1, 1), (0.0, 1)])
def test_quantile_is_an_order_statistic(q, value):
    assert measures.quantile(list(range(10, 0, -1)), q) == value


def test_cost_by_hand():
    services, prices = {"m": Row(costs=Row(deploy=20.0, keep=4.0, parallel=0.5))}, {"n1": 1.0, "n2": 2.0}
    slots = [[("m", "n1", 2)], [("m", "n1", 2), ("m", "n2", 4)]]
    costs = [measures.operation(instances, services, prices) for instances in slots]
    assert costs == [5.0, 17.0]  # the second: 5 + 2·(4 + 2)
    found = measures.cost(costs, ["m"], ["m", "m"], services)  # one later start: 20
    assert found == {"deployment": 40.0, "operation_per_slot": 11.0, "migration_per_slot": 10.0, "total_per_slot": 21.0}


def test_waiting_counts_what_was_dropped_in_the_queue_but_not_what_died():
    rows = stage_rows(
        [
            visit(started=0.1, finished=0.2),
            visit(started=0.3, finished=0.4),
            visit(finished=0.5, outcome=DROPPED),
            visit(outcome=LOST),
            visit(started=9.0, finished=9.5, service=0),
        ]
    )
    found = measures.waiting([rows[:1], rows[1:]], SERVICES, [(float("-inf"), {"m": 0.2})], {"m": 0.1})
    assert found == {"m": {"epsilon": 0.1, "violation_rate": pytest.approx(2 / 3), "n": 3}}


def test_waiting_is_held_against_the_budget_of_its_time():
    rows = stage_rows([visit(t, t + 0.3, t + 0.4) for t in (0.5, 1.0, 4.9, 5.0)])
    history = [(float("-inf"), {}), (1.0, {"m": 0.2}), (5.0, {"m": 0.4})]
    found = measures.waiting([rows[:1], rows[1:]], SERVICES, history, {"m": 0.1})
    assert found["m"]["n"] == 3 and found["m"]["violation_rate"] == pytest.approx(2 / 3)


def test_waiting_of_nothing():
    nothing = np.empty(0, STAGES)
    assert measures.waiting([nothing], SERVICES, [(float("-inf"), {})], {}) == {}
    found = measures.waiting([nothing], SERVICES, [(float("-inf"), {"m": 0.2})], {"m": 0.1})
    assert found == {"m": {"epsilon": 0.1, "violation_rate": None, "n": 0}}


def test_node_utilisation_is_cut_at_the_window():
    rows = stage_rows([visit(started=-1.0, finished=3.0, node=1), visit(started=4.0, outcome=LOST, node=1)])
    found = measures.node_utilisation([rows[:1], rows[1:]], [7.0, 2.0], {"idle": 1.0, "n": 4.0}, 0.0, 10.0)
    assert found == {"idle": 0.0, "n": pytest.approx(0.15)}
