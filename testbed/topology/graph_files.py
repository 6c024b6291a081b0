"""Topologies from elsewhere: GML and GraphML, read leniently, resolved by the rule of design.md §3.

Largest connected component; parallel edges merged (the highest rate any of them names), loops dropped; vertices
known by their position in the file, labels made unique; missing coordinates from the neighbours; delay
great-circle at two thirds of light speed; rates from the file (LinkSpeedRaw, or LinkSpeed with its units) or the
default. Each vertex becomes a site with one edge node; clusters, ingresses and kinds as in `derive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from testbed.errors import InputError, Problem
from testbed.topology import derive
from testbed.topology.geography import Coordinates, fibre_delay, filled
from testbed.topology.gml import Graph, read_gml
from testbed.topology.graphml import read_graphml
from testbed.topology.located import text_of
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.names import slug, unique
from testbed.topology.shapes import GATEWAY_LINK, NODE_LINK, TRUNK_LINK, link

SUFFIXES = (".gml", ".graphml")
MOST_BYTES = 16 * 2**20
MOST_VERTICES = 5000
_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def load(
    path: Path,
    kinds: Sequence[str],
    trunk: Shape = TRUNK_LINK,
    node: Shape = NODE_LINK,
    gateway: Shape = GATEWAY_LINK,
) -> Topology:
    """The network in `path`. trunk, node, gateway: shapes of what the file does not say. Raises InputError."""
    text = text_of(path, MOST_BYTES)
    graph = read_graphml(text, str(path)) if path.suffix.lower() == ".graphml" else read_gml(text, str(path))
    if not 1 <= len(graph.vertices) <= MOST_VERTICES:
        found = f"holds {len(graph.vertices)} nodes, expected 1 to {MOST_VERTICES}"
        raise InputError([Problem(str(path), 1, 1, "graph", found)])
    return _resolved(graph, slug(path.stem) or "graph", kinds, trunk, node, gateway)


def _resolved(graph: Graph, name: str, kinds: Sequence[str], trunk: Shape, node: Shape, gateway: Shape) -> Topology:
    names = unique(v.get("label") for v in graph.vertices)
    rates = _merged(graph)
    places = _places(graph, rates)
    trunks = [
        _trunk(names[i], names[j], places[i], places[j], replace(trunk, rate=rate or trunk.rate))
        for (i, j), rate in rates.items()
    ]
    largest = set(derive.components(names, trunks)[0])
    trunks = [k for k in trunks if k.a in largest]
    bare = [Site(n, "", *(p or (None, None))) for n, p in zip(names, places, strict=True) if n in largest]
    sites, at = derive.clustered(bare, trunks)
    hosts = [Host(f"n-{s.name}", s.name, s.domain) for s in sites]
    nodes = derive.dealt(hosts, kinds, derive.degrees(sites, trunks))
    ingresses = derive.ingress_hosts(at)
    links = [*trunks, *derive.host_links(nodes, node, "node"), *derive.host_links(ingresses, gateway, "gateway")]
    return Topology(name, tuple(sites), tuple(nodes), tuple(ingresses), tuple(links))


def _merged(graph: Graph) -> dict[tuple[int, int], float | None]:
    """{(i, j): rate bit/s or None}, i < j, in file order; loops dropped, parallel edges merged."""
    out: dict[tuple[int, int], float | None] = {}
    for i, j, attributes in graph.edges:
        if i == j:
            continue
        pair = (min(i, j), max(i, j))
        given = [r for r in (out.get(pair), _rate(attributes)) if r is not None]
        out[pair] = max(given, default=None)
    return out


def _places(graph: Graph, pairs: Mapping[tuple[int, int], object]) -> list[Coordinates | None]:
    neighbours: list[list[int]] = [[] for _ in graph.vertices]
    for i, j in pairs:
        neighbours[i].append(j)
        neighbours[j].append(i)
    return filled([_place(v) for v in graph.vertices], neighbours)


def _trunk(a: str, b: str, at: Coordinates | None, to: Coordinates | None, default: Shape) -> Link:
    return link(a, b, replace(default, delay=fibre_delay(at, to)) if at and to else default)


def _place(vertex: Mapping[str, Any]) -> Coordinates | None:
    longitude, latitude = _number(vertex.get("Longitude")), _number(vertex.get("Latitude"))
    if longitude is None or latitude is None or abs(longitude) > 180 or abs(latitude) > 90:
        return None
    return longitude, latitude


def _rate(edge: Mapping[str, Any]) -> float | None:
    """bit/s as the Topology Zoo writes it, or None."""
    raw = _number(edge.get("LinkSpeedRaw"))
    if raw is None and (speed := _number(edge.get("LinkSpeed"))) is not None:
        factor = _UNITS.get(str(edge.get("LinkSpeedUnits", "")).strip().upper()[:1])
        raw = speed * factor if factor else None
    return raw if raw is not None and raw > 0 else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
