"""From a bare graph of sites to a network of edge nodes: clusters, ingresses, kinds (design.md §3).

What a file does not say is derived here, the same way for our own YAML and for graphs from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from testbed.topology.cluster import count_for, medoids, shortest_delays
from testbed.topology.model import Host, Link, Shape, Site
from testbed.topology.shapes import link


def clustered(sites: Sequence[Site], trunks: Sequence[Link]) -> tuple[list[Site], dict[str, str]]:
    """(sites with their domains c1, c2, …, {domain: site that is its medoid}) by k-medoids on delay."""
    index = {s.name: i for i, s in enumerate(sites)}
    edges = [(index[k.a], index[k.b], (k.ab.delay + k.ba.delay) / 2) for k in trunks]
    chosen, owner = medoids(shortest_delays(len(sites), edges), count_for(len(sites)))
    placed = [replace(s, domain=f"c{owner[i] + 1}") for i, s in enumerate(sites)]
    return placed, {f"c{c + 1}": sites[m].name for c, m in enumerate(chosen)}


def middle_sites(sites: Sequence[Site], trunks: Sequence[Link]) -> dict[str, str]:
    """{domain: the site of it with the least total delay to its others}, domains as given."""
    index = {s.name: i for i, s in enumerate(sites)}
    d = shortest_delays(len(sites), [(index[k.a], index[k.b], (k.ab.delay + k.ba.delay) / 2) for k in trunks])
    out: dict[str, str] = {}
    for domain in dict.fromkeys(s.domain for s in sites):
        members = [i for i, s in enumerate(sites) if s.domain == domain]
        out[domain] = sites[min(members, key=lambda i: (d[i, members].sum(), i))].name
    return out


def degrees(sites: Sequence[Site], trunks: Sequence[Link]) -> dict[str, int]:
    """How many trunks meet at each site."""
    count = {s.name: 0 for s in sites}
    for k in trunks:
        count[k.a] += 1
        count[k.b] += 1
    return count


def dealt(hosts: Sequence[Host], kinds: Sequence[str], degree: Mapping[str, int]) -> list[Host]:
    """Hosts without a kind get the kinds in order, round and round, highest degree of their site first."""
    waiting = sorted((i for i, h in enumerate(hosts) if h.kind is None), key=lambda i: (-degree[hosts[i].site], i))
    kind = {i: kinds[rank % len(kinds)] for rank, i in enumerate(waiting)} if kinds else {}
    return [replace(h, kind=kind.get(i, h.kind)) for i, h in enumerate(hosts)]


def ingress_hosts(at: Mapping[str, str]) -> list[Host]:
    """One gateway gw1, gw2, … per domain, at the site given."""
    return [Host(f"gw{i}", site, domain) for i, (domain, site) in enumerate(at.items(), start=1)]


def host_links(hosts: Sequence[Host], shape: Shape, role: str) -> list[Link]:
    """The one link of each host to its site."""
    return [link(h.name, h.site, shape, role=role) for h in hosts]


def components(sites: Sequence[str], trunks: Sequence[Link]) -> list[list[str]]:
    """Connected components, largest first, ties by the first site; each in the order of `sites`."""
    neighbours: dict[str, list[str]] = {s: [] for s in sites}
    for k in trunks:
        neighbours[k.a].append(k.b)
        neighbours[k.b].append(k.a)
    seen: set[str] = set()
    out = []
    for start in sites:
        if start in seen:
            continue
        group, stack = {start}, [start]
        while stack:
            for other in neighbours[stack.pop()]:
                if other not in group:
                    group.add(other)
                    stack.append(other)
        seen |= group
        out.append([s for s in sites if s in group])
    return sorted(out, key=len, reverse=True)
