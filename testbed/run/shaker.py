"""The timeline of a run's faults: applied, verified and reverted at their times, in any world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.faults.base import Planned
from testbed.load.tasks import TaskSource
from testbed.world.base import Disturbance, World

#: (kind, planned s, actual s, data) → one line of events.jsonl
Note = Callable[..., None]


@dataclass
class LoadGround:
    """The verb "load": the arrival intensity, which the run owns, so that it is the same in every world."""

    source: TaskSource
    clock: Callable[[], float]

    def disturb(self, target: str, shape: Mapping[str, Any], at: float) -> Disturbance:
        return Disturbance(f"load:{target}", "load", target, dict(shape), at, False, "offered rate not yet counted")

    def undo(self, d: Disturbance) -> Disturbance:
        """Verified by what was drawn: within five standard deviations of the intensity's integral."""
        end = self.clock()
        count = self.source.count(d.target, d.applied_at, end)
        expected = self.source.expected(d.target, d.applied_at, end)
        near = abs(count - expected) <= 5.0 * max(expected, 1.0) ** 0.5
        evidence = f"{count} tasks offered in {end - d.applied_at:.1f} s, the intensity says {expected:.1f}"
        return replace(d, reverted_at=end, verified=near, evidence=evidence)


@dataclass
class Shaker:
    """Applies planned faults to a world and to the load, and reverts every one of them, whatever happens."""

    world: World
    source: TaskSource
    planned: list[Planned]
    note: Note
    ground: LoadGround = field(init=False)
    _shaped: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ground = LoadGround(self.source, self.world.now)

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        if verb == "load":
            return self.ground.disturb(target, shape, self.world.now())
        return self.world.disturb(verb, target, shape)

    def undo(self, disturbance: Disturbance) -> Disturbance:
        return self.ground.undo(disturbance) if disturbance.verb == "load" else self.world.undo(disturbance)

    def shape_load(self, until: float) -> None:
        """Put the load faults that begin or end before `until` into the intensity, before tasks are drawn."""
        for p in self.planned:
            if p.fault.kind != "load_spike":
                continue
            for edge, at, value in (("on", p.start, p.parameters.factor), ("off", p.end, 1.0)):  # type: ignore[attr-defined]
                if at < until and (p.name, edge) not in self._shaped:
                    self._shaped.add((p.name, edge))
                    self.source.set_factor(p.fault.target, value, at)

    def next_edge(self, now: float) -> float:
        """When the next fault begins or ends, s; infinity when none is left."""
        edges = [p.start for p in self.planned if not p.in_force and not p.done]
        edges += [p.end for p in self.planned if p.in_force]
        return min(edges, default=float("inf"))

    def fire(self, now: float) -> bool:
        """Apply and revert what is due. True when something changed."""
        changed = False
        for p in self.planned:
            if not p.in_force and not p.done and p.start <= now:
                p.in_force = p.apply(self, p.fault.target, p.parameters)
                changed = True
                if not p.in_force:  # the nothing fault leaves a mark in the records all the same
                    p.done = [Disturbance(p.name, "nothing", p.fault.target, {}, now, True, "", now)]
                for d in p.in_force:
                    self._note("fault_applied", p, d, p.start, d.applied_at)
            elif p.in_force and p.end <= now:
                self._revert(p)
                changed = True
        return changed

    def _revert(self, p: Planned) -> None:
        for d in reversed(p.in_force):
            undone = self.undo(d)
            p.done.append(undone)
            self._note("fault_reverted", p, undone, p.end, undone.reverted_at)
        p.in_force = []

    def _note(self, kind: str, p: Planned, d: Disturbance, planned: float, actual: float | None) -> None:
        facts = {"fault": p.name, "verb": d.verb, "target": d.target, "verified": d.verified, "evidence": d.evidence}
        self.note(kind, planned, actual, **facts)

    def active(self) -> list[str]:
        return [p.name for p in self.planned if p.in_force]

    def revert_all(self) -> None:
        """At the end, on an error or on an interrupt."""
        for p in self.planned:
            if p.in_force:
                self._revert(p)

    def summary(self) -> list[dict[str, Any]]:
        """The `faults` of summary.json. A fault counts as verified when applied *and* reverted were read back."""
        out = []
        for p in self.planned:
            for d in p.done:
                out.append(
                    {
                        "name": p.name,
                        "kind": p.fault.kind,
                        "target": p.fault.target,
                        "planned_at_s": p.start,
                        "applied_at_s": d.applied_at,
                        "reverted_at_s": d.reverted_at,
                        "verified": d.verified,
                        "evidence": d.evidence,
                    }
                )
        return out
