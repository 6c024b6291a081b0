"""Faults by hand: checked as a scenario's are, applied, healed and withheld by the run's own Shaker (in the twin)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from testbed.errors import CannotRun, InputError
from testbed.hands.injection import fault_of
from testbed.hands.wire import Inject
from testbed.run.prepare import Prepared, prepare
from testbed.run.shaker import Limits, Shaker
from testbed.world.base import Disturbance
from tests.live_run.kit import SCENARIO


class Still:
    """A world of which only the verbs and the clock are asked; what it is told to refuse, it refuses."""

    name = "still"
    can = frozenset({"state", "rate"})

    def __init__(self) -> None:
        self.time, self.refuses = 2.0, ""
        self.held: list[str] = []

    def now(self) -> float:
        return self.time

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        if target == self.refuses:
            raise CannotRun(f"{target} can't")
        self.held.append(target)
        return Disturbance(f"{verb}:{target}", verb, target, shape, self.time, True, "seen")

    def undo(self, disturbance: Disturbance) -> Disturbance:
        self.held.remove(disturbance.target)
        return Disturbance(**{k: getattr(disturbance, k) for k in disturbance.__slots__} | {"reverted_at": self.time})


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(SCENARIO, ["faults=[]", "bandwidth=[]"], "live", held=100.0)


@pytest.fixture
def world() -> Still:
    return Still()


@pytest.fixture
def shaker(prepared: Prepared, world: Still) -> Shaker:
    return Shaker(world, prepared.source(), [], _Notes(), prepared.resolved.topology, Limits(links=1))  # type: ignore[arg-type]


class _Notes(list[tuple[str, dict[str, Any]]]):
    def __call__(self, kind: str, planned: float | None = None, actual: float | None = None, **data: Any) -> None:
        self.append((kind, data))


def asked(**more: Any) -> Inject:
    return Inject(**{"kind": "link_down", "target": "s1--s2", "for": "10 s"} | more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"kind": "link_dwon"}, "inject: kind: there is no fault 'link_dwon'. Did you mean 'link_down'?"),
        ({"target": "s1--s9"}, "there is no link 's1--s9'"),
        ({"target": "n1"}, "'n1' is a node, no target"),
        ({"for": "10"}, "has no unit"),
        ({"for": "0 s"}, "inject: for: "),
        ({"for": "99 s"}, "99 s is more than 98 s: then the testbed ends by itself"),
        ({"with": {"up": True}}, "there is no key 'up'"),
        ({"kind": "bandwidth_drop", "with": {"keep": 7}}, "inject: with.keep: "),
        ({"name": "a b\n"}, "inject: name: "),
    ],
)
def test_mistakes_in_the_words_of_check(prepared: Prepared, shaker: Shaker, more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        fault_of(asked(**more), prepared, shaker, 0)
    assert says in str(error.value)


def test_what_this_world_cant(prepared: Prepared, shaker: Shaker) -> None:
    with pytest.raises(CannotRun, match="loss changes loss, which the still world can't"):
        fault_of(asked(kind="loss"), prepared, shaker, 0)


def test_in_force_healed_and_recorded(prepared: Prepared, shaker: Shaker, world: Still) -> None:
    fault = fault_of(asked(), prepared, shaker, 0)
    assert (fault.name, fault.at) == ("link_down_h1", 2.0)
    shaker.inject(fault)
    assert world.held == ["s1--s2"] and shaker.active() == ["link_down_h1"] and shaker.next_edge(2.0) == 12.0
    with pytest.raises(InputError, match="`heal link_down_h1` first"):
        fault_of(asked(target="s2--s1"), prepared, shaker, 1)
    world.time = 5.0
    with pytest.raises(InputError, match="Did you mean 'link_down_h1'"):
        shaker.heal("link_down_h2")
    assert [p.name for p in shaker.heal(None)] == ["link_down_h1"]
    assert world.held == [] and shaker.heal(None) == []
    assert [(f["planned_at_s"], f["applied_at_s"], f["reverted_at_s"]) for f in shaker.summary()] == [(2.0, 2.0, 5.0)]
    assert isinstance(shaker.note, _Notes)
    assert [kind for kind, _ in shaker.note] == ["fault_injected", "fault_applied", "fault_reverted"]


def test_safety_holds(prepared: Prepared, shaker: Shaker, world: Still) -> None:
    shaker.inject(fault_of(asked(), prepared, shaker, 0))
    (second,) = shaker.inject(fault_of(asked(target="s1--s3"), prepared, shaker, 1))
    assert "safety allows 1" in second.withheld and world.held == ["s1--s2"]


def test_half_a_fault_is_taken_back(prepared: Prepared, shaker: Shaker, world: Still) -> None:
    """A switch has several links; the world refuses the last one."""
    shaker.limits = Limits()
    links = [k.name for k in prepared.resolved.topology.links if "s1" in (k.a, k.b)]
    world.refuses = links[-1]
    (p,) = shaker.inject(fault_of(asked(kind="switch_crash", target="s1"), prepared, shaker, 0))
    assert p.withheld == f"{links[-1]} can't" and world.held == [] and shaker.standing() == []


def test_the_rest_of_a_flap_is_off_once_healed(prepared: Prepared, shaker: Shaker, world: Still) -> None:
    shaker.inject(fault_of(asked(kind="link_flap"), prepared, shaker, 0))
    shaker.heal("link_flap_h1")
    world.time = 9.0
    assert not shaker.fire(9.0) and world.held == []


def test_a_load_fault_begins_with_what_is_not_handed_out(prepared: Prepared, shaker: Shaker, world: Still) -> None:
    shaker.source.until(3.0)
    (p,) = shaker.inject(
        fault_of(asked(kind="load_spike", target="gw1", **{"with": {"factor": 5}}), prepared, shaker, 0)
    )
    assert p.start == 3.0
    shaker.shape_load(13.5)
    shaker.source.until(13.5)
    world.time = 3.0
    shaker.fire(3.0)
    world.time = 13.0
    shaker.fire(13.0)
    (fact,) = shaker.summary()
    assert fact["verified"], fact["evidence"]
    usual, spiked = shaker.source.expected("gw1", 0.0, 3.0) / 3.0, shaker.source.expected("gw1", 3.0, 13.0) / 10.0
    assert spiked == pytest.approx(5 * usual)


def test_held_open_the_law_goes_on() -> None:
    """The same tasks as the scenario's own run, and then more; a ramp stays where it arrived."""
    sets = ["faults=[]", "bandwidth=[]"]
    own, held = prepare(SCENARIO, sets, "live"), prepare(SCENARIO, sets, "live", held=60.0)
    assert (own.horizon, held.horizon, held.scenario.claims) == (8.0, 60.0, [])
    short, source = own.source().until(8.0), held.source()
    assert source.until(8.0).at.tolist() == short.at.tolist()
    assert len(source.until(60.0)) > 3 * len(short)
    ramp = prepare(SCENARIO, [*sets, "arrivals.law=ramp", "arrivals.ramp_to=3"], "live", held=60.0).source()
    rates = [ramp.expected("gw1", 0.0, 0.0)]
    ramp.until(60.0)
    rates = [ramp.expected("gw1", a, a + 0.1) for a in (7.95, 30.0, 59.0)]
    assert rates == pytest.approx([rates[1]] * 3, rel=0.02)


def test_too_short_to_be_held() -> None:
    with pytest.raises(InputError, match="the warm-up alone takes 1 s"):
        prepare(SCENARIO, [], "live", held=0.5)
