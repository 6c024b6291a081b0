"""Which way the network carries what: one shortest-path tree per site, used by flows and by path costs alike.

A path is the one least in Σ (delay + 1/rate), nominal, s and s per bit (mathematics.md §1): the shortest delay,
equal delays decided by the rate, then by fewer hops, then by name. The network control installs exactly these
next hops, and a rate that fluctuates does not move a path, so what `paths` says is what a transfer meets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from controller.model import Paths
from testbed.topology.model import Link, Topology

Floats = NDArray[np.float64]
#: Per site: (name of the next site, link to it) toward a target, nearest to the target first.
Tree = dict[str, tuple[str, Link]]


def paths(topology: Topology, rates: Mapping[str, float] | None = None, down: frozenset[str] = frozenset()) -> Paths:
    """Delay [s] and per_byte [s per byte, 8/bottleneck] between all nodes and ingresses.

    rates: current bit/s by link name "a--b" (both directions) or "a->b" (one); others are nominal.
    down: names of links that carry nothing, in either order. Pairs that are cut off are missing.
    """
    return Paths(*_routes(topology, down).costs(rates or {}))


def tolls(topology: Topology, prices: Mapping[str, float], down: frozenset[str] = frozenset()) -> Floats:
    """[source, target], nodes and then ingresses: what a byte pays on the trunks of its path, 0 without one.

    prices: of directions "a->b", s per byte; others are free.
    """
    return _routes(topology, down).tolls(prices)


class Pairs(Mapping[tuple[str, str], float]):
    """A matrix [source, target] as a mapping from pairs of names; what is infinite, and the diagonal, is missing.

    With 1,000 nodes these are a million pairs, and who routes by the matrix asks for none: the dictionary is made when
    somebody does.
    """

    def __init__(self, names: tuple[str, ...], matrix: Floats) -> None:
        self.names, self.matrix = names, matrix

    @cached_property
    def _found(self) -> dict[tuple[str, str], float]:
        return {
            (a, b): x
            for b, column in zip(self.names, self.matrix.T.tolist(), strict=True)
            for a, x in zip(self.names, column, strict=True)
            if a is not b and x != np.inf
        }

    def __getitem__(self, pair: tuple[str, str]) -> float:
        return self._found[pair]

    def __contains__(self, pair: object) -> bool:
        return pair in self._found

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def items(self):  # type: ignore[no-untyped-def]  # as a dictionary's, which is faster than the one of Mapping
        return self._found.items()


class Routes:
    """The paths of a topology while some links are down: found once, then costed by the rates of the moment."""

    def __init__(self, topology: Topology, down: frozenset[str] = frozenset()) -> None:
        down = _canonical(topology, down)
        hosts = (*topology.nodes, *topology.ingresses)
        self._names = tuple(h.name for h in hosts)
        lane: dict[tuple[str, str], int] = {}  # link, end it leaves → 2 i for a→b, 2 i + 1 for b→a
        self._lanes: dict[str, list[int]] = {}  # what a rate is known by → lanes
        for i, k in enumerate(topology.links):
            lane[k.name, k.a], lane[k.name, k.b] = 2 * i, 2 * i + 1
            self._lanes |= {k.name: [2 * i, 2 * i + 1], f"{k.a}->{k.b}": [2 * i], f"{k.b}->{k.a}": [2 * i + 1]}
        self._delays = np.array([s.delay for k in topology.links for s in (k.ab, k.ba)])
        self._nominal = np.array([s.rate for k in topology.links for s in (k.ab, k.ba)])
        up = _uplinks(topology)
        self._out = np.array([lane[up[h.name].name, h.name] for h in hosts])
        self._in = np.array([lane[up[h.name].name, h.site] for h in hosts])
        self._lost = np.array([up[h.name].name in down for h in hosts])
        site = {s.name: i for i, s in enumerate(topology.sites)}
        trees = _trees(topology, down)
        target = {name: t for t, name in enumerate(trees)}
        self._shape = len(target), len(site)
        self._ends = np.array([[target[name], site[name]] for name in trees]).T
        self._levels = _levels(trees, site, lane)
        #: Of each pair of hosts [source, target]: row and column of a matrix [site with hosts, site].
        self._between = np.ix_([target[h.site] for h in hosts], [site[h.site] for h in hosts])

    def costs(self, rates: Mapping[str, float]) -> tuple[Pairs, Pairs]:
        """(delay, per_byte), as `paths` has them."""
        now = self._nominal.copy()
        for known in sorted(rates, key=lambda name: "->" in name):  # a direction's own rate goes before the link's
            now[self._lanes.get(known, [])] = rates[known]
        np.maximum(now, 1e-9, out=now)
        least = np.full(self._shape, np.inf)
        for t, s, following, lane in self._levels:
            least[t, s] = np.minimum(least[t, following], now[lane])
        least = np.minimum(now[self._out][:, None], np.minimum(least[self._between].T, now[self._in]))
        per_byte = np.where(np.isfinite(self._delay.matrix), 8.0 / least, np.inf)
        np.fill_diagonal(per_byte, 0.0)
        return self._delay, Pairs(self._names, per_byte)

    def tolls(self, prices: Mapping[str, float]) -> Floats:
        """As `tolls` has them."""
        price = np.zeros(len(self._nominal))
        for way, amount in prices.items():
            price[self._lanes.get(way, [])] = amount
        found = self._along(price)
        return np.where(np.isfinite(found), found, 0.0)

    def _along(self, each: Floats) -> Floats:
        """[source, target]: the sum over the trunks of a path; infinite where there is none."""
        middle = np.full(self._shape, np.inf)
        middle[tuple(self._ends)] = 0.0
        for t, s, following, lane in self._levels:
            middle[t, s] = middle[t, following] + each[lane]
        return middle[self._between].T

    @cached_property
    def _delay(self) -> Pairs:
        delay = self._delays[self._out][:, None] + self._along(self._delays) + self._delays[self._in]
        delay[self._lost] = delay[:, self._lost] = np.inf
        np.fill_diagonal(delay, 0.0)
        return Pairs(self._names, delay)


def _levels(trees: Mapping[str, Tree], site: Mapping[str, int], lane: Mapping[tuple[str, str], int]) -> list[Floats]:
    """Trees by hops from their targets, so that all trees are walked at once.

    Per level an array of four rows: tree, site, next site toward the target, lane that leads there.
    """
    levels: list[list[tuple[int, int, int, int]]] = []
    for t, (name, tree) in enumerate(trees.items()):
        hops = {name: 0}
        for here, (following, link) in tree.items():
            hops[here] = hops[following] + 1
            if len(levels) < hops[here]:
                levels.append([])
            levels[hops[here] - 1].append((t, site[here], site[following], lane[link.name, here]))
    return [np.array(level).T for level in levels]


@lru_cache(maxsize=4)
def _routes(topology: Topology, down: frozenset[str]) -> Routes:
    return Routes(topology, down)


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
