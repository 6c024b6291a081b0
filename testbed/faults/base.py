"""A fault speaks in disturbance verbs only, so each is written once and works in every world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from testbed import catalogue
from testbed.scenario.model import Fault
from testbed.world.base import Disturbance


class Ground(Protocol):
    """What a fault can do: a world's verbs, and "load" on an ingress."""

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance: ...

    def undo(self, disturbance: Disturbance) -> Disturbance: ...


class FaultParameters(BaseModel):
    """Parameters of a fault (`with:` in the scenario); unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class Planned:
    """One fault of the timeline and what became of it. Times nominal, s since t = 0."""

    fault: Fault
    name: str
    apply: Callable[[Ground, str, Any], list[Disturbance]]
    parameters: FaultParameters
    in_force: list[Disturbance] = field(default_factory=list)
    done: list[Disturbance] = field(default_factory=list)

    @property
    def start(self) -> float:
        return self.fault.at

    @property
    def end(self) -> float:
        return self.fault.at + self.fault.duration


def catalogue_of_faults() -> dict[str, tuple[type[BaseModel], tuple[str, ...]]]:
    """kind → (its parameters' model, what it may be aimed at), from the files of this folder."""
    out = {}
    for kind in catalogue.kinds("testbed.faults"):
        module = catalogue.load("testbed.faults", kind)
        out[kind] = (module.Parameters, module.TARGETS)
    return out


def timeline(faults: list[Fault]) -> list[Planned]:
    """The scenario's faults in order of their start, ready to be applied."""
    out = []
    for i, fault in enumerate(sorted(faults, key=lambda f: f.at)):
        module = catalogue.load("testbed.faults", fault.kind)
        name = fault.name or f"{fault.kind}_{i + 1}"
        out.append(Planned(fault, name, module.apply, module.Parameters(**fault.parameters)))
    return out
