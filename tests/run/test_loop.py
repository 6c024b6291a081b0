"""The control loop against an ideal world: what is offered, decided, shaken and recorded, and when."""

import json
from typing import Any

import numpy as np
import pytest

from controller.decision import Decision
from testbed.faults.base import timeline
from testbed.record.folder import RunFolder
from testbed.record.tables import Names
from testbed.run.loop import Loop
from testbed.run.shaker import Limits, Shaker
from testbed.scenario.model import Fault
from testbed.topology.build import build
from tests.load.builders import model
from tests.load.test_tasks import source
from tests.run.ideal import IdealWorld

NET = build("metro9", ["big", "medium", "small"], 1)


class Idle:
    """A policy that decides nothing and counts its steps."""

    name = "idle"

    def step(self, model: Any, state: int, observation: Any) -> tuple[int, Decision]:
        return state + 1, Decision(observation.slot)


def make(tmp_path, faults=(), early_at=None, horizon=20.0, limits=Limits(), world=None):  # noqa: B008, frozen
    world, load = world or IdealWorld(early_at), source(horizon=horizon)
    folder = RunFolder(tmp_path / "run")
    shaker = Shaker(world, load, timeline(list(faults), NET, horizon), folder.event, NET, limits)
    seen: list[dict[str, Any]] = []
    loop = Loop(
        world, Idle(), model(), 0, load, shaker, folder, horizon, 1.0, lambda: 0.0, seen.append, Names.of(model()),
        False, lambda observation, wrong: None,
    )  # fmt: skip
    return world, loop, seen, folder


def fault(kind, target, at, length, **parameters):
    return Fault(kind=kind, target=target, at=f"{at} s", **{"for": f"{length} s", "with": parameters})


def test_every_slot_decides_once_and_every_task_gets_a_row(tmp_path):
    world, loop, seen, _ = make(tmp_path)
    journey = loop.run()
    assert [k for what, _, k in world.log if what == "observe"] == list(range(1, 21))
    assert world.late_offers == 0
    assert journey.tasks.resolved == journey.tasks.on_time == journey.tasks.offered > 300
    assert seen[-1]["offered"] == journey.tasks.offered


def test_faults_fire_and_revert_on_time(tmp_path):
    world, loop, _, folder = make(tmp_path, [fault("link_down", "s1--s2", 3.5, 4.25)])
    loop.run()
    assert [(w, t) for w, t, _ in world.log if w in ("disturb", "undo")] == [("disturb", 3.5), ("undo", 7.75)]
    kinds = [json.loads(x) for x in (folder.path / "events.jsonl").read_text().splitlines()]
    applied = next(e for e in kinds if e["kind"] == "fault_applied")
    assert (applied["planned_s"], applied["actual_s"], applied["verified"]) == (3.5, 3.5, True)


def test_a_fault_that_outlasts_the_run_is_reverted_with_it(tmp_path):
    world, loop, _, _ = make(tmp_path, [fault("bandwidth_drop", "s1--s2", 18, 100, keep=0.5)])
    loop.run()
    assert ("undo", 20.0) in [(w, t) for w, t, _ in world.log]
    assert loop.shaker.summary()[0]["reverted_at_s"] == 20.0


def test_revert_all_after_an_error(tmp_path):
    world, loop, _, _ = make(tmp_path, [fault("link_down", "s1--s2", 2, 10)])
    loop.policy = type("Broken", (), {"step": lambda *a: 1 / 0})()
    loop.shaker.fire(2.0)
    with pytest.raises(ZeroDivisionError):
        loop.run()
    loop.shaker.revert_all()
    assert [w for w, _, _ in world.log if w in ("disturb", "undo")] == ["disturb", "undo"]


def test_a_load_spike_multiplies_arrivals_of_its_ingress_and_is_verified_by_counting(tmp_path):
    _, calm, _, _ = make(tmp_path / "calm", horizon=60.0)
    _, shaken, _, _ = make(tmp_path / "shaken", [fault("load_spike", "gw1", 20, 20, factor=3.0)], horizon=60.0)
    a, b = calm.run(), shaken.run()

    def offered(journey, ingress, lo, hi):
        t = journey.tasks.rows()
        return np.count_nonzero(
            (t["ingress"] == journey.names.ingresses.index(ingress)) & (lo <= t["at"]) & (t["at"] < hi)
        )

    assert offered(b, "gw1", 20, 40) == pytest.approx(600, abs=5 * 600**0.5)
    assert offered(a, "gw1", 0, 20) == offered(b, "gw1", 0, 20)
    assert offered(a, "gw2", 0, 60) == offered(b, "gw2", 0, 60)
    found = shaken.shaker.summary()[0]
    assert found["verified"] and "tasks offered" in found["evidence"]
    assert (found["applied_at_s"], found["reverted_at_s"]) == (20.0, 40.0)


def test_times_of_tasks_are_kept_for_the_length_of_a_load_fault_and_no_longer(tmp_path):
    """An hour's load would be in memory twice. Each fault is verified by its own tasks all the same."""
    spikes = [fault("load_spike", "gw1", at, 10, factor=3.0) for at in range(20, 580, 30)]
    _, loop, _, _ = make(tmp_path, spikes, horizon=600.0)
    kept = []
    loop.listener = lambda _: kept.append(sum(map(len, loop.source._log.values())))
    loop.run()
    assert max(kept) < 13 * 40 + 5 * 520**0.5, "tasks of a spike's ten seconds and of those handed out ahead"
    assert [f["verified"] for f in loop.shaker.summary()] == [True] * len(spikes)


def test_coming_back_early_decides_at_once_with_the_same_slot(tmp_path):
    world, loop, _, _ = make(tmp_path, early_at=4.3, horizon=6.0)
    loop.run()
    assert [(t, k) for what, t, k in world.log if what == "observe"] == [
        (1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4), (4.3, 4), (5.0, 5), (6.0, 6),
    ]  # fmt: skip


def test_the_nothing_fault_leaves_a_mark_and_no_trace(tmp_path):
    world, loop, _, _ = make(tmp_path, [fault("nothing", "s1--s2", 2, 1)])
    loop.run()
    assert not [w for w, _, _ in world.log if w in ("disturb", "undo")]
    assert loop.shaker.summary()[0]["verified"]
