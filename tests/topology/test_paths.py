"""Paths: closed forms, brute force over all simple paths, and flows that agree with costs."""

from __future__ import annotations

from itertools import pairwise

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.topology.build import build
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.paths import next_hops, paths, tolls
from testbed.topology.shapes import link
from tests.topology.test_files import KINDS


@st.composite
def networks(draw: st.DrawFn) -> Topology:
    """Up to six sites with a host each, trunks with different shapes per direction, not always connected."""
    n = draw(st.integers(2, 6))
    sites = tuple(Site(f"s{i}", "c") for i in range(n))
    hosts = tuple(Host(f"h{i}", f"s{i}", "c", "big" if i else None) for i in range(n))
    number = st.integers(1, 1000)
    links: list[Link] = []
    for i in range(n):
        for j in range(i + 1, n):
            if draw(st.booleans()):
                ab, ba = (Shape(draw(number) * 1e6, draw(number) * 1e-5) for _ in range(2))
                links.append(link(f"s{i}", f"s{j}", ab, ba))
    for h in hosts:
        links.append(link(h.name, h.site, Shape(1e9, 1e-4), Shape(2e9, 2e-4), "node" if h.kind else "gateway"))
    return Topology("t", sites, hosts[1:], hosts[:1], tuple(links))


def directed(t: Topology, down: frozenset[str] = frozenset()) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_nodes_from([*(s.name for s in t.sites), *(h.name for h in (*t.nodes, *t.ingresses))])
    for k in t.links:
        if k.name not in down:
            graph.add_edge(k.a, k.b, shape=k.ab, link=k)
            graph.add_edge(k.b, k.a, shape=k.ba, link=k)
    return graph


@settings(max_examples=60, deadline=None)
@given(networks(), st.randoms(use_true_random=False))
def test_the_path_is_the_one_least_in_delay_plus_one_over_rate(t: Topology, random: object) -> None:
    names = [k.name for k in t.links if k.role == "trunk"]
    down = frozenset(random.sample(names, len(names) // 3))  # type: ignore[attr-defined]
    graph, found = directed(t, down), paths(t, down=down)
    hosts = [h.name for h in (*t.nodes, *t.ingresses)]
    for a in hosts:
        for b in hosts:
            if a == b:
                assert (a, b) not in found.delay and found.net(a, b, 1e6) == 0
                continue
            ways = [[graph[x][y]["shape"] for x, y in pairwise(way)] for way in networkx.all_simple_paths(graph, a, b)]
            assert ((a, b) in found.delay) == bool(ways)
            if ways:
                best = min(ways, key=lambda way: sum(s.delay + 1 / s.rate for s in way))
                assert found.delay[a, b] == pytest.approx(sum(s.delay for s in best))
                least = min(sum(s.delay + 1 / s.rate for s in way) for way in ways)
                same = [w for w in ways if sum(s.delay + 1 / s.rate for s in w) <= least * (1 + 1e-9)]
                assert any(found.per_byte[a, b] == pytest.approx(8 / min(s.rate for s in w)) for w in same)
            else:
                assert found.net(a, b, 1.0) == float("inf")


@settings(max_examples=60, deadline=None)
@given(networks())
def test_flows_lead_where_the_costs_say(t: Topology) -> None:
    """Following next_hops hop by hop arrives, without a loop, with the delay that `paths` has."""
    graph, found, table = directed(t), paths(t), next_hops(t)
    hosts = {h.name: h for h in (*t.nodes, *t.ingresses)}
    for (a, b), delay in found.delay.items():
        here, total, seen = hosts[a].site, graph[a][hosts[a].site]["shape"].delay, set()
        while here != b:
            assert here not in seen
            seen.add(here)
            k = t.link(table[here][b])
            following = k.b if k.a == here else k.a
            total += graph[here][following]["shape"].delay
            here = following
        assert total == pytest.approx(delay)
    assert {(s, h) for s in table for h in table[s]} == {
        (s.name, h) for s in t.sites for h in hosts if networkx.has_path(graph, s.name, h)
    }


def test_metro9_by_hand() -> None:
    t = build("metro9", KINDS, 1)
    p = paths(t)
    assert p.delay["n1", "n7"] == pytest.approx(0.0005 + 0.012 + 0.0005)
    assert p.per_byte["n1", "n7"] == 8 / 800e6 and p.per_byte["n1", "n2"] == 8 / 1e9
    cut = paths(t, down=frozenset({"s3--s1"}))
    assert cut.delay["n1", "n7"] == pytest.approx(0.0005 + 0.007 + 0.009 + 0.0005)
    assert next_hops(t, frozenset({"s3--s1"}))["s1"]["n7"] == "s1--s2"
    assert next_hops(t)["s1"]["n1"] == "n1--s1"


def test_current_rates_change_the_bottleneck_and_not_the_way() -> None:
    t = build("metro9", KINDS, 1)
    p = paths(t, {"s1--s3": 1e6, "s1->s2": 2e6, "n4--s2": 5e6})
    assert p.per_byte["n1", "n7"] == p.per_byte["n7", "n1"] == 8 / 1e6
    assert p.delay == paths(t).delay
    assert p.per_byte["n1", "n5"] == 8 / 2e6 and p.per_byte["n5", "n1"] == 8 / 800e6
    assert p.per_byte["n5", "n4"] == 8 / 5e6


def test_a_toll_is_the_sum_over_the_trunks_of_the_way() -> None:
    t = build("metro9", KINDS, 1)
    at = {h.name: i for i, h in enumerate((*t.nodes, *t.ingresses))}
    prices = {"s1->s3": 3e-9, "s1->s2": 1e-9, "s2->s3": 5e-9, "n1->s1": 7.0}  # the last one is no trunk
    found = tolls(t, prices)
    assert found[at["n1"], at["n7"]] == 3e-9 and found[at["n7"], at["n1"]] == 0.0, "each direction has its own"
    assert found[at["n1"], at["n2"]] == found[at["n1"], at["n1"]] == 0.0
    cut = tolls(t, prices, frozenset({"s3--s1"}))
    assert cut[at["n1"], at["n7"]] == pytest.approx(1e-9 + 5e-9)
    alone = tolls(t, {"s1->s3": 3e-9}, frozenset({"n7--s3"}))
    assert np.isfinite(alone).all()


def test_a_host_whose_link_is_down_is_unreachable_and_nobody_else() -> None:
    t = build("metro9", KINDS, 1)
    p, table = paths(t, down=frozenset({"s1--n1"})), next_hops(t, frozenset({"n1--s1"}))
    assert not any("n1" in pair for pair in p.delay)
    assert len(p.delay) == 11 * 10
    assert all("n1" not in row and len(row) == 11 for row in table.values())


def test_equal_ways_are_decided_the_same_every_time() -> None:
    t = build({"generator": "ring", "sites": 4}, KINDS, 1)
    assert [next_hops(t)[s]["n3"] for s in ("s1", "s2", "s4")] == ["s1--s2", "s2--s3", "s3--s4"]
