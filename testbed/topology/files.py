"""Our own topology files (topologies/*.yaml): sites, nodes, ingresses, links, with every mistake located.

Only sites and trunks are needed. Nodes left out: one per site; a node's kind left out: dealt by degree;
clusters left out: k-medoids on delay; ingresses left out: one per cluster at its middle (design.md §3).
A trunk's delay: as written, else from the coordinates of its ends, else the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from testbed.catalogue import nearest
from testbed.errors import InputError
from testbed.topology import derive
from testbed.topology.explain import explain
from testbed.topology.geography import fibre_delay
from testbed.topology.located import Document, Place, read
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.shapes import GATEWAY_LINK, NODE_LINK, TRUNK_DELAY, TRUNK_RATE, Part, Strict, link, shape

#: At most 15 characters: these become interface names.
Short = Annotated[str, Field(pattern=r"^[A-Za-z](-?[A-Za-z0-9_])*$", max_length=15)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,30}$")]


class SiteEntry(Strict):
    cluster: Word | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None


class NodeEntry(Strict):
    site: str
    kind: str | None = None


class IngressEntry(Strict):
    site: str


class Trunk(Part):
    between: Annotated[list[str], Field(min_length=2, max_length=2)]
    forward: Part | None = None
    backward: Part | None = None


class Defaults(Strict):
    node: Part = Part()
    gateway: Part = Part()
    trunk: Part = Part()


class Links(Strict):
    defaults: Defaults = Defaults()
    trunks: tuple[Trunk, ...] = ()


class File(Strict):
    name: Word
    sites: Annotated[dict[Short, SiteEntry], Field(min_length=1)]
    nodes: dict[Short, NodeEntry] | None = None
    ingresses: dict[Short, IngressEntry] | None = None
    links: Links = Links()


def load(path: Path, kinds: Sequence[str]) -> Topology:
    """The topology in `path`. kinds: the scenario's node kinds, in order. Raises InputError, all at once."""
    return build(read(path), kinds)


def build(document: Document, kinds: Sequence[str]) -> Topology:
    """The topology of a document already read."""
    try:
        file = File.model_validate(document.data)
    except ValidationError as error:
        raise InputError([document.problem(p, _friendly(m)) for p, m in explain(error, File)]) from error
    problems = [document.problem(place, message) for place, message in _mistakes(file, kinds)]
    if problems:
        raise InputError(problems)
    return _resolved(file, kinds)


def _friendly(message: str) -> str:
    return message.replace("at most 31 in all", "no '--', at most 15 in all (it names a network interface)")


def _mistakes(file: File, kinds: Sequence[str]) -> Iterator[tuple[Place, str]]:
    """References to what is not there, names used twice, trunks that make no sense, parts cut off."""
    used: dict[str, str] = {}
    for section in ("sites", "nodes", "ingresses"):
        for name in getattr(file, section) or {}:
            if name == "ingress" or name in used:
                why = "means the task's own gateway" if name == "ingress" else f"is taken by one of the {used[name]}"
                yield (section, name), f"the name {name!r} {why}: choose another"
            used.setdefault(name, section)
    for section in ("nodes", "ingresses"):
        for name, entry in (getattr(file, section) or {}).items():
            if entry.site not in file.sites:
                yield (section, name, "site"), f"there is no site {entry.site!r}. {nearest(entry.site, file.sites)}"
    for name, node in (file.nodes or {}).items():
        if node.kind is not None and node.kind not in kinds:
            yield ("nodes", name, "kind"), f"the scenario has no node kind {node.kind!r}. {nearest(node.kind, kinds)}"
    for section in ("nodes", "ingresses"):
        if getattr(file, section) == {}:
            yield (section,), f"is empty: name at least one of the {section}, or leave the key out for the rule of one"
    for role, base in (("node", NODE_LINK), ("gateway", GATEWAY_LINK)):
        if wrong := shape(base, getattr(file.links.defaults, role)).mistake():
            yield ("links", "defaults", role), wrong
    clusters = [s.cluster is not None for s in file.sites.values()]
    if any(clusters) and not all(clusters):
        missing = [n for n, s in file.sites.items() if s.cluster is None]
        yield (
            ("sites", missing[0]),
            f"has no cluster, others have one: give {', '.join(missing)} one too, or none at all",
        )
    trunk_mistakes = list(_trunk_mistakes(file))
    yield from trunk_mistakes
    if not trunk_mistakes:
        yield from _cut_off(file)


def _trunk_mistakes(file: File) -> Iterator[tuple[Place, str]]:
    seen: dict[frozenset[str], int] = {}
    for i, trunk in enumerate(file.links.trunks):
        place: Place = ("links", "trunks", i)
        for j, end in enumerate(trunk.between):
            if end not in file.sites:
                yield (*place, "between", j), f"there is no site {end!r}. {nearest(end, file.sites)}"
        ends = frozenset(trunk.between)
        if len(ends) == 1:
            yield (*place, "between"), f"joins {trunk.between[0]!r} with itself: name two sites"
        elif ends in seen:
            yield (
                (*place, "between"),
                f"{' and '.join(trunk.between)} are joined by trunk {seen[ends]} already: keep one",
            )
        elif all(end in file.sites for end in trunk.between):
            made = _trunk(trunk, file)
            yield from ((place, wrong) for wrong in {made.ab.mistake(), made.ba.mistake()} if wrong)
        seen.setdefault(ends, i)


def _cut_off(file: File) -> Iterator[tuple[Place, str]]:
    """Ingresses that reach no node, and a network in several parts."""
    ends = [link(t.between[0], t.between[1], NODE_LINK) for t in file.links.trunks]
    parts = derive.components(list(file.sites), ends)
    if len(parts) == 1:
        return
    with_node = {n.site for n in file.nodes.values()} if file.nodes is not None else set(file.sites)
    for name, entry in (file.ingresses or {}).items():
        if not with_node.intersection(next((p for p in parts if entry.site in p), [])):
            yield ("ingresses", name), f"no node can be reached from {entry.site!r}: a trunk from there is missing"
    for part in parts[1:]:
        yield (
            ("sites", part[0]),
            f"no trunk joins {', '.join(part)} with {', '.join(parts[0][:8])}: add one under links.trunks",
        )


def _resolved(file: File, kinds: Sequence[str]) -> Topology:
    trunks = [_trunk(t, file) for t in file.links.trunks]
    sites = [Site(n, s.cluster or "", s.longitude, s.latitude) for n, s in file.sites.items()]
    if sites[0].domain:
        at = derive.middle_sites(sites, trunks)
    else:
        sites, at = derive.clustered(sites, trunks)
    domain = {s.name: s.domain for s in sites}
    entries = file.nodes if file.nodes is not None else {_free(f"n-{s}", file): NodeEntry(site=s) for s in file.sites}
    hosts = [Host(n, e.site, domain[e.site], e.kind) for n, e in entries.items()]
    nodes = derive.dealt(hosts, kinds, derive.degrees(sites, trunks))
    if file.ingresses is None:
        ingresses = derive.ingress_hosts(at)
    else:
        ingresses = [Host(n, e.site, domain[e.site]) for n, e in file.ingresses.items()]
    defaults = file.links.defaults
    links = [
        *trunks,
        *derive.host_links(nodes, shape(NODE_LINK, defaults.node), "node"),
        *derive.host_links(ingresses, shape(GATEWAY_LINK, defaults.gateway), "gateway"),
    ]
    return Topology(file.name, tuple(sites), tuple(nodes), tuple(ingresses), tuple(links))


def _free(name: str, file: File) -> str:
    """A node's name made from its site's, cut to 15 characters and not taken."""
    taken = {*file.sites, *(file.ingresses or {})}
    short = name[:15].rstrip("-")
    return short if short not in taken else short[:13] + "-0"


def _trunk(trunk: Trunk, file: File) -> Link:
    a, b = trunk.between
    delay = TRUNK_DELAY if file.links.defaults.trunk.delay is None else file.links.defaults.trunk.delay
    ends = [file.sites[end] for end in (a, b)]
    (lon_a, lat_a), (lon_b, lat_b) = [(e.longitude, e.latitude) for e in ends]
    if lon_a is not None and lat_a is not None and lon_b is not None and lat_b is not None:
        delay = fibre_delay((lon_a, lat_a), (lon_b, lat_b))
    base = shape(Shape(TRUNK_RATE), file.links.defaults.trunk, Part(delay=f"{delay!r} s"))  # type: ignore[arg-type]
    both = Part.model_construct(**{f: getattr(trunk, f) for f in Part.model_fields})
    return link(a, b, shape(base, both, trunk.forward), shape(base, both, trunk.backward))
