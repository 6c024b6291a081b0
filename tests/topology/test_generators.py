"""Generators: counts by closed form, draws per seed, and names a scenario can rely on."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.errors import InputError
from testbed.topology.build import build
from testbed.topology.model import Topology
from tests.topology.test_files import KINDS, whole


def make(seed: int = 1, **keys: Any) -> Topology:
    t = build(keys, KINDS, seed)
    whole(t)
    return t


def trunks(t: Topology) -> list[str]:
    return [k.name for k in t.links if k.role == "trunk"]


def test_line_ring_tree_metro() -> None:
    assert trunks(make(generator="line", sites=4)) == ["s1--s2", "s2--s3", "s3--s4"]
    assert make(generator="line", sites=1).links != ()
    assert trunks(make(generator="ring", sites=4)) == ["s1--s2", "s2--s3", "s3--s4", "s1--s4"]
    tree = make(generator="tree", depth=2, fanout=3)
    assert (len(tree.sites), len(trunks(tree)), len(tree.nodes), len(tree.ingresses)) == (13, 12, 9, 3)
    assert {n.site for n in tree.nodes} == {f"s{i}" for i in range(5, 14)}
    metro = make(generator="metro", clusters=4, nodes=["big", "small"])
    assert (len(metro.nodes), len(trunks(metro)), len(metro.ingresses)) == (8, 6, 4)
    assert [n.kind for n in metro.nodes] == ["big", "small"] * 4
    assert len(trunks(make(generator="metro", clusters=5, mesh="ring"))) == 5


def test_neighbouring_sites_form_a_cluster_with_its_gateway_in_the_middle() -> None:
    t = make(generator="line", sites=7, per_cluster=3)
    assert [s.domain for s in t.sites] == ["c1"] * 3 + ["c2"] * 3 + ["c3"]
    assert [(o.name, o.site) for o in t.ingresses] == [("gw1", "s2"), ("gw2", "s5"), ("gw3", "s7")]


def test_a_range_is_drawn_once_per_seed_and_pair() -> None:
    keys: dict[str, Any] = {"generator": "metro", "clusters": 3, "trunks": {"delay": "6..14 ms", "rate": "5 Mbit/s"}}
    first = [k.ab for k in make(1, **keys).links if k.role == "trunk"]
    assert first == [k.ab for k in make(1, **keys).links if k.role == "trunk"]
    assert all(0.006 <= s.delay <= 0.014 and s.rate == 5e6 for s in first)
    assert len({s.delay for s in first} | {k.ab.delay for k in make(2, **keys).links if k.role == "trunk"}) == 6


def test_host_links_may_be_given() -> None:
    t = make(generator="line", sites=2, node={"rate": "20 Mbit/s"}, gateway={"delay": "2 ms"})
    assert t.link("n1--s1").ab.rate == 20e6 and t.link("n1--s1").ab.delay == 0.0005
    assert t.link("gw1--s1").ab.rate == 10e9 and t.link("gw1--s1").ab.delay == 0.002


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"generator": "lin"}, r"topology\.generator: there is no generator 'lin'\. Did you mean 'line'"),
        ({"sites": 3}, "the key 'generator' is missing"),
        ({"generator": "line"}, "the key 'sites' is missing"),
        ({"generator": "line", "sites": 0}, "at least 1"),
        ({"generator": "ring", "sites": 2}, "at least 3"),
        ({"generator": "line", "sites": 2, "site": 2}, "Did you mean 'sites'"),
        ({"generator": "tree", "depth": 9, "fanout": 9}, "sites, at most 1000"),
        ({"generator": "metro", "clusters": 2, "trunks": {"delay": "14..6 ms"}}, "lower end comes first"),
        ({"generator": "metro", "clusters": 2, "nodes": ["huge"]}, "no node kind 'huge'"),
        ({"generator": "metro", "clusters": 2, "nodes": []}, "at least 1 entry"),
    ],
)
def test_wrong_keys(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        build(keys, KINDS, 1)
