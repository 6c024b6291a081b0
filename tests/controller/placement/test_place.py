"""What `place` says: concessions of small instances, reasons of infeasible ones, unserved demand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model import Core, Costs, Model, Node, Paths
from controller.placement import METHODS, Infeasible, LimitReached, PlacementParameters, place
from tests.controller.instances import GB, MILLI, small


def with_nodes(model: Model, **changes: float) -> Model:
    return replace(model, nodes=tuple(replace(v, **changes) for v in model.nodes))


def reason(model: Model, parameters: PlacementParameters | None = None, backend: str | None = None) -> str:
    with pytest.raises(Infeasible) as caught:
        place(model, parameters, backend)
    return str(caught.value)


def test_memory_that_no_node_has() -> None:
    model = small()
    model = replace(model, core=(model.core[0], replace(model.core[1], memory=28 * GB)))
    assert reason(model) == "llm needs 28.0 GB memory; the largest node, n3, has 24.0 GB free: 4.0 GB too little"


def test_cores_that_no_node_has_once_light_services_have_theirs() -> None:
    model = small()
    model = replace(model, core=(replace(model.core[0], cpu=12), model.core[1]))
    assert reason(model) == (
        "vision needs 12.0 cores; the largest node, n3, has 9.6 free (16.0 less 40% kept for light services): "
        "2.4 cores too few"
    )


def test_cores_and_memory_that_no_one_node_has_together() -> None:
    model = small()
    fat, fast = Node("fat", "west", 4, 64 * GB), Node("fast", "east", 64, 4 * GB)
    model = replace(model, nodes=(fat, fast), core=(replace(model.core[0], cpu=6, memory=16 * GB), model.core[1]))
    assert "vision needs 16.0 GB memory and 6.0 cores on one node" in reason(model)
    assert "fat has most cores, 2.4 free: 3.6 cores too few" in reason(model)


def test_every_service_without_a_home_is_named() -> None:
    said = reason(with_nodes(small(), memory=1 * GB))
    assert "vision needs 8.0 GB" in said
    assert "llm needs 12.0 GB" in said


@pytest.mark.parametrize("backend", METHODS)
def test_services_that_fit_alone_but_not_together(backend: str) -> None:
    """Three nodes of 12 GB for two instances of 8 GB and two of 12 GB: 4 GB too little in all, wherever they stand.

    Two llm fill two nodes; two visions need 16 GB of the last one's 12, or 8 on a node that is full.
    """
    assert reason(with_nodes(small(), memory=12 * GB), backend=backend).startswith(
        "2 instances of llm need 24.0 GB memory beside 2 of vision (16.0); the nodes have 36.0 free in all: "
    )


def test_the_shortage_is_the_least_possible_one() -> None:
    """Two nodes with 9.6 and 9.6 cores free for two instances each of 6 and 5: 1.4 missing on either."""
    nodes = (Node("a", "west", 16, 64 * GB), Node("b", "east", 16, 64 * GB))
    model = small()
    model = replace(model, nodes=nodes, core=(replace(model.core[0], cpu=6), replace(model.core[1], cpu=5)))
    model = replace(model, paths=_everywhere(model))
    assert reason(model) == (
        "2 instances of vision need 12.0 cores beside 2 of llm (10.0); the nodes have 19.2 free in all, "
        "40% kept for light services: 2.8 cores too few (missing on a 1.4, b 1.4)"
    )


def test_room_in_pieces_too_small_is_said_to_be_such() -> None:
    """Four instances of 10 GB on three nodes of 16 GB: 40 of 48, but two have to share a node and miss 4."""
    model = with_nodes(small(), memory=16 * GB)
    model = replace(model, core=tuple(replace(m, memory=10 * GB) for m in model.core))
    assert "48.0 free in all, but not on the nodes where they fit: 4.0 GB memory too little" in reason(model)


def test_survivors_that_can_not_carry_the_load() -> None:
    """Each service alone could have both large nodes; together they get one each beside a slow one."""
    nodes = (Node("a", "west", 8, 64 * GB), Node("b", "east", 8, 64 * GB), Node("c", "east", 8, 64 * GB, speed=0.01))
    model = small()
    model = replace(model, nodes=(*nodes, Node("d", "west", 8, 64 * GB, speed=0.01)), load=60.0)
    model = replace(model, paths=_everywhere(model))
    said = reason(model)
    assert "after the loss of one node its survivors carry" in said
    assert "sigma 1 times the nominal load" in said


def test_one_node_gets_what_one_node_can_and_says_so() -> None:
    model = replace(small(), nodes=(Node("n1", "west", 32, 64 * GB),))
    found = place(model)
    assert found.instances == {"vision": ("n1",), "llm": ("n1",)}
    assert "vision: 1 of 2 replicas asked for" in found.explanation
    assert "llm: after the loss of one node 0.0 of 20.0 requests/s survive at best" in found.explanation


def test_one_domain_keeps_the_replicas_and_gives_up_diversity() -> None:
    model = small()
    model = replace(model, nodes=tuple(replace(v, domain="west") for v in model.nodes))
    found = place(model)
    assert min(len(hosts) for hosts in found.instances.values()) >= 2
    assert "llm: 1 of 2 domains asked for" in found.explanation


def test_an_ingress_without_a_path_is_unserved_and_counted() -> None:
    model = small()
    reachable = {pair: d for pair, d in model.paths.delay.items() if "gw2" not in pair}
    found = place(replace(model, paths=Paths(reachable, model.paths.per_byte)))
    assert found.unserved == pytest.approx({"vision": 0.4, "llm": 0.4})
    assert not any(o == "gw2" for _, o, _ in found.flows)


def test_an_ingress_or_a_type_without_load_takes_no_part() -> None:
    model = small()
    gw1, gw2 = model.ingresses
    found = place(replace(model, ingresses=(replace(gw1, weight=1.0), replace(gw2, weight=0.0))))
    assert {o for _, o, _ in found.flows} == {"gw1"}
    vqa, chat = model.tasks
    found = place(replace(model, tasks=(replace(vqa, share=0.0), replace(chat, share=1.0))))
    assert found.instances["vision"] == ()
    assert len(found.instances["llm"]) == 2


def test_no_core_service_at_all() -> None:
    found = place(replace(small(), core=(), tasks=()), None)
    assert (found.status, found.instances, found.objective) == ("optimal", {}, 0.0)


def test_no_nodes_at_all() -> None:
    assert "needs a node and an ingress" in reason(replace(small(), nodes=()))


def test_a_limit_without_a_placement_is_not_called_infeasible() -> None:
    with pytest.raises(LimitReached, match="raise the limit"):
        place(small(), seconds=0.0)


def test_the_same_instance_gives_the_same_placement() -> None:
    assert place(small()) == place(small())


def test_names_that_differ_in_punctuation_stay_apart() -> None:
    """PuLP turns - into _ in names: a-b and a_b must not become one variable."""
    model = small()
    twin = Core("a_b", 40 * MILLI, 1, 1 * GB, 2, 1, Costs(20, 4))
    rename = {"vision": "a-b", "llm": "a_b"}
    tasks = tuple(
        replace(n, stages=tuple(replace(s, service=rename.get(s.service, s.service)) for s in n.stages))
        for n in model.tasks
    )
    found = place(replace(model, core=(replace(twin, name="a-b"), twin), tasks=tasks))
    assert len(found.instances["a-b"]) == len(found.instances["a_b"]) == 2


def _everywhere(model: Model) -> Paths:
    ends = [x.name for x in (*model.nodes, *model.ingresses)]
    pairs = [(a, b) for a in ends for b in ends if a != b]
    return Paths(dict.fromkeys(pairs, 0.005), dict.fromkeys(pairs, 8e-9))
