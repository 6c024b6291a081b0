"""An hour at moderate load with a fault a minute; and in the ordinary tests, what its figures are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.faults.base import catalogue_of_faults
from testbed.run.prepare import prepare
from tests.soak.figures import table, verdicts
from tests.soak.meter import Sample, cores, growth
from tests.soak.plan import FAULTS, settings
from tests.soak.reading import Soaked, extra, longest_silence, lost_by_moving, unanswered
from tests.soak.story import SCENARIO, soak

LEAST_MOVES = 1000


@pytest.mark.live
@pytest.mark.long
def test_an_hour_with_a_fault_a_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moving = soak(tmp_path / "moving", 3600.0)
    still = soak(tmp_path / "still", 900.0, policy="static")
    with capsys.disabled():
        print("\n" + table(moving, still))
    assert verdicts(moving) == []
    assert len(moving.run.moves()) >= LEAST_MOVES


def test_every_kind_of_the_catalogue_has_its_minute() -> None:
    """But for the group that does nothing, and the crowd, which walks all the time."""
    kinds = {kind for kind, _, _ in FAULTS}
    assert kinds <= set(catalogue_of_faults())
    planned = prepare(SCENARIO, settings(1800.0, 60.0, 10.0), "live").planned
    assert {p.fault.kind for p in planned} == kinds | {"flash_crowd"}
    starts = sorted(p.start for p in planned if p.fault.kind != "flash_crowd" and p.start is not None)
    assert starts[:3] == [30.0, 90.0, 150.0]


def test_growth_compares_medians_and_a_new_process_counts_from_nothing() -> None:
    samples = [
        Sample(at=t, part="run", rss_kb=100 + t // 10, descriptors=9, threads=2, cpu_s=t / 10) for t in range(100)
    ]
    samples += [Sample(at=t, part="os-ken", rss_kb=50, descriptors=5, threads=1, cpu_s=t % 50) for t in range(100)]
    found = {(g.part, g.measure): g for g in growth(samples, since=10.0, span=20.0)}
    assert (found["run", "rss_kb"].first, found["run", "rss_kb"].last) == (101.5, 108.5)
    assert found["run", "rss_kb"].share == pytest.approx(7 / 101.5) and found["run", "threads"].share == 0.0
    used = cores(samples)
    assert used["run"] == pytest.approx(0.1) and used["os-ken"] == pytest.approx(98 / 99)


def test_what_the_records_say() -> None:
    """A cut from 10 to 20 s excuses what is sent from a deadline before to 5 s after; a spike excuses nothing."""
    faults = [
        {"kind": "link_down", "applied_at_s": 10.0, "reverted_at_s": 20.0},
        {"kind": "load_spike", "applied_at_s": 40.0, "reverted_at_s": 50.0},
    ]
    moves = [
        {"kind": "migrated", "planned_s": 12.0, "actual_s": 13.0, "lost": 1},
        {"kind": "migrated", "planned_s": 60.0, "actual_s": 62.0, "lost": 2},
    ]
    tasks = {1: (5.0, 0.1, "on_time"), 2: (9.6, None, "unanswered"), 3: (24.9, None, "unanswered"),
             4: (25.1, None, "unanswered"), 5: (45.0, None, "unanswered"), 6: (61.0, 0.3, "on_time"),
             7: (12.5, 0.9, "late")}  # fmt: skip
    moving = Soaked({"faults": faults}, moves, tasks, [("a", 5.1), ("a", 9.0), ("a", 30.0), ("a", 61.3)], 0.5)
    assert moving.windows == [(9.5, 25.0)]
    assert unanswered(moving) == ([4, 5], [2, 3])
    assert lost_by_moving(moving) == (2, 1)
    assert longest_silence(moving) == {"a": pytest.approx(31.3)}
    still = Soaked({"faults": []}, [], {n: (at, 0.1, "on_time") for n, (at, _, _) in tasks.items()}, [], 0.5)
    found = extra(moving, still)
    assert (found["during"].n, found["during"].p50) == (1, pytest.approx(0.2))
    assert (found["between"].n, found["between"].p99) == (1, 0.0)
