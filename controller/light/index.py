"""What never changes about a model, and what changes only with the paths, looked up once: names as array positions.

Both are pure functions of frozen values, kept for the last few values asked about (by identity: models and paths are
too large to hash in every slot). So hand over the same `Paths` while the paths do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from controller.light import demand
from controller.light import law as laws
from controller.light.law import Array, Flags, Whole
from controller.light.traffic import Neighbour, neighbours
from controller.model import Core, Light, Model, Paths

T = TypeVar("T")
#: Values kept by each memory.
KEPT = 8
#: Stands for "no path" in a sum, s.
NO_PATH = 1e3
#: Results of `Ways.near` kept.
RADII_KEPT = 200


class _Memory(Generic[T]):
    """The last results of `make`, found again when called with the very same objects."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._kept: list[tuple[tuple[Any, ...], T]] = []

    def __call__(self, *key: Any) -> T:
        for known, value in self._kept:
            if all(a is b for a, b in zip(known, key, strict=True)):
                return value
        value = self._make(*key)
        self._kept = [(key, value), *self._kept[: KEPT - 1]]
        return value


@dataclass(frozen=True)
class Index:
    """Of a model: nodes in its order; endpoints are nodes, then ingresses; domains as in `demand.domains`."""

    model: Model

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Node name → row."""
        return {v: k for k, v in enumerate(self.names)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the nodes."""
        return tuple(v.name for v in self.model.nodes)

    @cached_property
    def endpoint(self) -> Mapping[str, int]:
        """Node or ingress name → row and column of `Ways`."""
        names = [*self.names, *(o.name for o in self.model.ingresses)]
        return {name: k for k, name in enumerate(names)}

    @cached_property
    def gateways(self) -> Whole:
        """Per ingress, its row of `Ways`."""
        return np.arange(len(self.model.ingresses)) + len(self.model.nodes)

    @cached_property
    def domains(self) -> tuple[str, ...]:
        return demand.domains(self.model)

    @cached_property
    def domain_of(self) -> Mapping[str, str]:
        """Node name → its domain."""
        return {v.name: v.domain for v in self.model.nodes}

    @cached_property
    def domains_by_name(self) -> Whole:
        """Places in `domains`, in the alphabetical order of the names."""
        return np.array(sorted(range(len(self.domains)), key=self.domains.__getitem__), dtype=np.int64)

    @cached_property
    def domain_row(self) -> Mapping[str, int]:
        """Domain → its place in `domains`."""
        return {g: k for k, g in enumerate(self.domains)}

    @cached_property
    def domain(self) -> Whole:
        """Per node, the place of its domain in `domains`."""
        return np.array([self.domain_row[v.domain] for v in self.model.nodes], dtype=np.int64)

    @cached_property
    def representatives(self) -> Whole:
        """Per domain, the endpoint that stands for its senders."""
        return np.array([self.endpoint[demand.representative(self.model, g)] for g in self.domains], dtype=np.int64)

    @cached_property
    def by_name(self) -> Whole:
        """Per node, its rank among the names in alphabetical order: ties go to the first name."""
        order = np.argsort(np.array([v.name for v in self.model.nodes]), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank

    @cached_property
    def cpu(self) -> Array:
        return np.array([v.cpu for v in self.model.nodes])

    @cached_property
    def memory(self) -> Array:
        return np.array([v.memory for v in self.model.nodes])

    @cached_property
    def speed(self) -> Array:
        return np.array([v.speed for v in self.model.nodes])

    @cached_property
    def price(self) -> Array:
        return np.array([v.price for v in self.model.nodes])

    @cached_property
    def services(self) -> Mapping[str, Core | Light]:
        return {m.name: m for m in self.model.services()}

    @cached_property
    def needs(self) -> Mapping[str, tuple[float, float, bool]]:
        """Service → CPU and memory of an instance (core: True) or of one worker (False)."""
        return {m.name: (m.cpu, m.memory, isinstance(m, Core)) for m in self.model.services()}

    @cached_property
    def turn(self) -> Mapping[str, int]:
        """Light service → its number: whose turn it is in a slot."""
        return {m.name: k for k, m in enumerate(self.model.light)}

    @cached_property
    def means(self) -> Mapping[str, float]:
        """Service → its mean work, s at speed 1 without contention."""
        return {m.name: m.work * laws.mean(m.law) for m in self.model.services()}

    @cached_property
    def slowness(self) -> float:
        """Mean 1/speed of the nodes."""
        return sum(1.0 / v.speed for v in self.model.nodes) / len(self.model.nodes)

    @cached_property
    def edges(self) -> Mapping[str, demand.Edges]:
        """Service → `demand.edges` of it."""
        return {m.name: demand.edges(self.model, m.name) for m in self.model.services()}

    @cached_property
    def sent(self) -> Mapping[str, float]:
        """Service → mean bytes it sends on per request."""
        return {m: sum(size * share for _, size, share in out) for m, (_, out) in self.edges.items()}

    @cached_property
    def neighbours(self) -> Mapping[str, tuple[Neighbour, ...]]:
        """Service → those that it gets from and sends to."""
        return neighbours(self.model, self.edges)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Service → its row of `Slot.flows`."""
        return {m: k for k, m in enumerate(self.services)}

    @cached_property
    def around(self) -> Mapping[str, tuple[Array, Array, Whole]]:
        """Service → of `neighbours`: bytes per request of ours, and of theirs; rows of `Slot.flows`: loops.staying."""
        return {
            m: (
                np.array([n.size * n.mine for n in rows]),
                np.array([n.size * n.its for n in rows]),
                np.array([self.row[n.service] for n in rows], dtype=np.int64),
            )
            for m, rows in self.neighbours.items()
        }

    @cached_property
    def targets(self) -> Mapping[str, float]:
        """ε_m: the tightest target of the task types that use the service; 1 when none does."""
        found = dict.fromkeys(self.services, 1.0)
        for n in self.model.tasks:
            for s in n.stages:
                found[s.service] = min(found[s.service], n.epsilon)
        return found


@dataclass(frozen=True)
class Ways:
    """Path costs as arrays over the endpoints of an index; no path: infinite. delay in s, per_byte in s per byte."""

    delay: Array
    per_byte: Array
    between: Array  # delay between the representatives of two domains, the longer of both ways
    into: Array  # bytes per s that a node can take in at most: over its widest way from anywhere
    out: Array  # and send

    within: dict[float, Flags] = field(default_factory=dict, repr=False, compare=False)

    def near(self, radius: float) -> Flags:
        """Whether two domains are at most `radius` (s) apart, domains × domains."""
        known = self.within.get(radius)
        if known is None:
            if len(self.within) >= RADII_KEPT:
                self.within.clear()
            self.within[radius] = known = self.between <= radius
        return known

    def net(self, rows: Whole, columns: Whole, size: float) -> Array:
        """Eq. (1) for `size` bytes, rows × columns, s."""
        at = rows[:, None], columns[None, :]
        seconds: Array = self.delay[at] + size * self.per_byte[at]
        return seconds


def _ways(model: Model, paths: Paths) -> Ways:
    found = index(model)
    n, at = len(found.endpoint), found.endpoint
    delay, per_byte = np.full((n, n), np.inf), np.zeros((n, n))
    np.fill_diagonal(delay, 0.0)
    rows = [(at[a], at[b], d, paths.per_byte[a, b]) for (a, b), d in paths.delay.items() if a in at and b in at]
    if rows:
        i, j, seconds, rates = zip(*rows, strict=True)
        delay[i, j], per_byte[i, j] = seconds, rates
        np.fill_diagonal(delay, 0.0)
        np.fill_diagonal(per_byte, 0.0)
    heads = delay[np.ix_(found.representatives, found.representatives)]
    away = np.where(np.isfinite(delay) & ~np.eye(n, dtype=bool), per_byte, np.inf)[:, : len(model.nodes)]
    back = np.where(np.isfinite(delay) & ~np.eye(n, dtype=bool), per_byte, np.inf)[: len(model.nodes)]
    with np.errstate(divide="ignore"):
        into, out = 1.0 / away.min(axis=0), 1.0 / back.min(axis=1)
    return Ways(delay, per_byte, np.maximum(heads, heads.T), into, out)


index: Callable[[Model], Index] = _Memory(Index)
ways: Callable[[Model, Paths], Ways] = _Memory(_ways)
