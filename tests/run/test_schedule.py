"""When faults begin: again and again, after one another, when something is measured; and what keeps them from it."""

import json
from itertools import pairwise

import numpy as np
import pytest

from controller.observation import InstanceState, Observation
from testbed.faults.base import timeline
from testbed.faults.burst_train import Parameters as Bursts
from testbed.faults.burst_train import steps as burst_steps
from testbed.faults.flash_crowd import Parameters as Crowd
from testbed.faults.flash_crowd import steps as crowd_steps
from testbed.faults.load_ramp import Parameters as Ramp
from testbed.faults.load_ramp import steps as ramp_steps
from testbed.run.pulse import PulseTaker
from testbed.run.shaker import Limits
from testbed.scenario.model import Fault, Safety, When
from tests.load.builders import model
from tests.run.ideal import IdealWorld
from tests.run.test_loop import NET, make

SERVICE, NODE = model().services()[0].name, model().nodes[0].name


def fault(**more) -> Fault:
    return Fault(**{"kind": "link_down", "target": "s1--s2", "for": "1 s", **more})


def times(world):
    return [(w, t) for w, t, _ in world.log if w in ("disturb", "undo")]


def events(folder, kind):
    found = [json.loads(x) for x in (folder.path / "events.jsonl").read_text().splitlines()]
    return [e for e in found if e["kind"] == kind]


class Queueing(IdealWorld):
    """Its one instance has as many requests as seconds have passed."""

    def observe(self, slot):
        super().observe(slot)
        return Observation(slot, self.time, (InstanceState("a", SERVICE, NODE, 1, backlog=int(self.time)),))


def test_every_as_often_as_there_is_room(tmp_path):
    world, loop, _, _ = make(tmp_path, [fault(name="flap", at="2 s", every="5 s")], horizon=14.0)
    loop.run()
    assert times(world) == [(w, t + d) for t in (2, 7, 12) for w, d in (("disturb", 0), ("undo", 1))]
    assert [f["name"] for f in loop.shaker.summary()] == ["flap_1", "flap_2", "flap_3"]


def test_every_so_many_times():
    assert [p.start for p in timeline([fault(at="2 s", every="3 s", times=2)], NET, 100.0)] == [2.0, 5.0]


def test_after_another_and_that_one_after_a_third():
    chain = [fault(name="c", after="b", at="2 s"), fault(name="b", after="a", at="1 s"), fault(name="a", at="3 s")]
    assert {p.name: p.start for p in timeline(chain, NET)} == {"a": 3.0, "b": 5.0, "c": 8.0}


def test_after_one_that_repeats_means_after_its_last():
    chain = [fault(name="a", at="1 s", every="2 s", times=3), fault(name="b", after="a")]
    assert [p.start for p in timeline(chain, NET) if p.name == "b"] == [6.0]


def test_when_a_measure_crosses_a_value(tmp_path):
    condition = {"metric": "backlog", "above": 4.5}
    world, loop, _, folder = make(
        tmp_path, [fault(name="late", at="1 s", when=condition), fault(name="next", after="late")], world=Queueing()
    )
    loop.run()
    assert times(world) == [("disturb", 5.0), ("undo", 6.0), ("disturb", 6.0), ("undo", 7.0)]
    (called,) = events(folder, "fault_called")
    assert called["fault"] == "late" and "backlog 5 is above 4.5" in called["why"]


def test_when_it_has_lasted(tmp_path):
    condition = {"metric": "backlog", "above": 4.5, "lasting": "3 s"}
    world, loop, _, _ = make(tmp_path, [fault(when=condition)], world=Queueing())
    loop.run()
    assert times(world)[0] == ("disturb", 8.0)


def test_a_condition_that_never_comes(tmp_path):
    world, loop, _, _ = make(tmp_path, [fault(when={"metric": "on_time", "below": 0.5})])
    journey = loop.run()
    assert times(world) == [] and loop.shaker.summary() == [] and not journey.invalid


def test_a_stop_condition_reverts_and_ends_the_run_as_unknown(tmp_path):
    limits = Limits(stop=(When(metric="backlog", above=6.5),))
    world, loop, _, folder = make(tmp_path, [fault(at="2 s", **{"for": "15 s"})], limits=limits, world=Queueing())
    journey = loop.run()
    assert times(world) == [("disturb", 2.0), ("undo", 7.0)]
    assert journey.invalid == ["stopped by safety.stop: backlog 7 is above 6.5"]
    assert journey.tasks.resolved == journey.tasks.offered, "what was under way came home"
    assert len(events(folder, "stopped")) == 1


def test_what_exceeds_the_blast_radius_is_withheld(tmp_path):
    two = [
        fault(name="a", kind="node_crash", target="n1", at="2 s", **{"for": "5 s"}),
        fault(name="b", kind="node_crash", target="n2", at="3 s"),
        fault(name="c", kind="node_crash", target="n2", at="8 s"),
    ]
    limits = Limits.of(Safety(nodes=0.34), nodes=3, links=5)
    assert (limits.nodes, limits.links) == (1, 5)
    world, loop, _, folder = make(tmp_path, two, limits=limits)
    loop.run()
    assert times(world) == [("disturb", 2.0), ("undo", 7.0), ("disturb", 8.0), ("undo", 9.0)]
    (withheld,) = events(folder, "fault_withheld")
    assert withheld["fault"] == "b" and "safety allows 1: n1, n2" in withheld["why"]
    assert {f["name"] for f in loop.shaker.summary()} == {"a", "c"}


def area(steps, end, ingress):
    """∫ factor over [first step, end)."""
    mine = [(at, f) for i, at, f in steps if i == ingress]
    return sum(f * (b - a) for (a, f), b in zip(mine, [*(at for at, _ in mine[1:]), end], strict=True))


def test_a_ramp_has_the_area_of_its_line():
    steps = ramp_steps("gw1", Ramp(to=5.0), 10.0, 8.0)
    assert area(steps, 18.0, "gw1") == pytest.approx(8.0 * (1 + 5) / 2)
    assert all(b[2] > a[2] for a, b in pairwise(steps))


def test_bursts_fill_their_duty():
    steps = burst_steps("gw1", Bursts(factor=5.0, period="2 s", duty=0.25), 10.0, 8.0)
    assert area(steps, 18.0, "gw1") == pytest.approx(8.0 * (0.25 * 5 + 0.75))


def test_a_crowd_is_at_one_place_at_a_time():
    steps = crowd_steps("gw1", Crowd(factor=4.0, on=["gw2", "gw1"]), 0.0, 9.0)
    assert steps == [
        ("gw1", 0.0, 4.0), ("gw1", 3.0, 1.0), ("gw2", 3.0, 4.0), ("gw2", 6.0, 1.0), ("gw1", 6.0, 4.0)
    ]  # fmt: skip


def offered(journey, ingress, lo, hi):
    t = journey.tasks.rows()
    own = t["ingress"] == journey.names.ingresses.index(ingress)
    return int(np.count_nonzero(own & (lo <= t["at"]) & (t["at"] < hi)))


def near(count, expected):
    """Within five standard deviations of a Poisson count."""
    return abs(count - expected) <= 5 * expected**0.5


def test_load_faults_on_one_ingress_multiply(tmp_path):
    """10 tasks/s at gw1; 3 times over [10, 30), 2 times over [20, 40)."""
    spikes = [
        Fault(kind="load_spike", target="gw1", at=f"{at} s", overlap=True, **{"for": "20 s", "with": {"factor": f}})
        for at, f in ((10, 3.0), (20, 2.0))
    ]
    _, loop, _, _ = make(tmp_path, spikes, horizon=60.0)
    journey = loop.run()
    for lo, hi, expected in ((10, 20, 300), (20, 30, 600), (30, 40, 200), (40, 60, 200)):
        assert near(offered(journey, "gw1", lo, hi), expected), (lo, hi)
    assert all(f["verified"] for f in loop.shaker.summary())


def test_a_crowd_is_offered_where_it_is_and_verified(tmp_path):
    crowd = Fault(
        kind="flash_crowd", target="gw1", at="10 s", **{"for": "20 s", "with": {"factor": 6.0, "on": ["gw2"]}}
    )
    _, loop, _, _ = make(tmp_path, [crowd], horizon=40.0)
    journey = loop.run()
    for ingress, lo, hi, rate in (("gw1", 10, 20, 60), ("gw1", 20, 40, 10), ("gw2", 0, 20, 10), ("gw2", 20, 30, 60)):
        assert near(offered(journey, ingress, lo, hi), rate * (hi - lo)), (ingress, lo, hi)
    assert [(f["target"], f["verified"]) for f in loop.shaker.summary()] == [("gw2", True), ("gw1", True)]


def test_a_load_fault_called_by_a_measure_acts_from_the_next_tasks_drawn(tmp_path):
    spike = Fault(
        kind="load_spike", target="gw1", at="0 s", when={"metric": "backlog", "above": 9.5},
        **{"for": "20 s", "with": {"factor": 4.0}},
    )  # fmt: skip
    _, loop, _, _ = make(tmp_path, [spike], horizon=60.0, world=Queueing())
    journey = loop.run()
    assert near(offered(journey, "gw1", 0, 12), 120), "drawn two slots ahead"
    assert near(offered(journey, "gw1", 13, 30), 17 * 40) and near(offered(journey, "gw1", 30, 60), 300)


def test_the_pulse_forgets_what_is_older_than_its_window():
    taker, nothing = PulseTaker(1.0), Observation(0, 0.0, (), offered={("gw1", "a"): 3, ("gw2", "a"): 4})
    shares = [taker.take(float(t), 10 * t, 10 * min(t, 4), nothing)["on_time"] for t in range(1, 12)]
    assert shares[:4] == [1.0] * 4 and shares[8:] == [0.0] * 3
    assert shares[6] == pytest.approx(20 / 50)
    assert taker.take(12.0, 0, 0, nothing)["offered"] == 7.0
