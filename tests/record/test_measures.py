"""Measures by hand on rows one can count."""

from types import SimpleNamespace as Row

import pytest

from testbed.record import measures


def task(kind="a", outcome="on_time", latency=0.1, at=0.0):
    return Row(type=kind, outcome=outcome, latency=latency, at=at, lag=0.0)


def test_offered_is_on_time_plus_late_plus_lost():
    rows = [task(), task(outcome="late"), task(outcome="expired"), task(outcome="refused"), task(outcome="unanswered")]
    found = measures.counts(rows)
    assert found["tasks"] == {"offered": 5, "completed": 2, "on_time": 1, "late": 1, "lost": 3}
    assert found["lost_by"] == {"expired": 1, "refused": 1, "unanswered": 1}
    assert measures.on_time_rate(rows) == 0.2
    assert measures.on_time_rate([]) is None


@pytest.mark.parametrize(("q", "value"), [(0.5, 5), (0.95, 10), (0.99, 10), (0.1, 1), (0.0, 1)])
def test_quantile_is_an_order_statistic(q, value):
    assert measures.quantile(list(range(10, 0, -1)), q) == value


def test_cost_by_hand():
    costs = Row(deploy=20.0, keep=4.0, parallel=0.5)
    slots = [
        [{"service": "m", "node": "n1", "workers": 2}],
        [{"service": "m", "node": "n1", "workers": 2}, {"service": "m", "node": "n2", "workers": 4}],
    ]
    found = measures.cost(slots, ["m"], ["m", "m"], {"m": Row(costs=costs)}, {"n1": 1.0, "n2": 2.0})
    # slot 1: 5; slot 2: 5 + 2·(4 + 2) = 17; one later start: 20
    assert found == {"deployment": 40.0, "operation_per_slot": 11.0, "migration_per_slot": 10.0, "total_per_slot": 21.0}


def test_waiting_counts_what_was_dropped_in_the_queue_but_not_what_died():
    rows = [
        Row(service="m", arrived=0.0, started=0.1, finished=0.2, outcome="done"),
        Row(service="m", arrived=0.0, started=0.3, finished=0.4, outcome="done"),
        Row(service="m", arrived=0.0, started=None, finished=0.5, outcome="dropped"),
        Row(service="m", arrived=0.0, started=None, finished=None, outcome="lost"),
        Row(service="other", arrived=0.0, started=9.0, finished=9.5, outcome="done"),
    ]
    found = measures.waiting(rows, [(float("-inf"), {"m": 0.2})], {"m": 0.1})
    assert found == {"m": {"epsilon": 0.1, "violation_rate": pytest.approx(2 / 3), "n": 3}}


def test_waiting_is_held_against_the_budget_of_its_time():
    def row(arrived):
        return Row(service="m", arrived=arrived, started=arrived + 0.3, finished=arrived + 0.4, outcome="done")

    history = [(float("-inf"), {}), (1.0, {"m": 0.2}), (5.0, {"m": 0.4})]
    found = measures.waiting([row(0.5), row(1.0), row(4.9), row(5.0)], history, {"m": 0.1})
    assert found["m"]["n"] == 3 and found["m"]["violation_rate"] == pytest.approx(2 / 3)


def test_node_utilisation_is_cut_at_the_window():
    rows = [Row(service="m", node="n", arrived=0, started=-1.0, finished=3.0, outcome="done")]
    assert measures.node_utilisation(rows, {"m": 2.0}, {"n": 4.0}, 0.0, 10.0) == {"n": pytest.approx(0.15)}
