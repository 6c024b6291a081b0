"""The model as the policy is told it, wrong while a fault says so: the run's own, the same in every world."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.model import Model
from testbed.scenario.targets import CONTROL
from testbed.world.base import Disturbance


def mistaken(model: Model, factors: Mapping[str, float]) -> Model:
    """The model with its services' times multiplied; the one given where nothing is wrong."""
    if not factors:
        return model
    core = tuple(replace(m, work=m.work * factors.get(m.name, 1.0)) for m in model.core)
    light = tuple(replace(m, work=m.work * factors.get(m.name, 1.0)) for m in model.light)
    return replace(model, core=core, light=light)


@dataclass
class Beliefs:
    """The verb "profile", on a service or on CONTROL (all of them). Factors of several faults multiply.

    true: the model as it is. told: as the policy is shown it. factors: service → factor, where it is not 1.
    """

    true: Model
    clock: Callable[[], float]
    factors: dict[str, float] = field(default_factory=dict)
    told: Model = field(init=False)
    _in_force: dict[str, tuple[str, float]] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.told = self.true

    def disturb(self, target: str, shape: Mapping[str, Any]) -> Disturbance:
        self._count += 1
        name = f"profile:{target}#{self._count}"
        self._in_force[name] = target, float(shape["factor"])
        return Disturbance(name, "profile", target, dict(shape), self.clock(), *self._tell())

    def undo(self, d: Disturbance) -> Disturbance:
        self._in_force.pop(d.id, None)
        right, evidence = self._tell()
        words = f"{d.evidence}; reverted: {evidence}"
        return replace(d, reverted_at=self.clock(), verified=d.verified and right, evidence=words)

    def _tell(self) -> tuple[bool, str]:
        """(whether the model told has the times it should have, those times in words)."""
        wanted = {
            m.name: math.prod(f for target, f in self._in_force.values() if target in (m.name, CONTROL))
            for m in self.true.services()
        }
        self.factors = {name: factor for name, factor in wanted.items() if factor != 1.0}
        self.told = mistaken(self.true, self.factors)
        pairs = list(zip(self.true.services(), self.told.services(), strict=True))
        right = all(math.isclose(b.work, a.work * wanted[a.name]) for a, b in pairs)
        words = [f"{a.name} {1e3 * a.work:g} ms as {1e3 * b.work:g} ms" for a, b in pairs if a.work != b.work]
        return right, f"the policy is told {', '.join(words)}" if words else "the policy is told the truth"
