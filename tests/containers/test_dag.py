"""Task DAGs end to end: order, joins, parallel sinks, accounting."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.containers.bed import FORK, ONE, VQA, Bed, draws


@pytest.fixture
def bed(request, tmp_path):
    types, run = request.param
    bed = Bed(tmp_path, types, **run)
    yield bed
    bed.close()


@pytest.mark.parametrize("bed", [((VQA,), {}), ((VQA,), {"dilate": 2.0, "shrink": 10.0})], indirect=True)
def test_every_task_of_a_dag_with_a_join_is_answered_and_its_stages_run_in_order(bed):
    bed.gateway()
    for service in ("image", "vision", "llm", "format"):
        bed.stub(f"{service}-1", service, node="n1")
    bed.stub("llm-2", "llm", node="n2")
    bed.announce()
    bed.go(draws(VQA, 60, rate=60, work=0.004))
    bed.rows(tasks=60, stages=240)
    assert bed.summary() == {"on_time": 60}
    assert sorted(t.id for t in bed.tasks) == list(range(1, 61))
    assert bed.hub.outstanding() == 0
    for task in bed.tasks:
        visits = sorted((s for s in bed.stages if s.task == task.id), key=lambda s: s.finished)
        assert [v.stage for v in visits] == ["image", "vision", "llm", "format"]
        assert all(v.outcome == "done" and v.attempt == 1 for v in visits)
        assert all(a.finished <= b.started for a, b in pairwise(visits))
        assert task.attempts == 1
        # nominal: access and four services at least, and the clock of the rows is the load's
        assert task.latency >= 0.005 + 4 * 0.004
        assert visits[0].arrived >= task.at + 0.005
    samples = [x for b in bed.batches for x in b.service_samples.get("vision", [])]
    assert len(samples) == 60 and all(x >= 0.004 for x in samples)
    arrivals = Counter()
    for batch in bed.batches:
        arrivals.update(batch.arrivals)
    assert arrivals["image", "gw1"] == 60 and arrivals["vision", "n1"] == 60
    assert sum(n for (service, _), n in arrivals.items() if service == "llm") == 60


@pytest.mark.parametrize("bed", [((FORK, ONE), {})], indirect=True)
def test_a_task_with_two_sinks_is_done_when_both_results_are_back(bed):
    bed.gateway()
    bed.stub("a-1", "a")
    bed.stub("b-1", "b", workers=4)
    bed.announce()
    bed.go(draws(FORK, 20, rate=50, work=0.003))
    bed.rows(tasks=20, stages=60)
    assert bed.summary() == {"on_time": 20}
    for task in bed.tasks:
        last = max(s.finished for s in bed.stages if s.task == task.id)
        assert task.at + task.latency >= last


@pytest.mark.parametrize("bed", [((ONE,), {})], indirect=True)
def test_a_task_that_nobody_can_serve_is_unanswered_and_counted_once(bed):
    bed.gateway()
    bed.announce()
    bed.go(draws(ONE, 5, rate=50, work=0.001, deadline=0.2))
    bed.rows(tasks=5)
    assert bed.summary() == {"unanswered": 5} and bed.hub.outstanding() == 0


@pytest.mark.parametrize("bed", [((ONE,), {})], indirect=True)
def test_a_task_whose_channel_takes_all_its_time_is_expired_and_never_sent(bed):
    bed.gateway()
    bed.stub("a-1", "a", workers=1)
    bed.announce()
    bed.go([replace(t, access=0.3) for t in draws(ONE, 5, rate=50, work=0.001, deadline=0.2)])
    bed.rows(tasks=5)
    assert bed.summary() == {"expired": 5} and not bed.stages
    assert {t.attempts for t in bed.tasks} == {0}


@pytest.mark.parametrize("bed", [((ONE,), {"early_drop": False})], indirect=True)
def test_a_result_after_the_deadline_is_late_and_its_latency_is_kept(bed):
    bed.gateway()
    bed.stub("a-1", "a", workers=8)
    bed.announce()
    bed.go(draws(ONE, 5, rate=50, work=0.3, deadline=0.2))
    bed.rows(tasks=5)
    assert bed.summary() == {"late": 5}
    assert all(t.latency > 0.3 for t in bed.tasks)


@pytest.mark.parametrize("bed", [((ONE,), {})], indirect=True)
def test_admission_refuses_what_its_estimate_says_is_late(bed):
    bed.gateway(admission=True)
    bed.stub("a-1", "a", workers=1)
    bed.announce()
    bed.go(draws(ONE, 5, rate=50, work=0.001, deadline=0.011))  # mean 0.01 + network + access 0.005
    bed.rows(tasks=5)
    assert bed.summary() == {"refused": 5}


@pytest.mark.parametrize("bed", [((VQA,), {})], indirect=True)
def test_a_request_is_dropped_when_what_follows_will_not_fit(bed):
    """The view says 10 ms for each service: a first one that leaves less than that for the rest is not begun."""
    bed.gateway()
    for service in sorted({s.service for s in VQA.stages}):
        bed.stub(f"{service}-1", service)
    bed.announce()
    bed.go(draws(VQA, 5, rate=5, work=0.05, deadline=0.075))  # 5 ms of access, 50 of service: 20 are left
    bed.rows(tasks=5)
    assert bed.summary() == {"expired": 5}
    assert {s.outcome for s in bed.stages if s.stage == VQA.stages[0].name} == {"dropped"}


@pytest.mark.parametrize("bed", [((ONE, VQA, FORK), {})], indirect=True)
def test_overload_offered_is_on_time_plus_late_plus_lost(bed):
    """Three times what one worker can do, a short queue: every way to end, every task exactly once."""
    bed.gateway()
    bed.stub("a-1", "a", workers=1, queue_limit=5)
    bed.announce()
    tasks = draws(ONE, 150, rate=150, work=0.02, deadline=0.15)
    bed.go(tasks)
    bed.rows(tasks=150)
    assert sorted(t.id for t in bed.tasks) == [t.id for t in tasks]
    ends = bed.summary()
    assert sum(ends.values()) == 150 and set(ends) <= {"on_time", "late", "expired", "unanswered"}
    assert ends["on_time"] >= 20 and ends.get("on_time", 0) < 100
    assert any(s.outcome == "dropped" for s in bed.stages)
