"""A fault speaks in disturbance verbs only, so each is written once and works in every world."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from testbed import catalogue
from testbed.scenario.model import Fault
from testbed.topology.model import Topology
from testbed.world.base import Disturbance

#: Occurrences of one fault that repeats, at the most.
MOST_OCCURRENCES = 1000


class Ground(Protocol):
    """What a fault can do: a world's verbs, and "load" on an ingress. topology: what there is to aim at."""

    @property
    def topology(self) -> Topology: ...

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance: ...

    def undo(self, disturbance: Disturbance) -> Disturbance: ...


class FaultParameters(BaseModel):
    """Parameters of a fault (`with:` in the scenario); unknown keys are refused.

    AIMS: fields that list further targets, checked against the topology like `target` itself.
    """

    AIMS: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True)


#: (ingress, at, factor on its intensity): what a load fault does, in order of time; the fault's end sets 1 by itself.
Steps = list[tuple[str, float, float]]


@dataclass
class Planned:
    """One occurrence of a fault of the timeline and what became of it. Times nominal, s since t = 0.

    start: None until it is known (it hangs on another fault, or on what the run measures). steps: of a load fault,
    from its beginning and its length. links: those it takes down or reshapes. withheld: why it was not applied.
    """

    fault: Fault
    name: str
    apply: Callable[[Ground, str, Any], list[Disturbance]]
    parameters: FaultParameters
    start: float | None
    length: float
    steps: Callable[[str, Any, float, float], Steps] | None = None
    links: tuple[str, ...] = ()
    in_force: list[Disturbance] = field(default_factory=list)
    done: list[Disturbance] = field(default_factory=list)
    withheld: str = ""
    holds_since: float | None = None  # of its `when`
    offset: float = 0.0  # of this spell within the fault
    by_hand: bool = False  # not of the scenario: what refuses it does not break the run

    @property
    def end(self) -> float | None:
        return None if self.start is None else self.start + self.length

    @property
    def over(self) -> bool:
        return bool(self.done or self.withheld)

    def words(self) -> str:
        """When it begins, for a person."""
        f = self.fault
        if f.when is not None:
            bound = f"above {f.when.above:g}" if f.when.above is not None else f"below {f.when.below:g}"
            lasting = f" for {f.when.lasting:g} s" if f.when.lasting else ""
            return f"when {f.when.metric} is {bound}{lasting}, from {f.at:.1f} s"
        if self.start is None:
            return f"{f.at:.1f} s after the end of {f.after}"
        return f"{self.start:.1f} to {self.end:.1f}"


def load_kind(kind: str) -> Any:
    """The file of a kind of fault. Raises InputError with the nearest name."""
    return catalogue.load("testbed.faults", kind)


def catalogue_of_faults() -> dict[str, tuple[type[BaseModel], tuple[str, ...]]]:
    """kind → (its parameters' model, what it may be aimed at), from the files of this folder."""
    out = {}
    for kind in catalogue.kinds("testbed.faults"):
        module = load_kind(kind)
        out[kind] = (module.Parameters, module.TARGETS)
    return out


def timeline(faults: Sequence[Fault], topology: Topology, horizon: float = math.inf) -> list[Planned]:
    """Every occurrence, in order of their start; those whose start is not known yet come last.

    A fault that repeats without a number does so while an occurrence ends by `horizon`, s.
    """
    out: list[Planned] = []
    for i, fault in enumerate(sorted(faults, key=lambda f: f.at)):
        name = fault.name or f"{fault.kind}_{i + 1}"
        starts: list[float | None] = [None] if fault.after or fault.when else [*_beginnings(fault, horizon)]
        for k, start in enumerate(starts):
            out += occurrence(fault, name if len(starts) == 1 else f"{name}_{k + 1}", start, topology)
    follow(out)
    return sorted(out, key=lambda p: math.inf if p.start is None else p.start)


def occurrence(fault: Fault, name: str, start: float | None, topology: Topology) -> list[Planned]:
    """One, or one for each spell of a kind that comes and goes by itself."""
    module = load_kind(fault.kind)
    parameters = module.Parameters(**fault.parameters)
    spells: list[tuple[float, float, FaultParameters]] = [(0.0, fault.duration, parameters)]
    if hasattr(module, "spells"):
        spells = module.spells(parameters, fault.duration)
    steps = getattr(module, "steps", None)
    held = tuple(links_of(fault, topology))
    return [
        Planned(
            fault, name if len(spells) == 1 else f"{name}_{k + 1}", module.apply, own,
            None if start is None else start + since, length, steps, held, offset=since,
        )
        for k, (since, length, own) in enumerate(spells)
    ]  # fmt: skip


def links_of(fault: Fault, topology: Topology) -> list[str]:
    """Names of the links a fault touches: its targets' own, or what its file says in `links`."""
    module = load_kind(fault.kind)
    if hasattr(module, "links"):
        parameters = module.Parameters(**fault.parameters)
        return list(dict.fromkeys(k for t in fault.targets for k in module.links(topology, t, parameters)))
    if "link" in module.TARGETS:
        ends = [set(t.replace("->", "--").split("--")) for t in fault.targets]
        return [k.name for k in topology.links if {k.a, k.b} in ends]
    if "node" in module.TARGETS:
        return [k.name for k in topology.links if k.role == "node" and {k.a, k.b} & set(fault.targets)]
    return []


def _beginnings(fault: Fault, horizon: float) -> list[float]:
    if fault.every is None:
        return [fault.at]
    room = math.inf if fault.times is None else fault.times
    starts = [fault.at]
    while len(starts) < min(room, MOST_OCCURRENCES) and starts[-1] + fault.every + fault.duration <= horizon + 1e-9:
        starts.append(fault.at + len(starts) * fault.every)
    return starts


def follow(planned: Sequence[Planned]) -> None:
    """Give a start to each fault whose predecessor's end is known by now; of one that repeats, the last one's."""
    for _ in planned:  # a chain is at most so long
        for p in planned:
            if p.start is None and p.fault.after is not None and p.fault.when is None:
                before = [q for q in planned if q is not p and p.fault.after in (q.name, q.fault.name)]
                ends = [q.end for q in before]
                known = [e for e in ends if e is not None]
                if known and len(known) == len(ends):
                    p.start = max(known) + p.fault.at + p.offset
