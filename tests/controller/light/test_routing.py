"""The pure functions every sender calls: estimate, route, what lies ahead, admit, and the wire form of their view."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.light import routing
from controller.light.routing import (
    INFINITY,
    MOST_TOLL,
    NO_WAY,
    RULES,
    SURE,
    StageSpec,
    Target,
    TypeSpec,
    View,
    Way,
    admit,
    ahead,
    bind,
    completion,
    estimate,
    hopeless,
    left,
    route,
    turn,
)

ENDS = ("gw1", "n1", "n2", "n3")


def view(*targets: Target, service: str = "image", delay: float = 0.01, per_byte: float = 1e-8) -> View:
    """All pairs `delay` apart, n3 cut off."""
    matrix = tuple(tuple(0.0 if a == b else INFINITY if "n3" in (a, b) else delay for b in ENDS) for a in ENDS)
    rate = tuple(tuple(0.0 if a == b else per_byte for b in ENDS) for a in ENDS)
    return View({service: targets}, {e: i for i, e in enumerate(ENDS)}, matrix, rate)


def at(
    id_: str, node: str = "n1", workers: int = 2, backlog: int = 0, mean: float = 0.05, drain: bool = False
) -> Target:
    return Target(id_, node, "10.0.0.1", 7000, workers, backlog, mean, drain)


def test_estimate_is_path_plus_service_plus_wait() -> None:
    """net = 10 ms + 1 MB · 10 ns = 20 ms; x̄ 50 ms; backlog 4, p 2: (4 + 1 − 2) · 50/2 = 75 ms."""
    v = view(at("a", backlog=4))
    assert estimate(v, v.targets["image"][0], "gw1", 1e6) == pytest.approx(0.020 + 0.050 + 0.075)
    own = estimate(v, v.targets["image"][0], "gw1", 1e6, extra=2)
    assert own == pytest.approx(0.040 + 0.050 + 0.125), "3 MB are on the way with this one; two more wait"
    assert estimate(v, v.targets["image"][0], "n1", 1e6) == pytest.approx(0.125), "the same node costs no path"
    assert estimate(v, v.targets["image"][0], "elsewhere", 1e6) == INFINITY


def test_route_takes_the_least_estimate_and_counts_its_own_requests() -> None:
    v = view(at("a", "n1", backlog=1), at("b", "n2", backlog=3))
    first = route(v, "image", "gw1", 0)
    assert first is not None and first.id == "a"
    second = route(v, "image", "gw1", 0, local={"a": 4})
    assert second is not None and second.id == "b"


def test_own_requests_on_the_way_fill_the_link_that_a_large_one_needs() -> None:
    """No wait for a worker at either; a's link is nearer by 5 ms, but 1 MB of ours is on it: 10 ms."""
    v = view(at("a", "n1", workers=9), at("b", "n1", workers=9, mean=0.055))
    one, two = route(v, "image", "gw1", 1e6), route(v, "image", "gw1", 1e6, local={"a": 1})
    assert (one and one.id, two and two.id) == ("a", "b")
    small = route(v, "image", "gw1", 1e3, local={"a": 1})
    assert small is not None and small.id == "a", "a thousandth of it is not worth the 5 ms"


def with_toll(v: View, amount: float) -> View:
    """n2 pays from everywhere, other ends nothing."""
    toll = tuple(tuple(amount if b == "n2" and a != b else 0.0 for b in ENDS) for a in ENDS)
    return View(v.targets, v.index, v.delay, v.per_byte, v.rule, toll)


def test_a_toll_keeps_bytes_away_until_the_queue_is_worth_it() -> None:
    """x̄ 50 ms, p 2, so a request more is 25 ms of waiting; 1 MB pays 1 MB · 100 ns = 100 ms for n2."""
    for backlog, chosen in ((1, "near"), (4, "near"), (6, "far"), (20, "far")):
        v = with_toll(view(at("near", "n1", backlog=backlog), at("far", "n2", backlog=0)), 100e-9)
        found = route(v, "image", "gw1", 1e6)
        assert found is not None and found.id == chosen, backlog
    for backlog, chosen in ((6, "near"), (8, "far")):  # at most 3 x̄ = 150 ms, which are six requests
        v = with_toll(view(at("near", "n1", backlog=backlog), at("far", "n2", backlog=0)), 1.0)
        found = route(v, "image", "gw1", 1e6)
        assert found is not None and found.id == chosen, backlog
    v = with_toll(view(at("near", "n1", backlog=3), at("far", "n2")), 100e-9)
    assert estimate(v, v.targets["image"][1], "gw1", 1e6) == pytest.approx(0.020 + 0.050), "it is a price and no time"
    one = TypeSpec("one", 1.0, 0.0, (StageSpec("image", "image", (("ingress", 1e6),)),))
    assert left(v, Way(one, -1, "gw1"), "gw1") == pytest.approx(0.080), "by the near one, without the toll"
    assert View.from_wire(json.loads(json.dumps(v.to_wire()))) == v
    assert View.from_wire(v.to_wire(paths=False), previous=v) == v


def test_route_skips_excluded_unreachable_and_draining_while_there_is_another() -> None:
    v = view(at("a", "n1", drain=True), at("b", "n2", backlog=50), at("c", "n3"))
    chosen = route(v, "image", "gw1", 0)
    assert chosen is not None and chosen.id == "b"
    chosen = route(v, "image", "gw1", 0, exclude=frozenset({"b"}))
    assert chosen is not None and chosen.id == "a", "a draining instance rather than none"
    assert route(v, "image", "gw1", 0, exclude=frozenset({"a", "b"})) is None
    assert route(v, "text", "gw1", 0) is None


def test_ties_are_broken_by_load_then_differently_per_sender_but_always_the_same() -> None:
    v = view(*(at(f"i{k}", "n2" if k % 2 else "n1", workers=4) for k in range(6)))
    busier = view(at("a", workers=4, backlog=1), at("b", workers=4))
    chosen = route(busier, "image", "gw1", 0)
    assert chosen is not None and chosen.id == "b", "no wait at either, but b is emptier"
    names = [f"sender{k}" for k in range(40)]
    wide = View(v.targets, {**v.index, **dict.fromkeys(names, 0)}, v.delay, v.per_byte)
    picks = [route(wide, "image", name, 0) for name in names]
    assert picks == [route(wide, "image", name, 0) for name in names]
    assert len({p.id for p in picks if p is not None}) >= 4, "forty senders on one stale view do not all choose one"


@given(
    st.lists(
        st.tuples(st.sampled_from(ENDS), st.integers(0, 5), st.integers(0, 30), st.floats(0.001, 1.0), st.booleans()),
        max_size=8,
    ),
    st.sampled_from(ENDS),
    st.floats(0, 1e7),
    st.dictionaries(st.sampled_from([f"t{k}" for k in range(8)]), st.integers(1, 9)),
)
def test_route_is_the_argmin_by_brute_force(rows: list, source: str, size: float, local: dict[str, int]) -> None:
    targets = tuple(Target(f"t{k}", *row[:1], "a", 1, *row[1:]) for k, row in enumerate(rows))
    v = view(*targets)
    chosen = route(v, "image", source, size, local=local)
    usable = [t for t in targets if t.workers > 0 and estimate(v, t, source, size) < INFINITY]
    usable = [t for t in usable if not t.draining] or usable
    if not usable:
        assert chosen is None
    else:
        assert chosen is not None and chosen in usable
        of = {t.id: estimate(v, t, source, size, local.get(t.id, 0)) for t in usable}
        assert of[chosen.id] == pytest.approx(min(of.values()))


def ruled(rule: str, *targets: Target) -> View:
    return replace(view(*targets), rule=rule)


def pick(v: View, turn: int = 0, source: str = "n1", **more: object) -> str | None:
    chosen = route(v, "image", source, 1e6, turn=turn, **more)  # type: ignore[arg-type]
    return None if chosen is None else chosen.id


def test_nearest_looks_at_the_path_alone_and_shares_what_is_equally_near() -> None:
    v = ruled("nearest", at("a", "n1", backlog=90), at("b", "n2"))
    assert pick(v) == "a" and pick(v, source="n2") == "b"
    assert pick(ruled("nearest", at("a", "n1", backlog=2), at("b", "n2", backlog=1)), source="gw1") == "b"
    assert pick(ruled("nearest", at("a", "n1", drain=True), at("b", "n2"))) == "b"


def test_least_backlog_looks_at_load_per_worker_alone_and_counts_its_own() -> None:
    v = ruled("least_backlog", at("a", "n1", workers=1, backlog=2), at("b", "n2", workers=4, backlog=5))
    assert pick(v) == "b" and pick(v, local={"b": 4}) == "a"
    assert pick(ruled("least_backlog", at("a", "n1", backlog=9), at("b", "n3"))) == "a", "n3 can't be reached"


def test_round_robin_gives_each_instance_as_many_turns_as_workers() -> None:
    v = ruled("round_robin", at("a", workers=1), at("b", workers=3), at("c", drain=True), at("d", workers=2))
    assert [pick(v, k) for k in range(7)] == ["a", "b", "b", "b", "d", "d", "a"]
    assert [pick(v, k, exclude=frozenset("b")) for k in range(3)] == ["a", "d", "d"]
    assert pick(v, 5, exclude=frozenset("abd")) == "c" and pick(v, exclude=frozenset("abcd")) is None


def test_random_is_a_hash_of_the_task_that_is_uniform_over_workers() -> None:
    """χ² with two degrees of freedom: 13.8 is exceeded once in a thousand."""
    v = ruled("random", at("a", workers=1), at("b", workers=2), at("c", workers=3))
    picks = [pick(v, turn("random", k, k, 2)) for k in range(6000)]
    expected = {"a": 1000, "b": 2000, "c": 3000}
    assert sum((picks.count(i) - n) ** 2 / n for i, n in expected.items()) < 13.8
    assert picks == [pick(v, turn("random", 0, k, 2)) for k in range(6000)], "no count enters"
    assert turn("random", 0, 1, 2, 1) != turn("random", 0, 1, 2, 2) and turn("round_robin", 7, 1, 2) == 7
    one = pow(0x9E3779B1, -1, 2**32)  # the task whose linear mix is 1; murmur3 of nothing with seed 1 is published
    assert turn("random", 0, one, 0, 0) == 0x514E28B7


def test_joins_are_bound_by_the_rule_and_admission_is_not() -> None:
    v = replace(network(), rule="round_robin")
    far = replace(v.targets["join"][1], node="n1")
    both = replace(v, targets={**v.targets, "join": (v.targets["join"][0], far)})
    bound = [bind(both, SPEC, "gw1", sent={"join": k}) for k in (0, 1, 2, 3)]
    assert bound == [{"join": "j"}, {"join": "j"}, {"join": "k"}, {"join": "k"}]
    for rule in RULES:
        assert left(replace(network(), rule=rule), Way(SPEC, -1, "gw1"), "gw1") == pytest.approx(0.170)
        assert completion(replace(network(), rule=rule), SPEC, "gw1") == pytest.approx(0.220)


def test_a_join_goes_where_fewer_tasks_are_bound_and_waits_no_longer_for_it() -> None:
    """j and k alike, one worker each, j with no path: 2 · 50 ms that are to come there outweigh 10 ms of path to k."""
    v = network()
    alike = tuple(replace(t, workers=1, node=n) for t, n in zip(v.targets["join"], ("n2", "n1"), strict=True))
    both = replace(v, targets={**v.targets, "join": alike})
    assert bind(both, SPEC, "gw1") == bind(both, SPEC, "gw1", coming={"j": 1, "k": 1})
    first = bind(both, SPEC, "gw1")
    assert first is not None
    taken = first["join"]
    other = {"j": "k", "k": "j"}[taken]
    assert bind(both, SPEC, "gw1", coming={taken: 2}) == {"join": other}
    assert bind(both, SPEC, "gw1", coming={other: 2}) == first
    assert bind(both, SPEC, "gw1", coming={"i": 9, "t": 9}) == first, "only of the join's own instances"
    only = replace(v, targets={**v.targets, "join": alike[:1]})
    assert completion(only, SPEC, "gw1", coming={"j": 9}) == completion(only, SPEC, "gw1")
    assert completion(both, SPEC, "gw1", coming={other: 9, "i": 9}) == completion(both, SPEC, "gw1")


SPEC = TypeSpec(
    "vqa",
    0.7,
    1e6,
    (
        StageSpec("image", "image", (("ingress", 2e6),)),
        StageSpec("text", "text", (("ingress", 0.0),)),
        StageSpec("join", "join", (("image", 1e6), ("text", 0.0))),
    ),
)


def network() -> View:
    base = view()
    services = {"image": (at("i", "n1", 1, 1),), "text": (at("t", "n2"),), "join": (at("j", "n2"), at("k", "n3"))}
    return View(services, base.index, base.delay, base.per_byte)


def test_what_lies_ahead_follows_the_dag_by_hand() -> None:
    """By image: 10 + 20 for 2 MB + 50, then 10 + 10 + 50, then 10 + 10: 170 ms, 40 of them bytes; by text 130."""
    v = network()
    first = ahead(v, SPEC, -1, "gw1", "gw1")
    assert first == pytest.approx((0.130, 0.040, 0.0))
    assert ahead(v, SPEC, 2, "gw1", "n2") == pytest.approx((0.010, 0.010, 0.0)), "a sink: the way back"
    assert ahead(v, SPEC, 2, "n2", "n2") == (0.0, 0.0, 0.0)
    assert left(v, Way(SPEC, -1, "gw1", 3.0), "gw1") == pytest.approx(0.130 + 0.120), "three times the bytes"
    assert bind(v, SPEC, "gw1") == {"join": "j"}
    assert bind(view(), SPEC, "gw1") is None


def test_admission_follows_the_dag_by_hand() -> None:
    """As above, and 50 ms of waiting at image: 220 ms, of which nine tenths must fit."""
    assert completion(network(), SPEC, "gw1") == pytest.approx(0.220)
    assert admit(network(), SPEC, "gw1", 1.0, 10.0, 10.0001 + SURE * 0.220)
    assert not admit(network(), SPEC, "gw1", 1.0, 10.0, 9.9999 + SURE * 0.220)
    assert completion(view(), SPEC, "gw1") == INFINITY and not admit(view(), SPEC, "gw1", 1.0, 10.0, 99.0)


def test_a_stage_that_ends_in_time_is_hopeless_when_what_follows_does_not_fit() -> None:
    """After image on n1: 10 + 10 + 50 + 10 + 10 = 90 ms."""
    v, way = network(), Way(SPEC, 0, "gw1")
    assert not hopeless(v, way, "n1", 1.0, 1.0901) and hopeless(v, way, "n1", 1.0, 1.0899)
    cut = replace(v, targets={**v.targets, "join": (v.targets["join"][1],)})  # on n3, which nobody reaches
    assert ahead(cut, SPEC, 0, "gw1", "n1") == (NO_WAY, 0.0, 0.0)
    assert not hopeless(cut, way, "n1", 1.0, 1.001), "there may be a way on again"
    assert hopeless(cut, way, "n1", 1.0, 0.999)


def test_the_estimate_looks_ahead() -> None:
    """Two alike for image, n1 a little nearer; the next stage is on n2, 1 MB away from n1: 20 ms."""
    chain = TypeSpec(
        "c", 1.0, 0.0, (StageSpec("a", "image", (("ingress", 0.0),)), StageSpec("b", "next", (("a", 1e6),)))
    )
    v = View({"image": (at("i", "n1"), at("k", "n2", mean=0.055)), "next": (at("n", "n2"),)}, *_ways(view()))
    for way, size, chosen in ((None, 1.0, "i"), (Way(chain, 0, "gw1"), 1.0, "k"), (Way(chain, 0, "n1"), 1.0, "k")):
        found = route(v, "image", "gw1", 0.0, way=way)
        assert found is not None and found.id == chosen, (way, size)
    toll = with_toll(v, 3e-9)  # from n1 to n2 1 MB pays 3 ms: not worth 5 ms of x̄ without the 20
    near = replace(toll, delay=tuple(tuple(0.0 for _ in ENDS) for _ in ENDS), per_byte=toll.delay)
    near = replace(near, per_byte=near.delay)
    found = route(near, "image", "gw1", 0.0, way=Way(chain, 0, "gw1"))
    assert found is not None and found.id == "i"
    found = route(near, "image", "gw1", 0.0, way=Way(chain, 0, "gw1", 2.0))
    assert found is not None and found.id == "k", "twice the bytes pay 6 ms"


def _ways(v: View) -> tuple[object, ...]:
    return v.index, v.delay, v.per_byte


amounts = st.floats(0.0, 0.1)
matrices = st.lists(st.lists(amounts, min_size=4, max_size=4), min_size=4, max_size=4)
rows = st.lists(st.tuples(st.sampled_from(ENDS), st.floats(0.001, 0.2)), min_size=1, max_size=3)


@given(st.lists(rows, min_size=1, max_size=3), matrices, matrices, matrices, st.lists(amounts, min_size=5, max_size=5))
def test_what_lies_ahead_of_a_chain_is_the_least_over_all_choices(
    stages: list, delay: list, per_byte: list, toll: list, sizes: list
) -> None:
    spec = TypeSpec("chain", 1.0, sizes[-1], tuple(
        StageSpec(f"{k}", f"m{k}", ((f"{k - 1}" if k else "ingress", sizes[k]),)) for k in range(len(stages))
    ))  # fmt: skip
    targets = {f"m{k}": tuple(at(f"{k}-{j}", v, mean=x) for j, (v, x) in enumerate(r)) for k, r in enumerate(stages)}
    table = {e: i for i, e in enumerate(ENDS)}
    v = View(targets, table, *(tuple(map(tuple, m)) for m in (delay, per_byte)), toll=tuple(map(tuple, toll)))

    def price(chosen: tuple[Target, ...]) -> tuple[float, float, float]:
        where, out = "gw1", [0.0, 0.0, 0.0]
        for size, node, mean in [*((sizes[k], t.node, t.mean) for k, t in enumerate(chosen)), (sizes[-1], "gw1", None)]:
            i, j = table[where], table[node]
            if i != j:
                most = INFINITY if mean is None else MOST_TOLL * mean
                out = [out[0] + delay[i][j], out[1] + size * per_byte[i][j], out[2] + min(size * toll[i][j], most)]
            out[0] += mean or 0.0
            where = node
        return out[0], out[1], out[2]

    least = min(sum(price(chosen)) for chosen in product(*targets.values()))
    found = ahead(v, spec, -1, "gw1", "gw1")
    assert sum(found) == pytest.approx(least)
    assert any(found == pytest.approx(price(chosen)) for chosen in product(*targets.values()))


def test_what_was_found_is_kept_while_only_backlogs_change() -> None:
    v = network()
    first = ahead(v, SPEC, -1, "gw1", "gw1")
    busier = replace(v, targets={**v.targets, "image": (at("i", "n1", 1, 9),)})
    again = View.from_wire(busier.to_wire(paths=False), previous=v)
    assert again.found is v.found and ahead(again, SPEC, -1, "gw1", "gw1") is first
    faster = replace(v, targets={**v.targets, "image": (at("i", "n1", 1, 1), at("k", "gw1"))})
    assert View.from_wire(faster.to_wire(paths=False), previous=v).found == {}
    gone = replace(v, targets={**v.targets, "image": (at("i", "n1", 0, 1),)})
    assert View.from_wire(gone.to_wire(paths=False), previous=v).found == {}
    assert View.from_wire(v.to_wire(), previous=v).found == {}, "paths may have changed"
    assert replace(v, rule="nearest").found == {}


def test_the_view_survives_the_wire_and_keeps_paths_that_are_not_sent() -> None:
    v = network()
    full = json.loads(json.dumps(v.to_wire()))
    assert View.from_wire(full) == v and full["delay"][0][3] == -1
    assert View.from_wire(json.loads(json.dumps(v.to_wire(paths=False))), previous=v) == v
    other = replace(v, rule="random")
    assert View.from_wire(json.loads(json.dumps(other.to_wire()))) == other
    assert View.from_wire(other.to_wire(paths=False), previous=other) == other
    with pytest.raises(ValueError, match="no rule 'shortest'; there are: estimate, nearest"):
        View.from_wire({**full, "rule": "shortest"})
    with pytest.raises(ValueError, match="first view must carry"):
        View.from_wire(v.to_wire(paths=False))
    with pytest.raises(ValueError, match="4 × 4"):
        View.from_wire({**full, "delay": [[0.0]]})
    with pytest.raises(ValueError, match="together"):
        View.from_wire({"targets": {}, "delay": full["delay"]}, previous=v)


def test_a_type_is_read_from_its_config_message() -> None:
    wire = {
        "name": "vqa", "deadline": 0.7, "output": 1e6,
        "stages": [
            {"name": s.name, "service": s.service, "inputs": [{"source": o, "bytes": b} for o, b in s.inputs]}
            for s in SPEC.stages
        ],
    }  # fmt: skip
    assert TypeSpec.from_wire(json.loads(json.dumps(wire))) == SPEC and SPEC.sinks() == ("join",)


def test_routing_imports_nothing_but_the_standard_library() -> None:
    """The folder is copied into the service containers, alone."""
    files = {p.stem: p for p in Path(routing.__file__).parent.glob("*.py")}
    for path in files.values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names |= {n.module or "" for n in froms if not n.level}
        assert {n.split(".")[0] for n in names} <= set(sys.stdlib_module_names) | {"__future__"}
        assert {n.module for n in froms if n.level} <= files.keys() and all(n.level <= 1 for n in froms)
