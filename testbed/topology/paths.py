"""Which way the network carries what: one shortest-path tree per site, used by flows and by path costs alike.

A path is the one least in Σ (delay + 1/rate), nominal, s and s per bit (mathematics.md §1): the shortest delay,
equal delays decided by the rate, then by fewer hops, then by name. The network control installs exactly these
next hops, and a rate that fluctuates does not move a path, so what `paths` says is what a transfer meets.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from functools import lru_cache

from controller.model import Paths
from testbed.topology.model import Link, Topology

#: Per site: (name of the next site, link to it) toward a target, nearest to the target first.
Tree = dict[str, tuple[str, Link]]


def paths(topology: Topology, rates: Mapping[str, float] | None = None, down: frozenset[str] = frozenset()) -> Paths:
    """Delay [s] and per_byte [s per byte, 8/bottleneck] between all nodes and ingresses.

    rates: current bit/s by link name "a--b" (both directions) or "a->b" (one); others are nominal.
    down: names of links that carry nothing, in either order. Pairs that are cut off are missing.
    """
    rates = rates or {}
    down = _canonical(topology, down)
    up = _uplinks(topology)
    hosts = [h for h in (*topology.nodes, *topology.ingresses) if up[h.name].name not in down]
    outward = {h.name: _direction(up[h.name], h.name, rates) for h in hosts}
    inward = {h.name: _direction(up[h.name], h.site, rates) for h in hosts}
    trees = _trees(topology, down)
    delay: dict[tuple[str, str], float] = {}
    per_byte: dict[tuple[str, str], float] = {}
    costs: dict[str, dict[str, tuple[float, float]]] = {}
    for b in hosts:
        if b.site not in costs:
            costs[b.site] = _toward(b.site, trees[b.site], rates)
        toward = costs[b.site]
        last_delay, last_rate = inward[b.name]
        for a in hosts:
            if a is b or a.site not in toward:
                continue
            first_delay, first_rate = outward[a.name]
            middle_delay, middle_rate = toward[a.site]
            pair = (a.name, b.name)
            delay[pair] = first_delay + middle_delay + last_delay
            per_byte[pair] = 8.0 / min(first_rate, middle_rate, last_rate)
    return Paths(delay, per_byte)


def next_hops(topology: Topology, down: frozenset[str] = frozenset()) -> dict[str, dict[str, str]]:
    """{site: {host: name of the link to take}}: the host's own link at its site, a trunk elsewhere.

    A host that can't be reached from a site is missing there.
    """
    down = _canonical(topology, down)
    up = _uplinks(topology)
    trees = _trees(topology, down)
    table: dict[str, dict[str, str]] = {s.name: {} for s in topology.sites}
    for host in (*topology.nodes, *topology.ingresses):
        if up[host.name].name in down:
            continue
        table[host.site][host.name] = up[host.name].name
        for site, (_, link) in trees[host.site].items():
            table[site][host.name] = link.name
    return table


def trunk_hops(topology: Topology, down: frozenset[str] = frozenset()) -> dict[str, dict[str, str]]:
    """{site with hosts: {other site: name of the trunk to take toward it}}: `next_hops` between sites."""
    trees = _trees(topology, _canonical(topology, down))
    return {target: {site: link.name for site, (_, link) in tree.items()} for target, tree in trees.items()}


def _canonical(topology: Topology, down: frozenset[str]) -> frozenset[str]:
    if not down:
        return down
    return frozenset(k.name for k in topology.links if k.name in down or f"{k.b}--{k.a}" in down)


def _uplinks(topology: Topology) -> dict[str, Link]:
    hosts = {h.name for h in (*topology.nodes, *topology.ingresses)}
    return {k.a if k.a in hosts else k.b: k for k in topology.links if k.role != "trunk"}


def _direction(link: Link, source: str, rates: Mapping[str, float]) -> tuple[float, float]:
    """Delay and current rate of `link` as it leaves `source`."""
    a, b, shape = (link.a, link.b, link.ab) if link.a == source else (link.b, link.a, link.ba)
    rate = shape.rate
    if rates:
        rate = rates.get(f"{a}->{b}", rates.get(link.name, rate))
    return shape.delay, max(rate, 1e-9)


def _toward(target: str, tree: Tree, rates: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Per site: delay and bottleneck rate to `target` along the tree."""
    cost = {target: (0.0, float("inf"))}
    for site, (following, link) in tree.items():
        hop_delay, hop_rate = _direction(link, site, rates)
        delay, rate = cost[following]
        cost[site] = (delay + hop_delay, min(rate, hop_rate))
    return cost


@lru_cache(maxsize=16)
def _trees(topology: Topology, down: frozenset[str]) -> dict[str, Tree]:
    """Shortest-path tree toward every site that has a host. Kept: it changes only when a link fails."""
    incoming: dict[str, list[tuple[str, Link, float]]] = {s.name: [] for s in topology.sites}
    for k in topology.links:
        if k.role == "trunk" and k.name not in down:
            incoming[k.b].append((k.a, k, k.ab.delay + 1.0 / k.ab.rate))
            incoming[k.a].append((k.b, k, k.ba.delay + 1.0 / k.ba.rate))
    targets = dict.fromkeys(h.site for h in (*topology.nodes, *topology.ingresses))
    return {t: _tree(t, incoming) for t in targets}


def _tree(target: str, incoming: Mapping[str, list[tuple[str, Link, float]]]) -> Tree:
    """Dijkstra backward from the target; sites in the order they are settled."""
    tree: Tree = {}
    settled: set[str] = set()
    heap: list[tuple[float, int, str, str, Link | None]] = [(0.0, 0, target, "", None)]
    while heap:
        distance, hops, site, following, link = heapq.heappop(heap)
        if site in settled:
            continue
        settled.add(site)
        if link is not None:
            tree[site] = (following, link)
        for neighbour, over, weight in incoming[site]:
            if neighbour not in settled:
                heapq.heappush(heap, (distance + weight, hops + 1, neighbour, site, over))
    return tree
