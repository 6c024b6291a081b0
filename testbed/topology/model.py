"""A network to be emulated: plain values, nominal SI units, resolved (no ranges, no names left to look up)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Shape:
    """One direction of a link. rate bit/s; delay, jitter (standard deviation) s; loss 0..1, its mean; queue bytes.

    queue None: the backend's default, the larger of 60 kB and 100 ms at the rate. jitter_law: normal | uniform |
    pareto; jitter_correlation: of one frame's jitter with the next one's, 0..1. loss_burst > 0: Gilbert–Elliott, the
    mean frames of a bad state in which loss_bad of them are lost, loss_good outside it; 0: each frame on its own.
    duplicate, reorder, corrupt: shares of frames, 0..1; a reordered frame skips the delay and overtakes.
    """

    rate: float
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    queue: float | None = None
    jitter_law: str = "normal"
    jitter_correlation: float = 0.0
    loss_burst: float = 0.0
    loss_bad: float = 1.0
    loss_good: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0

    @property
    def rate_only(self) -> bool:
        """Nothing but a rate and a queue?"""
        return not (self.delay or self.jitter or self.loss or self.duplicate or self.reorder or self.corrupt)

    def chain(self) -> tuple[float, float]:
        """Gilbert–Elliott: probabilities per frame of good → bad and bad → good, from mean loss and burst length."""
        bad = (self.loss - self.loss_good) / (self.loss_bad - self.loss_good)
        leave = 1 / self.loss_burst
        return leave * bad / (1 - bad), leave

    def mistake(self) -> str:
        """What makes these values impossible together; "" where nothing does."""
        if self.loss and self.loss_burst:
            if not self.loss_good < self.loss < self.loss_bad:
                return (
                    f"loss {self.loss:g} is the mean of a bad state with loss_bad {self.loss_bad:g} and a good one "
                    f"with loss_good {self.loss_good:g}: it lies between them"
                )
            if self.chain()[0] > 1:
                return (
                    f"bursts of {self.loss_burst:g} frames are too short for a mean loss of {self.loss:g}: "
                    "lengthen loss_burst or lower loss"
                )
        elif self.loss_burst:
            return "loss_burst needs a mean loss above 0: give loss too"
        if self.reorder and not self.delay:
            return "a reordered frame skips the delay, and there is none: give a delay too"
        return ""

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
