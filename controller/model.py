"""The instance a controller decides on (docs/mathematics.md §1): frozen, serialisable, SI units.

Seconds, bytes, bits per second, cores; letters in brackets are those of docs/mathematics.md.
All values are *nominal*: a world that dilates or shrinks converts at its own border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Source of a stage input that comes from the task's own gateway.
INGRESS = "ingress"
#: Least power gain of a fading access channel: a deeper fade would be an outage, not a slow task.
LEAST_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class Costs:
    """Prices of a service before the node's price factor: once, per slot, per worker and slot."""

    deploy: float  # c_dp
    keep: float  # c_mt
    parallel: float = 0.0  # c_pl


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of mean 1 that multiplies work (or divides it, for a rate).

    kind: "deterministic" | "uniform" (1 ± spread) | "exponential" | "lognormal" (cv) |
    "gamma" (a *rate* factor f ~ Gamma(shape, 1/shape), floored; the work is divided by it).
    """

    kind: str = "deterministic"
    spread: float = 0.0
    shape: float = 1.0
    cv: float = 0.0
    floor: float = 0.1


@dataclass(frozen=True, slots=True)
class Node:
    """Edge node v: cpu [C_v] cores, memory [M_v] bytes, speed [s_v], price, failure domain [g(v)]."""

    name: str
    domain: str
    cpu: float
    memory: float
    speed: float = 1.0
    price: float = 1.0


@dataclass(frozen=True, slots=True)
class Ingress:
    """Gateway o. weight: the *planner's view* of its share of the arrivals, summing to 1."""

    name: str
    domain: str
    weight: float


@dataclass(frozen=True, slots=True)
class Core:
    """Core service m ∈ M_C: work [x_m] s at speed 1, streams [κ_m] served at a time per instance."""

    name: str
    work: float
    cpu: float
    memory: float
    streams: int
    startup: float
    costs: Costs
    law: Law = Law("uniform", spread=0.05)
    state: float = 0.0


@dataclass(frozen=True, slots=True)
class Light:
    """Light service m ∈ M_L: work [x_m] s at speed 1; cpu and memory are *per worker*."""

    name: str
    work: float
    cpu: float
    memory: float
    startup: float
    costs: Costs
    law: Law = Law("gamma", shape=2.0)
    state: float = 0.0


@dataclass(frozen=True, slots=True)
class Input:
    """One edge e of a task's DAG: `bytes` [b_e] from stage `source` (or INGRESS)."""

    source: str
    bytes: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A vertex of a task's DAG. More than one input makes it a join."""

    name: str
    service: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class TaskType:
    """Task type n: stages in topological order, deadline [D_n] s, target [ε_n], result bytes per sink."""

    name: str
    share: float
    deadline: float
    epsilon: float
    stages: tuple[Stage, ...]
    output: float

    def sinks(self) -> tuple[str, ...]:
        """Names of the stages whose result goes back to the gateway."""
        fed = {i.source for s in self.stages for i in s.inputs}
        return tuple(s.name for s in self.stages if s.name not in fed)


@dataclass(frozen=True, slots=True)
class Paths:
    """Path costs between endpoints (node and ingress names), along the path least in delay + 1/rate.

    delay: propagation, s. per_byte: 8 / bottleneck rate, s per byte. Missing pair = unreachable.
    """

    delay: Mapping[tuple[str, str], float]
    per_byte: Mapping[tuple[str, str], float]

    def net(self, source: str, target: str, size: float) -> float:
        """net(o, v, b) in seconds; infinity where no path is left, 0 on the same endpoint."""
        if source == target:
            return 0.0
        pair = (source, target)
        if pair not in self.delay:
            return float("inf")
        return self.delay[pair] + size * self.per_byte[pair]


@dataclass(frozen=True, slots=True)
class Access:
    """Private access channel of a task: mean rate (bit/s), Nakagami m (0 = no fading)."""

    rate: float
    m: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of latencies better than by eq. (8); empty: nothing.

    service: (service, node) → seconds of service, as measured. latency: (service, ingress, node) → L_mov, s. factor:
    (service, ingress) → one factor per node, in the model's order, by which the planner's L_mov is wrong.
    """

    service: Mapping[tuple[str, str], float] = field(default_factory=dict)
    latency: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    factor: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """Everything known before a run. load: tasks/s over all ingresses at 1×, planner's view."""

    nodes: tuple[Node, ...]
    ingresses: tuple[Ingress, ...]
    core: tuple[Core, ...]
    light: tuple[Light, ...]
    tasks: tuple[TaskType, ...]
    paths: Paths
    access: Access
    load: float
    slot: float = 1.0
    contention: float = 1.0  # α of the contention term (1 + α u²)
    extra: Mapping[str, float] = field(default_factory=dict)
    profile: Profile = Profile()

    def node(self, name: str) -> Node:
        return next(v for v in self.nodes if v.name == name)

    def services(self) -> tuple[Core | Light, ...]:
        """Core services, then light ones."""
        both: list[Core | Light] = [*self.core, *self.light]
        return tuple(both)

    def service(self, name: str) -> Core | Light:
        return next(m for m in self.services() if m.name == name)
