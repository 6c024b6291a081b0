"""What each kind does with the verbs: which links, which shapes; without a machine."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from testbed.faults.base import load_kind, timeline
from testbed.scenario.model import Fault
from testbed.topology.build import build
from testbed.topology.model import Topology
from testbed.world.base import Disturbance
from testbed.world.troubles import Troubles

RING = build({"generator": "ring", "sites": 5, "nodes": ["big"]}, ["big"], 1)
MESH = build({"generator": "metro", "clusters": 4, "nodes": ["big"]}, ["big"], 1)


@dataclass
class Notes:
    """A ground that notes what is asked of it."""

    topology: Topology
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def disturb(self, verb: str, target: str, shape: Any) -> Disturbance:
        self.asked.append((verb, target, dict(shape)))
        return Disturbance(f"{verb}:{target}", verb, target, shape, 0.0, True, "noted")

    def undo(self, disturbance: Disturbance) -> Disturbance:
        return disturbance


def asked(
    kind: str, target: str, topology: Topology = RING, **parameters: Any
) -> list[tuple[str, str, dict[str, Any]]]:
    module, notes = load_kind(kind), Notes(topology)
    made = module.apply(notes, target, module.Parameters(**parameters))
    assert len(made) == len(notes.asked)
    return notes.asked


@pytest.mark.parametrize(
    ("kind", "parameters", "shape"),
    [
        ("bandwidth_drop", {"keep": 0.4}, {"rate_factor": 0.4}),
        ("delay_spike", {"add": "30 ms"}, {"delay_add": 0.03}),
        ("jitter", {"deviation": "2 ms", "law": "uniform"},
         {"jitter": 0.002, "jitter_law": "uniform", "jitter_correlation": 0.0}),
        ("loss", {"share": 0.05, "burst": 4}, {"loss": 0.05, "loss_burst": 4.0}),
        ("duplicate", {"share": 0.1}, {"duplicate": 0.1}),
        ("reorder", {"share": 0.1}, {"reorder": 0.1}),
        ("corrupt", {"share": 0.1}, {"corrupt": 0.1}),
    ],
)  # fmt: skip
def test_shapes(kind, parameters, shape):
    for target in ("s1--s2", "s2->s1"):
        assert asked(kind, target, **parameters) == [("link_shape", target, shape)]


def cut(kind: str, target: str, topology: Topology, **parameters: Any) -> set[str]:
    found = asked(kind, target, topology, **parameters)
    assert all((verb, shape) == ("link_state", {"up": False}) for verb, _, shape in found)
    return {name for _, name, _ in found}


def trunks(topology: Topology) -> set[str]:
    return {k.name for k in topology.links if k.role == "trunk"}


def test_a_dead_switch_takes_all_its_links():
    assert cut("switch_crash", "s1", MESH) == {k.name for k in MESH.links if "s1" in (k.a, k.b)}


def groups(topology: Topology, down: set[str]) -> set[frozenset[str]]:
    """Sites that still reach each other."""
    left = {s.name: {s.name} for s in topology.sites}
    for k in topology.links:
        if k.role == "trunk" and k.name not in down:
            joined = left[k.a] | left[k.b]
            for s in joined:
                left[s] = joined
    return {frozenset(g) for g in left.values()}


def test_isolate():
    for t in (RING, MESH):
        sizes = sorted(len(g) for g in groups(t, cut("partition", "s2", t, shape="isolate")))
        assert sizes == [1, len(t.sites) - 1]


def test_halves():
    found = groups(RING, cut("partition", "s1", RING, shape="halves"))
    assert sorted(map(len, found)) == [2, 3] and frozenset({"s1", "s2", "s5"}) in found
    assert sorted(map(len, groups(MESH, cut("partition", "s1", MESH, shape="halves")))) == [2, 2]


def test_a_bridge_reaches_both_halves():
    down = cut("partition", "s1", MESH, shape="bridge")
    assert groups(MESH, down) == {frozenset(s.name for s in MESH.sites)}
    assert not {k.name for k in MESH.links if "s1" in (k.a, k.b)} & down
    without = down | {k.name for k in MESH.links if "s1" in (k.a, k.b)}
    assert len(groups(MESH, without)) == 3, "without the bridge the halves do not meet"


def test_a_ring_leaves_each_site_two_neighbours():
    left = trunks(MESH) - cut("partition", "s1", MESH, shape="ring")
    degree = {s.name: sum(s.name in k.split("--") for k in left) for s in MESH.sites}
    assert set(degree.values()) == {2} and len(left) == len(MESH.sites)


def test_a_flapping_link_is_down_for_its_duty():
    flap = Fault(
        kind="link_flap", target="s1--s2", at="10 s", **{"for": "7 s", "with": {"period": "2 s", "duty": 0.25}}
    )
    planned = timeline([flap], RING, 60.0)
    assert [(p.start, p.length) for p in planned] == [(10.0, 0.5), (12.0, 0.5), (14.0, 0.5), (16.0, 0.5)]
    assert all(p.links == ("s1--s2",) for p in planned)


def test_a_link_follows_a_trace_of_shares_again_and_again():
    """Steps of 1 s: 0.5, 1, 0.2, 0.5, 1, 0.2, 0.5; where all of it is left, nothing is in force."""
    trace = {"keep": [0.5, 1, 0.2], "step": "1 s"}
    planned = timeline([Fault(kind="link_trace", target="s1--s2", at="10 s", **{"for": "6.5 s", "with": trace})], RING)
    assert [(p.start, p.length) for p in planned] == [(10, 1), (12, 1), (13, 1), (15, 1), (16, 0.5)]
    made = [p.apply(Notes(RING), p.fault.target, p.parameters)[0].shape["rate_factor"] for p in planned]
    assert made == [0.5, 0.2, 0.5, 0.2, 0.5]
    with pytest.raises(ValidationError, match="one below 1"):
        load_kind("link_trace").Parameters(keep=[1, 1])


def test_a_load_follows_a_trace_of_factors():
    module = load_kind("load_trace")
    parameters = module.Parameters(factors=[2, 0.5], step="1 s")
    assert module.steps("gw1", parameters, 5.0, 3.0) == [("gw1", 5, 2), ("gw1", 6, 0.5), ("gw1", 7, 2)]


def test_several_targets_are_one_fault_with_all_their_links():
    several = Fault(kind="node_crash", target=", ".join(v.name for v in MESH.nodes[:2]), **{"for": "1 s"})
    names = {v.name for v in MESH.nodes[:2]}
    (planned,) = timeline([several], MESH)
    assert planned.fault.targets == tuple(v.name for v in MESH.nodes[:2])
    assert planned.links == tuple(k.name for k in MESH.links if k.role == "node" and names & {k.a, k.b})


def test_links_that_a_fault_touches_are_known_beforehand():
    crash = Fault(kind="node_crash", target=MESH.nodes[0].name, **{"for": "1 s"})
    assert timeline([crash], MESH)[0].links == tuple(k.name for k in MESH.links if MESH.nodes[0].name in (k.a, k.b))
    switch = Fault(kind="switch_crash", target="s1", **{"for": "1 s"})
    assert set(timeline([switch], MESH)[0].links) == cut("switch_crash", "s1", MESH)


@pytest.mark.parametrize(
    ("kind", "target", "parameters", "verb", "shape"),
    [
        ("node_pause", "n1", {}, "node_pause", {}),
        ("cpu_squeeze", "n1", {"keep": 0.2}, "node_cpu", {"keep": 0.2}),
        ("slow_service", "cut", {"factor": 2}, "pace", {"factor": 2.0}),
        ("service_kill", "cut", {}, "kill", {"all": False}),
        ("service_hang", "cut", {"all": True}, "service_pause", {"all": True}),
        ("service_errors", "cut", {"share": 0.1}, "errors", {"share": 0.1}),
        ("stale_view", "control", {}, "stale_view", {}),
        ("docker_slow", "control", {"delay": "300 ms"}, "docker_slow", {"delay": 0.3}),
        ("controller_lost", "control", {}, "controller_lost", {}),
        ("controller_slow", "control", {"delay": "1.5 s"}, "controller_slow", {"delay": 1.5}),
        ("docker_failing", "control", {"share": 0.4}, "docker_failing", {"share": 0.4}),
        ("memory_squeeze", "n1", {"keep": 0.1}, "node_memory", {"keep": 0.1}),
        ("node_restart", "n1", {}, "node_state", {"up": False, "again": True}),
        ("wrong_profile", "cut", {"factor": 2}, "profile", {"factor": 2.0}),
    ],
)
def test_services_nodes_and_control(kind, target, parameters, verb, shape):
    assert asked(kind, target, **parameters) == [(verb, target, shape)]


def test_troubles_multiply_on_their_own_targets():
    troubles = Troubles(idle=True)
    troubles.set("a", "pace", "cut", {"factor": 3.0})
    troubles.set("b", "pace", "n1", {"factor": 2.0})
    troubles.set("c", "node_cpu", "n1", {"keep": 0.5})
    troubles.set("d", "errors", "cut", {"share": 0.5})
    troubles.set("e", "errors", "cut", {"share": 0.2})
    assert troubles.pace("cut", "n1") == 12.0 and troubles.pace("cut", "n2") == 3.0
    assert troubles.pace("see", "n1") == 4.0
    assert troubles.errors("cut") == pytest.approx(0.6) and troubles.errors("see") == 0.0
    assert troubles.keep("n1") == 0.5 and troubles.keep("n2") == 1.0
    for name in "abcde":
        troubles.set(name, "", "", None)
    assert (troubles.pace("cut", "n1"), troubles.errors("cut"), troubles.keep("n1")) == (1.0, 0.0, 1.0)
    busy = Troubles(idle=False)
    busy.set("c", "node_cpu", "n1", {"keep": 0.5})
    assert busy.pace("cut", "n1") == 1.0, "where a request burns its CPU, the quota alone makes it longer"
