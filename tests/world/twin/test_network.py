"""What happens to messages: rates that change, cuts, new paths, crashes, state that moves, losses; in both engines."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.world.twin.engine import DONE, LOST, ON_TIME, STATE
from tests.world.twin.rig import Rig, chain
from tests.world.twin.test_semantics import DIAMOND, engine  # noqa: F401  a fixture

MB = 1e6


@pytest.fixture
def far(engine):  # noqa: F811
    """One service in the east; 1 MB from the gateway takes 1 s on the trunk and 10 ms."""
    rig = Rig(engine, chain("m", size=1 * MB))
    rig.start("m", "b", workers=9)
    rig.engine.push()
    return rig


def test_an_idle_path(far):
    far.task(0.0, 0.1)
    far.run(3.0)
    assert far.of(0)["arrived"] == pytest.approx(1.01, abs=2e-4)


def test_two_messages_share_the_trunk_in_the_order_they_came(far):
    far.task(0.0, 0.1)
    far.task(0.5, 0.1)
    far.run(4.0)
    assert [float(v["arrived"]) for v in far.visits] == pytest.approx([1.01, 2.01], abs=2e-4)


def test_a_squeeze_in_flight_delays_what_is_left(far):
    far.task(0.0, 0.1)
    far.run(0.4)
    far.engine.squeeze(far.lanes("west--east")[0], 0.5)
    far.run(4.0)
    assert far.of(0)["arrived"] == pytest.approx(0.4 + 0.6 / 0.5 + 0.01, abs=1e-3)


def test_and_its_end_speeds_it_up(far):
    far.engine.squeeze(far.lanes("west--east")[0], 0.5)
    far.task(0.0, 0.1)
    far.run(0.4)
    far.engine.squeeze(far.lanes("west--east")[0], 1.0)
    far.run(4.0)
    assert far.of(0)["arrived"] == pytest.approx(0.4 + 0.8 + 0.01, abs=1e-3)


def test_a_track_is_followed_to_the_byte(far):
    far.engine.play(far.lanes("west--east")[0], np.array([0.2, 0.7]), np.array([0.2 * MB, 2.0 * MB]))
    far.task(0.0, 0.1)
    far.run(4.0)
    assert far.of(0)["arrived"] == pytest.approx(0.7 + (1.0 - 0.2 - 0.1) / 2.0 + 0.01, abs=1e-3)


def test_a_cut_loses_what_is_on_the_link_and_tcp_sends_it_again_on_the_new_path(far):
    """Cut at 0.5, known at 1.0. Timers of 0.2 s and a round trip of 20 ms: tries at 0.72 and, doubled, at 1.14."""
    far.task(0.0, 0.1)
    far.run(0.5)
    far.cut("west--east")
    far.run(1.0)
    far.reroute("west--east")
    far.run(4.0)
    again = 0.5 + (0.2 + 0.02) + (0.4 + 0.02)
    assert far.of(0)["arrived"] == pytest.approx(again + 1.0 + 0.2, abs=1e-3)
    assert far.answer(0)["attempts"] == 1  # the gateway never knew


def test_what_comes_while_a_connection_waits_goes_with_it_and_in_order(far):
    far.task(0.0, 0.1)
    far.run(0.5)
    far.cut("west--east")
    far.task(0.6, 0.1)
    far.run(1.0)
    far.reroute("west--east")
    far.run(6.0)
    first, second = (float(far.of(k)["arrived"]) for k in (0, 1))
    assert second == pytest.approx(first + 1.0, abs=1e-3)


def test_a_cut_spares_what_has_passed_and_what_is_elsewhere(engine):  # noqa: F811
    rig = Rig(engine, chain("m", size=1 * MB))
    rig.start("m", "a", workers=9)
    rig.engine.push()
    rig.task(0.0, 0.1)
    rig.cut("west--east")
    rig.run(3.0)
    assert rig.of(0)["arrived"] < 0.001


def test_packets_of_messages_that_come_together_are_interleaved(engine):  # noqa: F811
    """Two nodes send to the west at once, 1 MB and 0.1 MB: each gets half of the trunk while both flow."""
    rig = Rig(engine, chain("m", "n", size=1 * MB), chain("k", "n", size=0.1 * MB), packet=1000.0)
    rig.start("m", "b")
    rig.start("k", "c")
    rig.start("n", "a", workers=9)
    rig.engine.push()
    rig.task(0.0, 3.0 - 1.01, 0.1)  # both first stages end at about t = 3
    rig.task(1.0, 2.0 - 0.11, 0.1, type=1)
    rig.run(9.0)
    big, small = rig.of(0, 1)["arrived"], rig.of(1, 1)["arrived"]
    assert small < big and small - 3.0 < 0.25 and big - 3.0 == pytest.approx(1.1 + 0.01, abs=0.02)


# -- crashes


def crashed(rig, member, node, known):
    """The node loses its power now; the run knows at `known`."""
    rig.engine.kill(member)
    rig.cut(f"{node}--{'west' if node == 'a' else 'east'}")
    rig.run(known)
    rig.engine.bury(member)


def test_a_crash_takes_what_it_held_and_the_gateway_sends_it_again(engine):  # noqa: F811
    rig = Rig(engine, chain("m"))
    victim = rig.start("m", "a")
    rig.engine.push()
    rig.task(0.01, 1.0)
    rig.run(0.5)
    spare = rig.start("m", "b")
    crashed(rig, victim, "a", known=1.0)
    rig.run(4.0)
    assert [(int(v["member"]), int(v["outcome"])) for v in rig.visits] == [(victim, LOST), (spare, DONE)]
    assert rig.visits[1]["arrived"] == pytest.approx(1.01, abs=1e-3)
    assert rig.answer(0)["attempts"] == 2 and rig.answer(0)["outcome"] == ON_TIME


def test_a_request_sent_to_the_dead_before_that_is_known_is_sent_again_too(engine):  # noqa: F811
    rig = Rig(engine, chain("m", size=100.0))
    victim = rig.start("m", "b")
    rig.engine.push()
    rig.run(0.5)
    spare = rig.start("m", "c")
    rig.engine.kill(victim)
    rig.cut("b--east")
    rig.task(0.6, 0.1)  # routed by a view that knows nothing … to the one it shows alone
    rig.run(1.0)
    rig.engine.bury(victim)
    rig.run(4.0)
    assert rig.of(0)["member"] in (spare, victim) and rig.answer(0)["outcome"] == ON_TIME


def test_a_result_that_had_not_left_the_dead_node_is_made_again(engine):  # noqa: F811
    """The first stage is done and its 1 MB are on the trunk's way when the node dies: its last report said so."""
    rig = Rig(engine, chain("m", "n", size=1 * MB))
    victim = rig.start("m", "a")
    rig.start("n", "b")
    rig.engine.push()
    rig.task(0.01, 0.45)
    rig.run(0.7)
    spare = rig.start("m", "a")
    rig.engine.kill(victim)
    rig.engine.set_lane(rig.lanes("west--east")[0], False)
    rig.engine.set_lane(rig.lanes("west--east")[0], True)
    rig.run(1.2)
    rig.engine.bury(victim)
    rig.run(6.0)
    assert [int(v["member"]) for v in rig.visits if v["stage"] == 0] == [victim, spare]
    assert rig.answer(0)["attempts"] == 2 and rig.answer(0)["outcome"] == ON_TIME


def test_a_task_whose_join_was_bound_to_the_dead_is_sent_again(engine):  # noqa: F811
    rig = Rig(engine, DIAMOND)
    for service in "mn":
        rig.start(service, "b", workers=9)
    victim = rig.start("k", "a")
    rig.engine.push()
    rig.task(0.01, 0.8, 0.9, 0.1)
    rig.run(0.3)
    spare = rig.start("k", "b")
    crashed(rig, victim, "a", known=0.6)
    rig.run(5.0)
    assert rig.of(0, 2)["member"] == spare and rig.answer(0)["attempts"] == 2


# -- state


def test_state_takes_its_time_on_the_network(engine):  # noqa: F811
    rig = Rig(engine, chain("m"))
    old, new = rig.start("m", "b"), rig.start("m", "a")
    rig.run(0.5)
    rig.engine.fetch(old, new, 2 * MB)
    rig.run(4.0)
    assert [(what, member) for _, what, member in rig.signals] == [(STATE, new)]
    assert rig.signals[0][0] == pytest.approx(0.5 + 2.0 + 0.01, abs=1e-3)


# -- losses


def test_losses_cost_round_trips_and_now_and_then_a_timer(engine):  # noqa: F811
    """Small messages on an idle path: one packet each, so every loss is a tail loss: 0.2 s and a round trip."""
    rig = Rig(engine, chain("m", size=1000.0), packet=1500.0)
    rig.start("m", "b", workers=99)
    rig.engine.push()
    rig.engine.shape(rig.lanes("west--east")[0], 0.010, 0.0, 0.05)
    for k in range(2000):
        rig.task(0.1 * k, 0.0)
    rig.run(210.0)
    late = np.array([float(v["arrived"]) - 0.1 * float(v["task"]) for v in rig.visits])
    hit = late > 0.1
    assert late[~hit] == pytest.approx(0.011, abs=1e-4)
    assert np.mean(hit) == pytest.approx(0.05, abs=5 * (0.05 * 0.95 / 2000) ** 0.5)
    once = np.abs(late - (0.011 + 0.22)) < 1e-3
    assert np.count_nonzero(hit & ~once) < 0.2 * np.count_nonzero(hit)


def test_jitter_varies_single_packets_by_its_deviation(engine):  # noqa: F811
    rig = Rig(engine, chain("m", size=1000.0), packet=1500.0)
    rig.start("m", "b", workers=99)
    rig.engine.push()
    rig.engine.shape(rig.lanes("west--east")[0], 0.050, 0.002, 0.0)
    for k in range(2000):
        rig.task(0.1 * k, 0.0)
    rig.run(210.0)
    late = np.array([float(v["arrived"]) - 0.1 * float(v["task"]) for v in rig.visits])
    assert np.mean(late) == pytest.approx(0.051, abs=5 * 0.002 / 2000**0.5)
    assert np.std(late) == pytest.approx(0.002, rel=0.15)


def test_a_first_request_pays_for_its_connection(engine):  # noqa: F811
    rig = Rig(engine, chain("m"), handshake=True)
    rig.start("m", "b")
    rig.engine.push()
    rig.task(0.0, 0.1)
    rig.task(1.0, 0.1)
    rig.run(3.0)
    assert rig.of(0)["arrived"] == pytest.approx(0.03) and rig.of(1)["arrived"] == pytest.approx(1.01)


def test_a_small_window_waits_for_acknowledgements(engine):  # noqa: F811
    """100 kB in windows of 5, 10, 20 … kB at 1 MB/s and 20 ms: 15, 10 and 0 ms of idling."""
    rig = Rig(engine, chain("m", size=0.1 * MB), window=5e3)
    rig.start("m", "b")
    rig.engine.push()
    rig.task(0.0, 0.1)
    rig.run(3.0)
    assert rig.of(0)["arrived"] == pytest.approx(0.1 + 0.01 + 0.015 + 0.010, abs=1e-3)
