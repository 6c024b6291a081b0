"""Disturbances on one scale, so that "the mildest" means something (docs/campaigns.md, "Severity").

A disturbance is a kind, a target and a severity in (0, 1], the share of the worst that the budget allows of its kind.
A schedule is a set of disturbances; its severity is the sum of theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.scenario import targets
from testbed.scenario.model import Claim, Scenario
from testbed.topology.model import Topology

KINDS = ("load", "bandwidth_drop", "link_down", "node_crash", "load_spike")
MOST_SPIKE = 10.0  # × an ingress's load, at severity 1
LEAST_KEPT = 0.02  # of a link's bandwidth, at severity 1
DIGITS = 4  # of a severity: a schedule is a text that others run


@dataclass(frozen=True, slots=True)
class Window:
    """When faults act, s since t = 0: from the first quarter of the measured window on, for half of it."""

    at: float
    length: float

    @classmethod
    def of(cls, scenario: Scenario) -> Window:
        run = scenario.run
        return cls(run.warmup + run.duration / 4, run.duration / 2)


@dataclass(frozen=True, slots=True, order=True)
class Disturbance:
    """target: "" for the load of all ingresses."""

    kind: str
    target: str
    severity: float = 1.0

    def at(self, severity: float) -> Disturbance:
        return replace(self, severity=round(severity, DIGITS))

    def load_factor(self, most: float) -> float:
        return 1.0 + self.severity * (most - 1.0)

    def fault(self, window: Window) -> dict[str, Any]:
        """An entry of the scenario's `faults`. Overlaps are allowed: the scenario's own faults stay as they are."""
        length, parameters = window.length, {}
        if self.kind == "bandwidth_drop":
            parameters = {"keep": round(1.0 - self.severity * (1.0 - LEAST_KEPT), DIGITS)}
        elif self.kind == "load_spike":
            parameters = {"factor": round(1.0 + self.severity * (MOST_SPIKE - 1.0), DIGITS)}
        else:
            length *= self.severity
        times = {"at": f"{window.at:.6g} s", "for": f"{length:.6g} s"}
        entry = {"kind": self.kind, "target": self.target, **times, "overlap": True}
        return entry | ({"with": parameters} if parameters else {})

    def amount(self, most: float, window: Window) -> str:
        """The severity in the kind's own unit, as short as a figure needs it."""
        if self.kind == "load":
            return f"{self.load_factor(most):.2g} ×"
        if self.kind == "bandwidth_drop":
            return f"{100 * self.severity * (1.0 - LEAST_KEPT):.0f} %"
        if self.kind == "load_spike":
            return f"{1.0 + self.severity * (MOST_SPIKE - 1.0):.2g} ×"
        return f"{window.length * self.severity:.2g} s"

    def words(self, most: float, window: Window) -> str:
        """For a person."""
        if self.kind == "load":
            return f"{self.load_factor(most):.2f} × load"
        f = self.fault(window)
        if self.kind == "bandwidth_drop":
            return f"{self.target} narrowed to {f['with']['keep']:.0%} of its bandwidth for {f['for']}"
        if self.kind == "load_spike":
            return f"{f['with']['factor']:.1f} × the load of {self.target} for {f['for']}"
        return f"{self.target} {'down' if self.kind == 'link_down' else 'crashed'} for {f['for']}"


Schedule = tuple[Disturbance, ...]


def total(schedule: Iterable[Disturbance]) -> float:
    return sum(d.severity for d in schedule)


def candidates(topology: Topology, kinds: Sequence[str]) -> Iterator[Disturbance]:
    """Every kind at every target it can have, at full severity: load as a whole, trunks, nodes, ingresses."""
    roles = {"bandwidth_drop": "trunk", "link_down": "trunk", "node_crash": "node", "load_spike": "ingress"}
    for kind in kinds:
        if kind == "load":
            yield Disturbance("load", "")
        else:
            for name in targets.names(topology, roles[kind]):
                yield Disturbance(kind, name)


def loaded(claim: Claim, schedule: Schedule, most: float) -> Claim:
    """The claim, the loads that it sets itself made larger by what the schedule adds: they go before the scenario's."""
    factor = math.prod(d.load_factor(most) for d in schedule if d.kind == "load")
    if factor == 1.0:
        return claim

    def more(path: str, value: Any) -> Any:
        return float(f"{float(value) * factor:.6g}") if path == "load" else value

    changed: dict[str, Any] = {"set": {p: more(p, v) for p, v in claim.set.items()}}
    if claim.sweep is not None:
        values = [more(claim.sweep.path, v) for v in claim.sweep.values]
        changed["sweep"] = claim.sweep.model_copy(update={"values": values})
    if claim.against is not None:
        own = {p: more(p, v) for p, v in claim.against.set.items()}
        changed["against"] = claim.against.model_copy(update={"set": own})
    return claim.model_copy(update=changed)


def sets_of(schedule: Schedule, scenario: Scenario, most: float) -> tuple[str, ...]:
    """The schedule as --set takes it, on top of the scenario's own load and faults."""
    window, out = Window.of(scenario), []
    number = len(scenario.faults)
    for d in sorted(schedule):
        if d.kind == "load":
            out.append(f"load={scenario.load * d.load_factor(most):.6g}")
        else:
            out.append(f"faults.{number}={json.dumps({'name': f'shake_{number + 1}', **d.fault(window)})}")
            number += 1
    return tuple(out)
