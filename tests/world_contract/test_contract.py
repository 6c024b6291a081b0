"""What every world does, twin and live: one suite, two worlds. `wide` is what a real machine may be off by, s."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from controller.decision import Start
from testbed.errors import CannotRun
from testbed.record.tables import DONE, STAGE_OUTCOMES, TASK_OUTCOMES
from testbed.world.base import World
from tests.world_contract import story as told
from tests.world_contract.story import CHAIN, SHORT, Story, bed

#: Nominal path of a chain: gw1 → n1 (1 ms), n1 → n2 (5 ms), n2 → gw1 (5 ms), and its bytes over the tightest link.
NET = 0.011 + 0.5e6 * 8 / 1e9 + 0.5e6 * 8 / 5e8 + 0.1e6 * 8 / 5e8
IDEAL = NET + 0.060 + 0.040


def wide(story: Story) -> float:
    """What a world may be off by: a live one has stacks, timers and a busy machine under it."""
    return 0.060 if story.world.name == "live" else 0.020  # the twin has what the stacks cost, and no busy machine


# -- time


def test_time_never_runs_back(story: Story) -> None:
    assert all(a <= b for a, b in itertools.pairwise(story.now))


def test_advance_returns_at_the_time_asked_or_early_when_something_was_detected(story: Story) -> None:
    late = 0.25 if story.world.name == "live" else 0.0
    assert all(after <= target + late for target, after, early in story.asked)
    early = [after for _, after, called in story.asked if called]
    changes = [told.CUT, told.MEND, told.STRAND, told.RESCUE, told.CRASH, told.END]
    assert early, "a cut link asks for a decision"
    assert all(any(0 < at - t < told.DETECTION + 0.5 for t in changes) for at in early)


# -- tasks


def test_every_task_has_one_row_and_one_outcome(story: Story) -> None:
    assert sorted(story.tasks) == sorted(story.offered)
    assert story.rows_given == len(story.offered)
    for row in story.tasks.values():
        name = TASK_OUTCOMES[row["outcome"]]
        assert math.isnan(row["latency"]) is (name not in ("on_time", "late"))
        assert name != "on_time" or row["latency"] <= row["deadline"] + 1e-9
        assert name != "late" or row["latency"] > row["deadline"]
        assert row["at"] == pytest.approx(story.offered[int(row["id"])][1])


def test_visits_are_in_order_and_belong_to_tasks(story: Story) -> None:
    stages = story.all_stages()
    assert set(stages["task"].tolist()) <= set(story.offered)
    done = stages[stages["outcome"] == DONE]
    assert np.all(done["arrived"] <= done["started"]) and np.all(done["started"] < done["finished"])
    assert np.all(stages["outcome"] < len(STAGE_OUTCOMES))
    once = {(t, s, a) for t, s, a in zip(done["task"], done["stage"], done["attempt"], strict=True)}
    assert len(once) == len(done), "a stage runs once an attempt"
    where = {(story.names.instances[r["instance"]], story.names.nodes[r["node"]]) for r in done}
    assert where == {("see-a", "n2"), ("cut-a", "n1"), ("cut-b", "n3")}


def test_a_task_on_an_idle_path_takes_what_it_should(story: Story) -> None:
    first, *found = story.latencies(told.QUIET)
    assert story.outcomes(told.QUIET) == ["on_time"] * len(told.QUIET)
    assert all(IDEAL - 1e-3 <= x <= IDEAL + wide(story) for x in found), (IDEAL, found)
    assert first <= IDEAL + 2 * NET + wide(story), "connections may have to be made for the first"


def test_service_takes_the_work_drawn(story: Story) -> None:
    stages = story.all_stages()
    done = stages[stages["outcome"] == DONE]
    took = done["finished"] - done["started"]
    for service, work in (("cut", 0.060), ("see", 0.040)):
        mine = took[done["service"] == story.names.services.index(service)]
        assert np.all(mine >= work - 1e-3) and np.median(mine) <= work + 0.010


# -- looking


def test_observations_count_what_was_offered_and_what_arrived(story: Story) -> None:
    offered = sum(n for o in story.observations for n in o.offered.values())
    assert offered == len(story.offered)
    by_type = {k: sum(o.offered.get(("gw1", k), 0) for o in story.observations) for k in ("short", "chain")}
    assert by_type == {
        k: sum(n == i for n, _ in story.offered.values()) for i, k in ((SHORT, "short"), (CHAIN, "chain"))
    }
    visits = story.all_stages()
    for service in ("cut", "see"):
        arrived = sum(n for o in story.observations for (m, _), n in o.arrivals.items() if m == service)
        rows = int(np.count_nonzero(visits["service"] == story.names.services.index(service)))
        assert arrived == rows, service
    assert {g for o in story.observations for _, g in o.arrivals} == {"left", "right"}


def test_observations_carry_every_service_time_and_wait(story: Story) -> None:
    stages = story.all_stages()
    done = stages[stages["outcome"] == DONE]
    for service in ("cut", "see"):
        mine = done[done["service"] == story.names.services.index(service)]
        seen = sorted(x for o in story.observations for x in o.services.get(service, ()))
        np.testing.assert_allclose(seen, np.sort(mine["finished"] - mine["started"]), atol=2e-6)
        waits = sum(len(o.waits.get(service, ())) for o in story.observations)
        assert waits >= len(mine)


def test_slots_and_times_of_observations(story: Story) -> None:
    assert [o.slot for o in story.observations] == list(range(1, len(story.observations) + 1))
    assert all(a.now <= b.now for a, b in itertools.pairwise(story.observations))
    assert all([i.id for i in o.instances] == sorted(i.id for i in o.instances) for o in story.observations)


# -- acting


def test_more_workers_serve_a_crowd_sooner(story: Story) -> None:
    """Six at once on three workers: two rounds of 60 ms, where one worker would need six."""
    (resized,) = story.kind("resized")
    assert dict(resized.data) == {"id": "cut-a", "from": 1, "to": 3}
    found = story.latencies([told.CROWD])
    assert len(found) == 6
    assert 2 * 0.060 < max(found) < 2 * 0.060 + 0.040 + 2 * wide(story), found
    assert {i.workers for o in story.observations for i in o.instances if i.id == "cut-a" and o.now > told.CROWD} == {3}


def test_a_move_starts_there_then_drains_here_and_loses_nothing(story: Story) -> None:
    order = [e for e in story.events if e.kind in ("started", "drained", "migrated")]
    assert [e.kind for e in order] == ["started", "drained", "migrated"]
    started, drained, moved = order
    assert (started.data["id"], started.data["node"], drained.data["id"]) == ("cut-b", "n3", "cut-a")
    facts = {k: moved.data[k] for k in ("service", "from", "to", "start", "drain", "lost", "blackout_s")}
    assert facts == {
        "service": "cut", "from": "n1", "to": "n3", "start": "cut-b", "drain": "cut-a", "lost": 0, "blackout_s": 0,
    }  # fmt: skip
    assert moved.planned == pytest.approx(told.MOVE, abs=0.3)
    assert moved.actual is not None and moved.actual >= (drained.actual or math.inf) - 1e-6
    assert told.on_time(story.of(told.STEADY)), story.outcomes(told.STEADY)


def test_an_instance_is_not_ready_before_its_start_up_is_over(story: Story) -> None:
    (started,) = story.kind("started")
    assert started.actual is not None and started.actual >= told.MOVE + told.STARTUP
    assert started.data["seconds"] >= told.STARTUP
    early = [i for o in story.observations if o.now < told.MOVE + told.STARTUP for i in o.instances if i.id == "cut-b"]
    assert early and not any(i.ready for i in early), "it exists, and costs, from the decision on"
    stages = story.all_stages()
    code = story.names.instances.index("cut-b")
    assert stages[stages["instance"] == code]["arrived"].min() >= told.MOVE + told.STARTUP


def test_a_drained_instance_is_gone(story: Story) -> None:
    (drained,) = story.kind("drained")
    assert drained.actual is not None
    after = [o for o in story.observations if o.now > drained.actual + 0.6]
    assert after and all("cut-a" not in {i.id for i in o.instances} for o in after)


# -- shaking


def test_disturbances_say_when_and_that_they_are_verified(story: Story) -> None:
    at = {"cut": told.CUT, "squeeze": told.SQUEEZE, "strand": told.STRAND, "crash": told.CRASH}
    ends = {"cut": told.MEND, "squeeze": told.RELEASE, "strand": told.RESCUE, "crash": told.END}
    for name, d in story.disturbances.items():
        assert d.verified and d.evidence and d.reverted_at is None
        assert at[name] - 1e-6 <= d.applied_at <= at[name] + 0.5
        back = story.undone[name]
        assert back.verified and back.reverted_at is not None
        assert ends[name] - 1e-6 <= back.reverted_at <= ends[name] + 0.5


def test_a_cut_link_is_routed_around_after_the_detection_time(story: Story) -> None:
    before, during, after = (
        [o for o in story.observations if a < o.now < b]
        for a, b in ((0, told.CUT), (told.CUT + 0.9, told.MEND), (told.MEND + 0.9, told.SQUEEZE))
    )
    for seen, delay in ((before, 0.005), (during, 0.021), (after, 0.005)):
        assert seen
        assert all(o.paths is not None and o.paths.delay["n1", "n2"] == pytest.approx(delay, abs=1e-9) for o in seen)
    late = [t for t in told.WHILE_CUT if t > told.CUT + 1.0]
    assert told.on_time(story.of(late)), story.outcomes(late)
    detour = 2 * (0.021 - 0.005) if all_from_n3(story) else 0.0
    assert min(story.latencies(late)) > min(story.latencies([4.8])) + detour / 2


def all_from_n3(story: Story) -> bool:
    """`cut` has moved to n3 by then: gateway to n3 and n2 to gateway both cross the trunk."""
    stages = story.all_stages()
    return "cut-b" in {story.names.instances[i] for i in stages[stages["arrived"] > told.CUT]["instance"]}


def test_what_is_sent_into_a_cut_link_comes_late_or_not_at_all_until_it_is_known(story: Story) -> None:
    into = story.of([told.CUT])
    assert into and all(TASK_OUTCOMES[r["outcome"]] != "on_time" or r["latency"] >= told.DETECTION for r in into)


def test_the_event_of_a_cut_follows_it_by_the_detection_time(story: Story) -> None:
    downs = story.kind("network_link_down")
    first = downs[0]
    assert first.actual is not None and told.DETECTION - 0.05 <= first.actual - told.CUT <= told.DETECTION + 0.6
    assert any("s1--s2" in e.data["down"] for e in story.kind("network_paths"))


def test_less_bandwidth_takes_longer_and_its_undo_restores(story: Story) -> None:
    """A chain crosses the trunk twice: 0.5 MB there, 0.1 MB back; at a tenth of 500 Mbit/s that is 86 ms more."""
    usual, narrow, wide_again = (min(story.latencies(t)) for t in ([told.AFTER_MEND], told.NARROW, told.WIDE))
    more = (0.6e6 * 8 / 5e8) * (1 / told.FACTOR - 1)
    assert narrow - usual == pytest.approx(more, abs=wide(story))
    assert wide_again == pytest.approx(usual, abs=wide(story))


def test_who_is_cut_off_is_stranded_and_comes_back(story: Story) -> None:
    """The only `see` is behind the cut link for longer than a deadline."""
    assert "on_time" not in story.outcomes(told.STRANDED)
    cut_off = [o for o in story.observations if told.STRAND + 0.9 < o.now < told.RESCUE]
    assert cut_off and all(o.paths is not None and ("gw1", "n2") not in o.paths.delay for o in cut_off)
    assert told.on_time(story.of(told.RESCUED)), story.outcomes(told.RESCUED)
    (early,) = story.of([told.UNKNOWN])
    back = told.UNKNOWN + early["latency"]
    assert not back < told.RESCUE + told.DETECTION - 0.05, "a link that is back is used once that is known"


def test_a_crashed_node_is_known_after_the_detection_time_and_returns_empty(story: Story) -> None:
    (died,) = story.kind("instance_died")
    assert (died.data["id"], died.data["node"]) == ("cut-b", "n3")
    assert died.actual is not None and told.DETECTION - 0.05 <= died.actual - told.CRASH <= told.DETECTION + 0.6
    known = [o for o in story.observations if died.actual + 0.01 < o.now <= told.END]
    assert known and all(o.dead == ("n3",) for o in known)
    assert all("cut-b" not in {i.id for i in o.instances} for o in known)
    assert all(o.dead == () for o in story.observations if o.now < told.CRASH)


def test_what_it_cannot_do_it_says(story: Story) -> None:
    with pytest.raises(CannotRun, match="link_state"):
        story.world.disturb("earthquake", "s1--s2", {"magnitude": 7})


# -- facts


def test_status_has_the_same_shape(story: Story) -> None:
    s = story.status
    assert set(s) - {"dead", "carried_bytes"} == {"instances", "nodes", "links"} and s["nodes"] == ["n1", "n2", "n3"]
    for i in s["instances"]:
        assert set(i) == {"id", "service", "node", "workers", "state", "backlog"}
    assert {(i["id"], i["state"], i["workers"]) for i in s["instances"]} == {
        ("see-a", "ready", 2),
        ("cut-a", "ready", 3),
    }
    assert [(name, nominal, up) for name, _, nominal, up in s["links"]] == [
        ("s1--s2", 5e8, True), ("s2--s3", 5e8, True), ("s1--s3", 5e8, True),
    ]  # fmt: skip


def test_measures_have_the_same_shape(story: Story) -> None:
    m = story.measures
    assert {"links", "datapath", "link_backend", "link_utilisation", "metadata"} <= set(m)
    names = {k.name for k in story.world.bed.topology.links}  # type: ignore[attr-defined]
    assert set(m["link_utilisation"]) == names
    assert all(0.0 <= x <= 1.2 for x in m["link_utilisation"].values())
    assert m["metadata"]["topology"] == {"sites": 3, "nodes": 3, "ingresses": ["gw1"]}


# -- life


def test_down_without_up_and_twice(fresh: World) -> None:
    fresh.down()
    fresh.down()
    rows = fresh.rows()
    assert len(rows.tasks) == len(rows.stages) == 0 and fresh.events() == [] and dict(fresh.measures()) == {}


def test_after_an_up_that_failed_it_goes_down_and_another_comes_up(fresh: World) -> None:
    ghost = (Start("ghost-a", "ghost", "n1", 1),)
    with pytest.raises(Exception):  # noqa: B017  a service the model doesn't have: no world can start it
        fresh.up(bed(fresh.run_id, ghost))  # type: ignore[attr-defined]
    fresh.down()
    fresh.down()
