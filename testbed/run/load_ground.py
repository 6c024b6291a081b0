"""The load as something that faults shake: the run owns it, so it is the same in every world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.faults.base import Planned
from testbed.load.tasks import TaskSource
from testbed.world.base import Disturbance


@dataclass
class LoadGround:
    """The verb "load". Factors of several load faults on one ingress multiply."""

    source: TaskSource
    clock: Callable[[], float]
    _taken: dict[str, int] = field(default_factory=dict)  # fault → how many of its edges are in the intensity
    _ended: set[str] = field(default_factory=set)
    _now: dict[str, dict[str, float]] = field(default_factory=dict)  # ingress → fault → factor

    def disturb(self, target: str, shape: Mapping[str, Any], at: float) -> Disturbance:
        if target not in self.source.names:
            known = ", ".join(self.source.names)
            return Disturbance(
                f"load:{target}", "load", target, dict(shape), at, False, f"no ingress; there are {known}"
            )
        return Disturbance(f"load:{target}", "load", target, dict(shape), at, False, "offered rate not yet counted")

    def undo(self, d: Disturbance) -> Disturbance:
        """Verified by what was drawn: within five standard deviations of the intensity's integral."""
        end = self.clock()
        if d.target not in self.source.names:
            return replace(d, reverted_at=end)
        count = self.source.count(d.target, d.applied_at, end)
        expected = self.source.expected(d.target, d.applied_at, end)
        near = abs(count - expected) <= 5.0 * max(expected, 1.0) ** 0.5
        evidence = f"{count} tasks offered in {end - d.applied_at:.1f} s, the intensity says {expected:.1f}"
        return replace(d, reverted_at=end, verified=near, evidence=evidence)

    def shape(self, planned: list[Planned], until: float) -> None:
        """Put every step that lies before `until` into the intensity, in order of time, before tasks are drawn."""
        edges: list[tuple[float, int, str, str, float]] = []
        for order, p in enumerate(planned):
            if p.steps is None or p.start is None or p.withheld or p.name in self._ended:
                continue
            assert p.end is not None
            own = [s for t in p.fault.targets for s in p.steps(t, p.parameters, p.start, p.length)]
            steps = sorted(own, key=lambda s: s[1])  # stable: a target's own order stays
            steps += [(ingress, p.end, 1.0) for ingress in dict.fromkeys(i for i, _, _ in steps)]
            taken = self._taken.get(p.name, 0)
            fresh = [s for s in steps[taken:] if s[1] < until]
            self._taken[p.name] = taken + len(fresh)
            edges += [(at, order, p.name, ingress, factor) for ingress, at, factor in fresh]
        for at, _, name, ingress, factor in sorted(edges):
            self._set(ingress, name, factor, at)
        counted = [p.start for p in planned if p.steps is not None and p.start is not None and not p.over]
        self.source.forget(min([*counted, self.clock()]))  # only a fault in force will ask what was offered since

    def cut(self, p: Planned) -> None:
        """A load fault ends before its time: the usual load from what has not been drawn yet on."""
        if p.steps is None or p.name in self._ended:
            return
        self._ended.add(p.name)
        for ingress, factors in self._now.items():
            if factors.get(p.name, 1.0) != 1.0:
                self._set(ingress, p.name, 1.0, self.clock())

    def _set(self, ingress: str, name: str, factor: float, at: float) -> None:
        if ingress not in self.source.intensities:
            return  # unknown, said by `disturb`; or its arrivals are a trace's
        factors = self._now.setdefault(ingress, {})
        factors[name] = factor
        product = 1.0
        for value in factors.values():
            product *= value
        self.source.set_factor(ingress, product, at)
