"""The busiest node is found by the placement's flows, by hand on a small case."""

from pathlib import Path

from testbed.run.prepare import busiest, prepare

SCENARIO = Path(__file__).parents[1] / "live_run" / "short.yaml"
CRASH = "faults=[{name: crash, kind: node_crash, target: busiest node, at: 3 s, for: 1 s}]"


def test_the_busiest_node_carries_the_most_core_work() -> None:
    prepared = prepare(SCENARIO, (CRASH,), "twin")
    model, placement = prepared.resolved.model, prepared.placement
    weights = {o.name: o.weight for o in model.ingresses}
    (see,) = model.core  # one core service, one visit a task
    load = {v.name: 0.0 for v in model.nodes}
    for (_, o, v), z in placement.flows.items():
        load[v] += weights[o] * z * see.work / model.node(v).speed
    assert max(load.values()) > 0
    assert load[busiest(model, placement)] == max(load.values())
    assert prepared.planned[0].fault.target == busiest(model, placement)


def test_without_flows_instances_share_evenly() -> None:
    prepared = prepare(SCENARIO, (CRASH, "policy.name=nearest"), "twin")
    assert prepared.planned[0].fault.target in prepared.placement.instances["see"]
