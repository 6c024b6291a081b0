"""Our own topology files: what they mean, what may be left out, where a mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import InputError
from testbed.topology import files
from testbed.topology.build import SHIPPED, build, shipped
from testbed.topology.geography import fibre_delay
from testbed.topology.model import Topology

KINDS = ["big", "medium", "small"]
TWO = "name: two\nsites: {a: {cluster: x}, b: {cluster: y}}\nlinks: {trunks: [{between: [a, b]}]}\n"


def read(folder: Path, text: str) -> Topology:
    path = folder / "net.yaml"
    path.write_text(text)
    return files.load(path, KINDS)


def whole(t: Topology) -> None:
    """Every host has one link to its site, every name is its own and short, all is connected, rates are positive."""
    sites, hosts = {s.name for s in t.sites}, {h.name: h for h in (*t.nodes, *t.ingresses)}
    names = [*sites, *hosts]
    assert len(set(names)) == len(t.sites) + len(t.nodes) + len(t.ingresses)
    assert all(0 < len(n) <= 15 and "--" not in n for n in names)
    up = [k for k in t.links if k.role != "trunk"]
    assert sorted(k.a for k in up) == sorted(hosts)
    assert all(k.b == hosts[k.a].site and k.name == f"{k.a}--{k.b}" for k in up)
    assert all(k.role == ("node" if hosts[k.a].kind else "gateway") for k in up)
    assert all({k.a, k.b} <= sites and k.a != k.b for k in t.links if k.role == "trunk")
    assert len({k.name for k in t.links}) == len(t.links)
    assert all(shape.rate > 0 and shape.delay >= 0 for k in t.links for shape in (k.ab, k.ba))
    domain = {s.name: s.domain for s in t.sites}
    assert all(h.domain == domain[h.site] for h in hosts.values())
    assert {o.domain for o in t.ingresses} == set(t.domains())


def test_metro9() -> None:
    t = build("metro9", KINDS, 1)
    whole(t)
    assert [(n.name, n.site, n.domain, n.kind) for n in t.nodes][:4] == [
        ("n1", "s1", "west", "big"),
        ("n2", "s1", "west", "medium"),
        ("n3", "s1", "west", "small"),
        ("n4", "s2", "centre", "big"),
    ]
    trunk = t.link("s1--s3")
    assert trunk.ab == trunk.ba and (trunk.ab.delay, trunk.ab.jitter, trunk.ab.loss) == (0.012, 0.0002, 0.0005)
    assert t.link("gw1--s1").ab.rate == 1e9 and t.link("n1--s1").ab.delay == 0.0005


def test_abilene_has_eleven_cities_fourteen_trunks_and_real_distances() -> None:
    t = build("abilene", KINDS, 1)
    whole(t)
    trunks = [k for k in t.links if k.role == "trunk"]
    assert (len(t.sites), len(trunks), len(t.nodes), len(t.ingresses)) == (11, 14, 11, 3)
    # Los Angeles to Houston is 2,210 km as the crow flies: 11 ms in fibre
    assert t.link("losangeles--houston").ab.delay == pytest.approx(0.01106, rel=0.01)
    degree = {s.name: sum(s.name in (k.a, k.b) for k in trunks) for s in t.sites}
    kind = {n.site: n.kind for n in t.nodes}
    dealt = [kind[s] for s in sorted(degree, key=lambda s: (-degree[s], list(degree).index(s)))]
    assert dealt == [KINDS[i % 3] for i in range(11)]


def test_everything_shipped_reads() -> None:
    assert {"metro9", "abilene"} <= set(shipped())
    for name in shipped():
        whole(files.load(SHIPPED / f"{name}.yaml", KINDS))


def test_what_is_left_out_follows_the_rule(tmp_path: Path) -> None:
    t = read(tmp_path, TWO)
    whole(t)
    assert [(n.name, n.site, n.kind) for n in t.nodes] == [("n-a", "a", "big"), ("n-b", "b", "medium")]
    assert [(o.name, o.site) for o in t.ingresses] == [("gw1", "a"), ("gw2", "b")]
    assert t.link("a--b").ab.delay == 0.001 and t.link("a--b").ab.rate == 800e6


def test_the_delay_is_as_written_else_by_coordinates_else_the_default(tmp_path: Path) -> None:
    places = TWO.replace("a: {cluster: x}", "a: {cluster: x, longitude: 0, latitude: 0}")
    places = places.replace("b: {cluster: y}", "b: {cluster: y, longitude: 10, latitude: 0}")
    default = "links: {defaults: {trunk: {delay: 3 ms}}, trunks"
    assert read(tmp_path, places).link("a--b").ab.delay == fibre_delay((0, 0), (10, 0))
    assert read(tmp_path, places.replace("links: {trunks", default)).link("a--b").ab.delay == fibre_delay(
        (0, 0), (10, 0)
    )
    assert read(tmp_path, TWO.replace("links: {trunks", default)).link("a--b").ab.delay == 0.003
    assert read(tmp_path, places.replace("[a, b]}", "[a, b], delay: 7 ms}")).link("a--b").ab.delay == 0.007


def test_directions_may_differ(tmp_path: Path) -> None:
    text = TWO.replace(
        "[a, b]}", "[a, b], loss: 0.1, forward: {rate: 5 Mbit/s}, backward: {delay: 9 ms, queue: 30 kB}}"
    )
    trunk = read(tmp_path, text).link("a--b")
    assert (trunk.ab.rate, trunk.ab.delay, trunk.ab.loss, trunk.ab.queue) == (5e6, 0.001, 0.1, None)
    assert (trunk.ba.rate, trunk.ba.delay, trunk.ba.loss, trunk.ba.queue) == pytest.approx((800e6, 0.009, 0.1, 30000))


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ("[a, b]", "[a, c]", "links.trunks.0.between.1", "there is no site 'c'. There are: a, b"),
        ("[a, b]", "[a, a]", "links.trunks.0.between", "with itself"),
        ("[a, b]", "[a]", "links.trunks.0.between", "at least 2 entries"),
        ("{between: [a, b]}", "{between: [a, b]}, {between: [b, a]}", "links.trunks.1.between", "by trunk 0 already"),
        ("{between: [a, b]}", "", "sites.b", "no trunk joins b with a"),
        ("{between: [a, b]}", "{betwen: [a, b]}", "links.trunks.0.betwen", "Did you mean 'between'?"),
        ("[a, b]}", "[a, b], loss: 1}", "links.trunks.0.loss", "less than 1"),
        ("[a, b]}", "[a, b], rate: 8}", "links.trunks.0.rate", "has no unit"),
        ("{cluster: y}", "{}", "sites.b", "has no cluster, others have one"),
        ("{cluster: y}", "{cluster: y, latitude: 91}", "sites.b.latitude", "at most 90"),
        ("links:", "nodes: {n1: {site: c}}\nlinks:", "nodes.n1.site", "there is no site 'c'"),
        (
            "links:",
            "nodes: {n1: {site: a, kind: huge}}\nlinks:",
            "nodes.n1.kind",
            "no node kind 'huge'. There are: big",
        ),
        ("links:", "nodes: {a: {site: a}}\nlinks:", "nodes.a", "is taken by one of the sites"),
        ("links:", "nodes: {ingress: {site: a}}\nlinks:", "nodes.ingress", "the task's own gateway"),
        ("links:", "nodes: {}\nlinks:", "nodes", "is empty"),
        ("links:", "nodes: {a--b: {site: a}}\nlinks:", "nodes.a--b", "no '--', at most 15"),
        ("links:", "nodes: {a234567890123456: {site: a}}\nlinks:", "nodes.a234567890123456", "longer than 15"),
        ("name: two\n", "", "(document)", "the key 'name' is missing"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, old: str, new: str, path: str, says: str) -> None:
    assert old in TWO
    with pytest.raises(InputError) as caught:
        read(tmp_path, TWO.replace(old, new, 1))
    found = {p.path: p for p in caught.value.problems}
    assert says in found[path].message
    assert found[path].file.endswith("net.yaml") and found[path].line >= 1


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.lists(st.sampled_from([*"{}[]:,-\n ", "sites", "links", "a", "between", "1 ms"])).map("".join),
    )
)
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "net.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError):
        files.load(path, KINDS)
