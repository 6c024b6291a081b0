"""Recovery from made-up tasks whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.record.tables import LATE, ON_TIME, TASKS
from testbed.run.recovery import recovery


def tasks(bad_from: float, bad_until: float, end: float = 60.0) -> np.ndarray:
    """Ten a second, each back after 0.2 s; late within the interval."""
    rows = np.zeros(round(10 * end), TASKS)
    rows["at"] = np.arange(len(rows)) / 10.0
    rows["latency"] = 0.2
    rows["outcome"] = np.where((rows["at"] >= bad_from) & (rows["at"] < bad_until), LATE, ON_TIME)
    return rows


def fault(name: str, applied: float, reverted: float | None) -> dict[str, object]:
    return {"name": name, "applied_at_s": applied, "reverted_at_s": reverted}


def test_a_dip_to_nothing_for_four_seconds():
    told = [("network_link_down", 20.3), ("network_paths", 20.4), ("network_paths", 31.0)]
    found = recovery(tasks(20.0, 24.0), [fault("cut", 20.0, 30.0)], told, 60.0)["cut"]
    assert found["detect_s"] == pytest.approx(0.3) and found["reroute_s"] == pytest.approx(0.4)
    assert found["first_on_time_s"] == pytest.approx(4.2), "the task sent at 24.0 is back at 24.2"
    assert found["base"] == 1.0 and found["dip"] == 1.0
    assert found["seconds"] == pytest.approx(4.0), "from 24.0 on every window is whole"


def test_nothing_happened():
    found = recovery(tasks(0.0, 0.0), [fault("calm", 20.0, 30.0)], [], 60.0)["calm"]
    assert (found["dip"], found["seconds"], found["detect_s"], found["reroute_s"]) == (0.0, 0.0, None, None)


def test_never_back_before_the_next_fault_and_several_targets_are_one_fault():
    rows, faults = tasks(20.0, 60.0), [fault("a", 20.0, 25.0), fault("a", 20.1, 26.0), fault("b", 40.0, None)]
    found = recovery(rows, faults, [], 60.0)
    assert set(found) == {"a", "b"}
    assert found["a"]["seconds"] is None and found["a"]["first_on_time_s"] is None
