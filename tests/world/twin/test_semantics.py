"""What happens to tasks, rule by rule, in both engines: queues, drops, retries, joins, views, drains, contention."""

from __future__ import annotations

import pytest

from controller.light.routing import INGRESS, StageSpec, TypeSpec
from testbed.world.twin.engine import DONE, DRAINED, DROPPED, EXPIRED, LOST, ON_TIME, REFUSED, RELEASED, UNANSWERED
from tests.world.twin.rig import Rig, chain

DIAMOND = TypeSpec(
    "diamond", 10.0, 0.0,
    (
        StageSpec("left", "m", ((INGRESS, 0.0),)),
        StageSpec("right", "n", ((INGRESS, 0.0),)),
        StageSpec("both", "k", (("left", 0.0), ("right", 0.0))),
    ),
)  # fmt: skip


@pytest.fixture(params=["reference", "kernel"])
def engine(request):
    if request.param == "kernel":
        pytest.importorskip("numba", reason="capability: numba")
    return request.param


def order(rig):
    """Tasks in the order in which their services began."""
    return [int(v["task"]) for v in sorted(rig.visits, key=lambda v: v["started"])]


# -- queues


@pytest.mark.parametrize(("edf", "expected"), [(True, [0, 2, 1]), (False, [0, 1, 2])])
def test_the_queue_is_earliest_deadline_first_or_first_in_first_out(engine, edf, expected):
    rig = Rig(engine, chain("m"), edf=edf)
    rig.start("m", "a")
    rig.engine.push()
    for at, deadline in ((0.0, 9.0), (0.1, 9.0), (0.2, 5.0)):
        rig.task(at, 1.0, deadline=deadline)
    rig.run(8.0)
    assert order(rig) == expected


def test_a_hopeless_request_is_dropped_when_it_comes_up(engine):
    rig = Rig(engine, chain("m"), early_drop=True)
    rig.start("m", "a")
    rig.engine.push()
    rig.task(0.0, 1.0)
    rig.task(0.1, 1.0, deadline=1.5)  # would end at 2.0, its time is up at 1.6
    rig.run(5.0)
    assert rig.of(1)["outcome"] == DROPPED and rig.of(1)["ended"] == 1.0
    assert rig.answer(1)["outcome"] == EXPIRED


def test_a_request_is_dropped_when_what_follows_will_not_fit(engine):
    """The second service is 10 ms away and takes 300 ms by the view; then 10 ms back. A task may be lucky: this is not
    asked where it is served, only before."""
    rig = Rig(engine, chain("m", "k"), early_drop=True)
    rig.start("m", "a")
    rig.start("k", "b", mean=0.3)
    rig.engine.push()
    for at, deadline in ((0.0, 0.43), (1.0, 0.41)):
        rig.task(at, 0.1, 0.25, deadline=deadline)
    rig.run(5.0)
    assert rig.answer(0)["outcome"] == ON_TIME and rig.answer(0)["latency"] == pytest.approx(0.37)
    assert rig.of(1)["outcome"] == DROPPED and rig.of(1)["ended"] == 1.0 and rig.answer(1)["outcome"] == EXPIRED


def test_senders_look_ahead(engine):
    """m on a, or on b 10 ms away and 5 ms slower; k is on b: a costs the 10 ms as well, and more for bytes."""
    rig = Rig(engine, chain("m", "k", size=1000.0))
    slow = rig.start("m", "b", mean=0.105)
    rig.start("m", "a", mean=0.1)
    rig.start("k", "b", mean=0.1)
    rig.engine.push()
    rig.task(0.0, 0.1, 0.1)
    rig.run(1.0)
    assert rig.of(0)["member"] != slow, "a byte crosses the trunk either way: the faster one wins"
    rig = Rig(
        engine, TypeSpec("t", 9.0, 0.0, (StageSpec("0", "m", ((INGRESS, 0.0),)), StageSpec("1", "k", (("0", 1e4),))))
    )
    slow = rig.start("m", "b", mean=0.105)
    rig.start("m", "a", mean=0.1)
    rig.start("k", "b", mean=0.1)
    rig.engine.push()
    rig.task(0.0, 0.1, 0.1)
    rig.run(1.0)
    assert rig.of(0)["member"] == slow, "what it sends on takes 10 ms at a megabyte per second, what it gets nothing"


def test_a_task_whose_channel_takes_all_its_time_is_expired_and_never_sent(engine):
    rig = Rig(engine, chain("m"), early_drop=False)
    rig.start("m", "a")
    rig.engine.push()
    rig.task(0.0, 0.1, deadline=1.5, access=1.6)
    rig.run(9.0)
    assert rig.answer(0)["outcome"] == EXPIRED and not rig.visits


def test_without_early_drop_it_is_served_and_comes_late(engine):
    rig = Rig(engine, chain("m"))
    rig.start("m", "a")
    rig.engine.push()
    rig.task(0.0, 1.0)
    rig.task(0.1, 1.0, deadline=1.5)
    rig.run(5.0)
    assert rig.of(1)["outcome"] == DONE and rig.answer(1)["latency"] == pytest.approx(1.9)


def test_a_full_queue_refuses_and_the_task_comes_again_after_a_view_interval(engine):
    rig = Rig(engine, chain("m"), limit=1)
    rig.start("m", "a")
    rig.engine.push()
    for _ in range(3):
        rig.task(0.0, 0.15)
    rig.run(3.0)
    times = [float(v["arrived"]) for v in rig.visits if v["task"] == 2]
    assert times == pytest.approx([0.0, 0.1, 0.2])  # full, full again, taken: the first two served by 0.15 and 0.3
    assert rig.answer(2)["attempts"] == 3 and rig.answer(2)["outcome"] == ON_TIME


# -- admission, expiry


def test_admission_refuses_what_is_not_expected_back_in_time(engine):
    rig = Rig(engine, chain("m"), admission=True)
    rig.start("m", "a", mean=1.0)
    rig.engine.push()
    rig.task(0.05, 0.1, deadline=0.89)  # nine tenths of the second that the view says must fit
    rig.task(0.05, 0.1, deadline=0.91)
    rig.run(2.0)
    assert rig.answer(0)["outcome"] == REFUSED and rig.answer(1)["outcome"] == ON_TIME


def test_a_task_without_an_instance_waits_for_one_and_is_unanswered_at_its_last_moment(engine):
    rig = Rig(engine, chain("m"))
    rig.task(0.0, 0.1, deadline=0.5)
    rig.run(1.45)
    assert not rig.answers
    rig.run(1.7)  # deadline + 2 deadlines = 1.5, told with the next view
    assert rig.answer(0)["outcome"] == UNANSWERED and rig.answer(0)["attempts"] == 0


def test_it_goes_to_the_instance_that_appears_meanwhile(engine):
    rig = Rig(engine, chain("m"))
    rig.task(0.05, 0.1)
    rig.run(0.5)
    rig.start("m", "a")
    rig.engine.push()
    rig.run(2.0)
    assert rig.of(0)["arrived"] == pytest.approx(0.55) and rig.answer(0)["attempts"] == 1


# -- views


def test_a_sender_counts_its_own_requests_until_the_view_shows_them(engine):
    """Four tasks at once between two equal instances: two each, though the view shows both idle all the time."""
    rig = Rig(engine, chain("m"))
    first, second = rig.start("m", "a"), rig.start("m", "a")
    rig.engine.push()
    for _ in range(4):
        rig.task(0.01, 1.0)
    rig.run(5.0)
    assert sorted(int(v["member"]) for v in rig.visits) == [first, first, second, second]


def test_a_view_shows_a_backlog_after_it_was_reported(engine):
    """Views at 0.1, 0.2 …; news that came after one view are reported 0.7 intervals after the next."""
    rig = Rig(engine, chain("m"))
    member = rig.start("m", "a")
    rig.engine.push()
    for _ in range(3):
        rig.task(0.11, 5.0)
    rig.run(0.26)
    assert rig.engine.backlogs()[member, 0] == 0
    rig.run(0.28)
    assert rig.engine.backlogs()[member].tolist() == [3, 1]


def test_arrivals_count_by_the_senders_domain(engine):
    rig = Rig(engine, chain("m", "n"))
    rig.start("m", "b")
    rig.start("n", "b")
    rig.engine.push()
    rig.task(0.01, 0.1, 0.1)
    rig.run(2.0)
    domains = rig.layout.network.domains
    assert rig.arrivals[0].tolist() == [int(d == "w") for d in domains]  # from the gateway, in the west
    assert rig.arrivals[1].tolist() == [int(d == "e") for d in domains]  # from node b, in the east


# -- service


def test_light_services_of_a_node_slow_each_other_down(engine):
    """u is read when a service begins and before it counts itself: 0, then 1 of 2 cores: 1 + 0.5² times as long."""
    rig = Rig(engine, chain("m"), contention=1.0)
    rig.start("m", "a", workers=2, milli=1000, spare=2.0)
    rig.engine.push()
    rig.task(0.0, 1.0)
    rig.task(0.5, 1.0)
    rig.run(3.0)
    assert rig.of(0)["ended"] == pytest.approx(1.0) and rig.of(1)["ended"] == pytest.approx(0.5 + 1.25)


def test_speed_divides_work_and_workers_change_at_once(engine):
    rig = Rig(engine, chain("m"))
    member = rig.start("m", "a", speed=2.0)
    rig.engine.push()
    rig.task(0.0, 1.0)
    rig.task(0.0, 1.0)
    rig.run(0.25)
    rig.engine.resize(member, 2)
    rig.run(3.0)
    assert [float(v["ended"]) for v in rig.visits] == pytest.approx([0.5, 0.75])


# -- joins


def test_a_join_waits_for_both_and_runs_where_its_gateway_bound_it(engine):
    rig = Rig(engine, DIAMOND)
    for service in "mnk":
        rig.start(service, "a")
    other = rig.start("k", "a", mean=0.2)  # the worse choice
    rig.engine.push()
    rig.task(0.01, 0.3, 0.7, 0.1)
    rig.run(3.0)
    both = rig.of(0, 2)
    assert both["arrived"] == pytest.approx(0.71) and both["member"] != other
    assert rig.answer(0)["latency"] == pytest.approx(0.8)


def test_a_gateway_spreads_its_joins_by_what_it_has_bound_and_forgets_those_that_are_over(engine):
    """Both branches take a second; nobody waits at either join, and no backlog says that tasks are to come there.
    So they take turns; and when all are over the next one goes where the first went."""
    rig = Rig(engine, DIAMOND)
    for service in "mn":
        rig.start(service, "a", workers=9)
    joins = [rig.start("k", "a"), rig.start("k", "a")]
    rig.engine.push()
    for at in (0.01, 0.02, 0.03, 0.04):
        rig.task(at, 1.0, 1.0, 0.1)
    rig.task(2.5, 1.0, 1.0, 0.1)  # all others are over: where the first was
    rig.run(5.0)
    first, second, third, fourth, last = (int(rig.of(k, 2)["member"]) for k in range(5))
    assert {first, second} == set(joins) and (first, second) == (third, fourth) and last == first


def test_a_join_starts_once_after_a_retry(engine):
    """One branch is refused by a full queue: the attempt is given up, all of it is sent again, and the join of the
    second attempt runs once, though a part of the first one had come."""
    rig = Rig(engine, chain("n"), DIAMOND, limit=1)
    for service in "mnk":
        rig.start(service, "a")
    rig.engine.push()
    rig.task(0.0, 0.15, type=0)  # n is busy …
    rig.task(0.0, 0.15, type=0)  # … and its queue is full
    rig.task(0.0, 0.01, 0.05, 0.1, type=1)
    rig.run(3.0)
    visits = [(int(v["attempt"]), int(v["outcome"])) for v in rig.visits if v["task"] == 2 and v["stage"] == 2]
    assert visits.count((rig.answer(2)["attempts"], DONE)) == 1
    assert [outcome for _, outcome in visits].count(DONE) == 1 and LOST in [outcome for _, outcome in visits]
    assert rig.answer(2)["outcome"] == ON_TIME


# -- drains


def test_a_drain_loses_nothing(engine):
    """What is here, on its way here or bound here is served; nothing new comes; then it says so."""
    rig = Rig(engine, DIAMOND)
    for service in "mn":
        rig.start(service, "a", workers=9)
    old = rig.start("k", "a")
    rig.engine.push()
    for k in range(5):
        rig.task(0.01 * k, 0.2, 0.2, 0.1)
    rig.run(0.1)
    new = rig.start("k", "a")
    assert not rig.engine.mark(old)  # five tasks are bound to it
    rig.engine.push()
    rig.task(0.15, 0.2, 0.2, 0.1)
    rig.run(1.0)
    assert [(what, member) for _, what, member in rig.signals] == [(RELEASED, old)]
    assert rig.signals[0][0] == pytest.approx(0.7)  # the last of the five comes back
    rig.engine.drain(old)
    rig.run(2.0)
    assert [(what, member) for _, what, member in rig.signals[1:]] == [(DRAINED, old)]
    assert [a["outcome"] for a in rig.answers] == [ON_TIME] * 6
    assert [int(rig.of(k, 2)["member"]) for k in range(6)] == [old] * 5 + [new]


def test_a_drain_cut_short_gives_up_what_is_left_and_its_task_is_sent_again(engine):
    rig = Rig(engine, chain("m"))
    old = rig.start("m", "a")
    rig.engine.push()
    rig.task(0.01, 1.0)
    rig.run(0.3)
    rig.start("m", "a")
    rig.engine.mark(old)
    rig.engine.push()
    assert rig.engine.held(old) == 1
    rig.engine.stop(old)
    rig.engine.push()
    rig.run(3.0)
    assert sorted((int(v["attempt"]), int(v["outcome"])) for v in rig.visits) == [(1, LOST), (2, DONE)]
    assert rig.answer(0)["attempts"] == 2 and rig.answer(0)["latency"] == pytest.approx(0.3 - 0.01 + 1.0)
