"""GML and GraphML by the rule: real files whole, broken ones refused with their line."""

from __future__ import annotations

from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import InputError
from testbed.topology import graph_files
from testbed.topology.cluster import count_for, shortest_delays
from testbed.topology.geography import fibre_delay
from testbed.topology.gml import read_gml
from testbed.topology.model import Topology
from testbed.topology.names import unique
from tests.scenario.small import DATA
from tests.topology.test_files import KINDS, whole

ZOO = DATA / "topology-zoo"
needs_zoo = pytest.mark.skipif(not ZOO.is_dir(), reason="the shared data are not beside the repository")

#: (name, vertices, edges as the file counts them, sites of the largest component, trunks after merging)
REAL = [("Abilene", 11, 14, 11, 14), ("Geant2012", 40, 61, 40, 61), ("Garr201201", 61, 89, 61, 75),
        ("UsCarrier", 158, 189, 158, 189), ("Kdl", 754, 899, 754, 895)]  # fmt: skip


def load(folder: Path, text: str, name: str = "net.gml") -> Topology:
    (folder / name).write_text(text)
    return graph_files.load(folder / name, KINDS)


@needs_zoo
@pytest.mark.parametrize(("name", "vertices", "edges", "sites", "trunks"), REAL)
def test_real_files_load(name: str, vertices: int, edges: int, sites: int, trunks: int) -> None:
    graph = read_gml((ZOO / f"{name}.gml").read_text(), name)
    assert (len(graph.vertices), len(graph.edges)) == (vertices, edges)
    t = graph_files.load(ZOO / f"{name}.gml", KINDS)
    whole(t)
    assert len(t.sites) == len(t.nodes) == sites
    assert sum(k.role == "trunk" for k in t.links) == trunks
    assert len(t.ingresses) == count_for(sites) == len(t.domains())
    assert all(k.ab.delay >= 0.0001 for k in t.links if k.role == "trunk")
    assert all(s.longitude is not None for s in t.sites)
    assert t == graph_files.load(ZOO / f"{name}.gml", KINDS)


@needs_zoo
def test_abilene_is_the_same_graph_as_networkx_reads() -> None:
    theirs = networkx.read_gml(ZOO / "Abilene.gml", label="id")
    ours = graph_files.load(ZOO / "Abilene.gml", KINDS)
    names = [s.name for s in ours.sites]
    assert {frozenset((names[a], names[b])) for a, b in theirs.edges} == {
        frozenset((k.a, k.b)) for k in ours.links if k.role == "trunk"
    }
    assert names[:3] == ["New-York", "Chicago", "Washington-D"]
    coast = fibre_delay((-74.00597, 40.71427), (-87.65005, 41.85003))
    assert ours.link("New-York--Chicago").ab.delay == pytest.approx(coast)


@needs_zoo
def test_each_ingress_is_at_the_medoid_of_its_cluster() -> None:
    t = graph_files.load(ZOO / "Geant2012.gml", KINDS)
    index = {s.name: i for i, s in enumerate(t.sites)}
    d = shortest_delays(len(t.sites), [(index[k.a], index[k.b], k.ab.delay) for k in t.links if k.role == "trunk"])
    for ingress in t.ingresses:
        members = [index[s.name] for s in t.sites if s.domain == ingress.domain]
        assert index[ingress.site] in members
        assert d[index[ingress.site], members].sum() == pytest.approx(min(d[i, members].sum() for i in members))


@needs_zoo
def test_rates_come_from_the_file() -> None:
    t = graph_files.load(ZOO / "Geant2012.gml", KINDS)
    assert {k.ab.rate for k in t.links if k.role == "trunk"} >= {10e9, 2.5e9}


def test_the_rule_on_a_small_graph(tmp_path: Path) -> None:
    """Labels that repeat, a loop, parallel edges, no coordinates, a smaller component."""
    t = load(
        tmp_path,
        'graph [ directed 1 node [ id 7 label "X" Longitude 0.0 Latitude 0.0 ] node [ id 3 label "X" ]\n'
        'node [ id 5 label "X" Longitude 2.0 Latitude 0.0 ] node [ id 8 ] node [ id 9 label "None" ]\n'
        "edge [ source 7 target 3 LinkSpeedRaw 1000000.0 ]\n"
        'edge [ source 3 target 7 LinkSpeed "2" LinkSpeedUnits "M" ]\n'
        "edge [ source 3 target 5 ] edge [ source 5 target 5 ] edge [ source 8 target 9 ] ]",
    )
    whole(t)
    assert [s.name for s in t.sites] == ["X", "X-2", "X-3"]
    assert (t.sites[1].longitude, t.sites[1].latitude) == pytest.approx((1.0, 0.0))
    assert t.link("X--X-2").ab.rate == 2e6 and t.link("X-2--X-3").ab.rate == 800e6
    assert t.link("X--X-2").ab.delay == pytest.approx(fibre_delay((0, 0), (1, 0)))
    assert [n.kind for n in t.nodes] == ["medium", "big", "small"]  # X-2 has the highest degree


def test_no_coordinates_at_all_and_one_vertex(tmp_path: Path) -> None:
    t = load(tmp_path, "graph [ node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]")
    whole(t)
    assert t.link("s1--s2").ab.delay == 0.001
    alone = load(tmp_path, "graph [ node [ id 0 ] ]")
    assert (len(alone.nodes), len(alone.ingresses)) == (1, 1)


def test_names_are_safe_short_and_unique() -> None:
    labels = [
        "New York, NY",
        "new york, ny",
        "Zürich",
        "",
        None,
        "None",
        "1st",
        "gw1",
        "a" * 40,
        "a" * 41,
        "--",
        "n-x",
        "東京",
    ]
    names = unique(labels)
    assert names[:9] == ["New-York-NY", "new-york-n-2", "Zurich", "s4", "s5", "s6", "s-1st", "s-gw1", "a" * 12]
    assert len({n.casefold() for n in names}) == len(names) and all(len(n) <= 12 for n in names)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("hello world", 1, "there is no 'graph [ … ]'"),
        ("graph [\n  node [ id 0 ]\n  node [ id 0 ]\n]", 3, "node id 0 is here twice"),
        ("graph [\n  node [ id 0 ]\n  edge [ source 0 target 9 ]\n]", 3, "target is 9: no node has that id"),
        ("graph [\n  node [ id 0 ]\n  edge [ source 0 ]\n]", 3, "target is missing"),
        ("graph [\n node [ id 0 ]", 2, "still open"),
        ("graph [\n ] ]", 2, "a key was expected"),
        ("graph [\n node [ id ] ]", 2, "a value was expected"),
        ('graph [\n label "x', 2, "is not GML"),
        ("graph [\n 3 4 ]", 2, "where a key was expected"),
        ("graph [ ]", 1, "holds 0 nodes"),
        ("a [ " * 30, 1, "deeper than 20"),
        ("", 1, "there is no 'graph"),
    ],
)
def test_broken_gml_is_located(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert says in problem.message and problem.line == line


GRAPHML = """<?xml version="1.0"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="Longitude" attr.type="double"/>
  <key id="d1" for="node" attr.name="Latitude" attr.type="double"/>
  <key id="d2" for="node" attr.name="label" attr.type="string"/>
  <graph edgedefault="undirected">
    <node id="a"><data key="d0">0</data><data key="d1">0</data><data key="d2">Here</data></node>
    <node id="b"><data key="d0">1</data><data key="d1">0</data><data key="d2">There</data></node>
    <node id="c"/>
    <edge source="a" target="b"/><edge source="b" target="a"/><edge source="b" target="c"/>
  </graph>
</graphml>
"""


def test_graphml(tmp_path: Path) -> None:
    t = load(tmp_path, GRAPHML, "net.graphml")
    whole(t)
    assert [s.name for s in t.sites] == ["Here", "There", "c"]
    assert t.link("Here--There").ab.delay == pytest.approx(fibre_delay((0, 0), (1, 0)))
    assert t.link("There--c").ab.delay == 0.0001  # c takes its only neighbour's place


@needs_zoo
def test_graphml_and_gml_of_one_network_agree(tmp_path: Path) -> None:
    networkx.write_graphml(networkx.read_gml(ZOO / "Abilene.gml", label="id"), tmp_path / "Abilene.graphml")
    ours = graph_files.load(tmp_path / "Abilene.graphml", KINDS)
    zoo = graph_files.load(ZOO / "Abilene.gml", KINDS)
    assert len(ours.links) == len(zoo.links)
    assert sorted(k.ab.delay for k in ours.links) == pytest.approx(sorted(k.ab.delay for k in zoo.links))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("<graphml>\n<graph>", 2, "is not XML"),
        ("<a/>", 1, "is not GraphML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><graphml/>', 1, "<!DOCTYPE is not read"),
        (GRAPHML.replace('key="d0">0', 'key="d0">x'), 1, "is not GraphML"),
        (GRAPHML.replace('key="d0">0', 'key="d9">0'), 1, "is not GraphML"),
    ],
)
def test_broken_graphml(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, "net.graphml")
    (problem,) = caught.value.problems
    assert says in problem.message and problem.line == line


WORDS = st.sampled_from(
    [
        "graph ",
        "node ",
        "edge ",
        "[ ",
        "] ",
        "id ",
        "0 ",
        "1 ",
        "source ",
        "target ",
        '"x" ',
        "label ",
        "\n",
        "#",
        "&",
        "-1.5e3 ",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(WORDS, max_size=40).map("".join)), st.sampled_from([".gml", ".graphml"]))
def test_garbage_is_a_network_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("garbage") / f"x{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        whole(graph_files.load(path, KINDS))
    except InputError as error:
        assert error.problems
