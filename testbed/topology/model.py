"""A network to be emulated: plain values, nominal SI units, resolved (no ranges, no names left to look up)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a link. rate bit/s; delay, jitter (standard deviation) s; loss 0..1; queue bytes.

    queue None: the backend's default, the larger of 60 kB and 100 ms at the rate.
    """

    rate: float
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    queue: float | None = None

    def scaled(self, dilate: float, shrink: float) -> Shape:
        """The wire's values of a nominal shape: times × dilate, rates ÷ (dilate·shrink), queue ÷ shrink."""
        queue = None if self.queue is None else self.queue / shrink
        return replace(
            self,
            rate=self.rate / dilate / shrink,
            delay=self.delay * dilate,
            jitter=self.jitter * dilate,
            queue=queue,
        )


@dataclass(frozen=True, slots=True)
class Link:
    """An undirected link between two named ends; `ab` shapes a→b, `ba` shapes b→a."""

    name: str  # "a--b"
    a: str
    b: str
    ab: Shape
    ba: Shape
    role: str = "trunk"  # trunk | node | gateway


@dataclass(frozen=True, slots=True)
class Site:
    """A switch. domain: cluster, which is also the failure domain of what hangs on it."""

    name: str
    domain: str
    longitude: float | None = None
    latitude: float | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """An edge node (kind: a key of the scenario's `nodes`) or an ingress gateway (kind None), at a site."""

    name: str
    site: str
    domain: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """sites (switches), nodes, ingresses (one per domain by default), links of all three roles.

    Every host has exactly one link, of role "node" or "gateway", to its site; trunks join sites.
    """

    name: str
    sites: tuple[Site, ...]
    nodes: tuple[Host, ...]
    ingresses: tuple[Host, ...]
    links: tuple[Link, ...]

    def link(self, name: str) -> Link:
        return next(k for k in self.links if k.name == name)

    def domains(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s.domain for s in self.sites))
