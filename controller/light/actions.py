"""From targets to actions: what has to change between the instances there are and those wanted.

A start and a drain of one service in one slot are one decision, a `Migrate`: the world starts the new instance,
moves the state and drains the old one only when the new one is ready. A `Drain` never takes the last ready instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.decision import Action, Drain, Migrate, Resize, Start
from controller.light.measure import Present
from controller.light.state import Asked, LightState
from controller.model import Model, Paths
from controller.observation import Observation


@dataclass(frozen=True, slots=True)
class Wanted:
    """Target of one service: node → workers, and what its reasons are made of when something has to change.

    numbers: of the service, and by pool (docs/mathematics.md, eq. (25)); local: demand by cluster, per s; pools: name →
    clusters; homes: node → cluster; gains: node → why a change that was not forced pays.
    """

    service: str
    workers: Mapping[str, int]
    numbers: Mapping[str, Any]
    local: Mapping[str, float]
    pools: Mapping[str, Sequence[str]]
    homes: Mapping[str, str]
    gains: Mapping[str, str]

    def reason(self, node: str) -> str:
        """Why this many workers stand on `node`."""
        pool = next(name for name, clusters in self.pools.items() if self.homes[node] in clusters)
        n, own = self.numbers, self.numbers[pool]
        text = (
            f"{self.service}: {own['demand']:.1f}/s in {pool} ("
            + ", ".join([f"{g} {self.local.get(g, 0.0):.1f}/s" for g in self.pools[pool]])
            + f"), x̄ {1e3 * n['mean']:.0f} ms: {own['p']} workers, psi {own['psi']:.3f}"
            + f" (target {n['relaxed']:.2f}) at w {1e3 * n['budget']:.0f} ms, Z {n['Z']:.1f}"
        )
        return f"{text}; {self.gains[node]}" if node in self.gains else text


@dataclass(frozen=True, slots=True)
class Changes:
    """Actions with their reasons, and what the state remembers of them."""

    actions: tuple[Action, ...] = ()
    reasons: tuple[str, ...] = ()
    next: int = 0
    asked: Mapping[str, Asked] = field(default_factory=dict)
    leaving: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Wanted] = field(default_factory=dict)

    def plus(self, start: Start, reason: str, slot: int) -> Changes:
        """The same with one more start."""
        asked = {**self.asked, start.id: Asked(start.service, start.node, start.workers, slot)}
        return replace(
            self,
            actions=(*self.actions, start),
            reasons=(*self.reasons, reason),
            next=self.next + 1,
            asked=asked,
        )


def changes(
    model: Model,
    state: LightState,
    observation: Observation,
    paths: Paths,
    present: Mapping[str, Sequence[Present]],
    wanted: Mapping[str, Wanted],
) -> Changes:
    """The actions of all light services: starts and moves first, then resizes, then drains."""
    book = _Book(observation.slot, state.next, dict(state.asked), dict(state.leaving))
    drains: list[tuple[Action, str]] = []
    resizes: list[tuple[Action, str]] = []
    starts: list[tuple[Action, str]] = []
    for m in model.light:
        if m.name not in wanted:
            continue
        want, have = wanted[m.name], present[m.name]
        kept, surplus = _match(have, want.workers)
        for i in kept:
            if want.workers[i.node] != i.workers:
                book.asked[i.id] = Asked(m.name, i.node, want.workers[i.node], observation.slot)
                resizes.append((Resize(i.id, want.workers[i.node]), f"{want.reason(i.node)} (had {i.workers})"))
        there = {i.node for i in kept}
        new = [v for v in want.workers if v not in there]
        for old, node in _pair(surplus, new, paths):
            start = book.start(m.name, node, want.workers[node])
            book.leaving[old.id] = start.id
            starts.append((Migrate(start, old.id), f"move {old.node} to {node}: {want.reason(node)}"))
            surplus = [i for i in surplus if i.id != old.id]
            new = [v for v in new if v != node]
        starts += [(book.start(m.name, v, want.workers[v]), want.reason(v)) for v in new]
        for i in _may_go(surplus, kept):
            book.leaving[i.id] = ""
            drains.append((Drain(i.id), f"surplus on {i.node}: {want.reason(i.node)}"))
    rows = [*starts, *resizes, *drains]
    actions, reasons = tuple(a for a, _ in rows), tuple(r for _, r in rows)
    return Changes(actions, reasons, book.next, book.asked, book.leaving, wanted)


@dataclass(slots=True)
class _Book:
    slot: int
    next: int
    asked: dict[str, Asked]
    leaving: dict[str, str]

    def start(self, service: str, node: str, workers: int) -> Start:
        start = Start(f"{service}-{self.next}", service, node, workers)
        self.next += 1
        self.asked[start.id] = Asked(service, node, workers, self.slot)
        return start


def _match(have: Sequence[Present], workers: Mapping[str, int]) -> tuple[list[Present], list[Present]]:
    """Instances kept (one per wanted node, a ready one first) and the rest."""
    if len(have) == len(workers) and {i.node for i in have} == workers.keys():
        return list(have), []
    kept: dict[str, Present] = {}
    for i in sorted(have, key=lambda i: (not i.ready, i.id)):
        if i.node in workers and i.node not in kept:
            kept[i.node] = i
    ids = {i.id for i in kept.values()}
    return list(kept.values()), [i for i in have if i.id not in ids]


def _pair(surplus: Sequence[Present], new: Sequence[str], paths: Paths) -> list[tuple[Present, str]]:
    """Moves: ready surplus instances with new nodes, the shortest way for the state first."""
    ways = sorted(
        ((paths.net(i.node, v, 0.0), i.id, v, i) for i in surplus if i.ready for v in new), key=lambda way: way[:3]
    )
    pairs: list[tuple[Present, str]] = []
    for _, _, v, i in ways:
        if all(i.id != j.id and v != u for j, u in pairs):
            pairs.append((i, v))
    return pairs


def _may_go(surplus: Sequence[Present], kept: Sequence[Present]) -> list[Present]:
    """Surplus instances that may drain: all, or all but one ready one while none of those kept is ready."""
    if any(i.ready for i in kept):
        return list(surplus)
    ready = [i for i in surplus if i.ready]
    return [i for i in surplus if i not in ready[:1]]
