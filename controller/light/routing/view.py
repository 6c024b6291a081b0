"""What senders know: instances, paths and tolls (the view), and the task types. Their forms on the wire are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

INFINITY = float("inf")
#: Source of a stage input that comes from the task's own gateway (the same word as controller.model.INGRESS).
INGRESS = "ingress"
#: The rules of `View.rule`, of instances that are reachable and not draining (draining ones when no other is left):
#: "estimate": least eq. (27) · "nearest": least net(source, v, b), then least load per worker · "least_backlog": least
#: (backlog + own requests) / p, wherever it is · "round_robin", "random": the instances in the order of the view, each
#: as often as it has workers; the first by counting, the second by a hash of the task (`turn`).
ESTIMATE, NEAREST, LEAST_BACKLOG, ROUND_ROBIN, RANDOM = "estimate", "nearest", "least_backlog", "round_robin", "random"
RULES = (ESTIMATE, NEAREST, LEAST_BACKLOG, ROUND_ROBIN, RANDOM)


@dataclass(frozen=True, slots=True)
class Target:
    """One instance as the view shows it. mean: x̄ on its node, s; backlog: requests waiting and in service."""

    id: str
    node: str
    address: str
    port: int
    workers: int
    backlog: int
    mean: float
    draining: bool = False


class Ahead(NamedTuple):
    """What follows a stage: seconds of delays and services, seconds of bytes and tolls (a price) per task size."""

    seconds: float
    per_size: float
    toll: float


@dataclass(frozen=True, slots=True)
class View:
    """What a sender knows. index: endpoint → row and column of `delay` (s), `per_byte` (s per byte) and `toll` (s per
    byte; (): none is taken); rule: RULES; found: what `ahead` has found so far, also in views before that differ in
    backlogs only.
    """

    targets: Mapping[str, tuple[Target, ...]]
    index: Mapping[str, int]
    delay: tuple[tuple[float, ...], ...]
    per_byte: tuple[tuple[float, ...], ...]
    rule: str = ESTIMATE
    toll: tuple[tuple[float, ...], ...] = ()
    found: dict[tuple[str, int, str, str], Ahead] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], previous: View | None = None) -> View:
        """The view of docs/wire.md. Endpoints and matrices that are not sent are taken from `previous`."""
        targets = {
            service: tuple(
                Target(str(i), str(node), str(address), int(port), int(p), int(backlog), float(mean), bool(draining))
                for i, node, address, port, p, backlog, mean, draining in rows
            )
            for service, rows in wire["targets"].items()
        }
        if "delay" not in wire and "per_byte" not in wire:
            if previous is None:
                raise ValueError("view: the first view must carry 'delay' and 'per_byte'; found neither")
            view = cls(targets, previous.index, previous.delay, previous.per_byte, previous.rule, previous.toll)
            if view._places() == previous._places():
                object.__setattr__(view, "found", previous.found)
            return view
        if "delay" not in wire or "per_byte" not in wire:
            raise ValueError("view: 'delay' and 'per_byte' are sent together or not at all; found only one of them")
        if "endpoints" in wire:
            index: Mapping[str, int] = {str(name): i for i, name in enumerate(wire["endpoints"])}
        elif previous is not None:
            index = previous.index
        else:
            raise ValueError("view: the first view must carry 'endpoints'")
        delay, per_byte = _matrix(wire["delay"], len(index), "delay"), _matrix(wire["per_byte"], len(index), "per_byte")
        rule = str(wire.get("rule", ESTIMATE))
        if rule not in RULES:
            raise ValueError(f"view: there is no rule {rule!r}; there are: {', '.join(RULES)}")
        toll = _matrix(wire["toll"], len(index), "toll") if "toll" in wire else ()
        return cls(targets, index, delay, per_byte, rule, toll)

    def to_wire(self, paths: bool = True) -> dict[str, Any]:
        """The inverse of `from_wire`; `paths=False` leaves endpoints and matrices out (they did not change)."""
        wire: dict[str, Any] = {
            "targets": {
                service: [
                    [t.id, t.node, t.address, t.port, t.workers, t.backlog, t.mean, int(t.draining)] for t in targets
                ]
                for service, targets in self.targets.items()
            }
        }
        if paths:
            wire["endpoints"] = sorted(self.index, key=self.index.__getitem__)
            wire["delay"] = [[-1 if x == INFINITY else x for x in row] for row in self.delay]
            wire["per_byte"] = [[-1 if x == INFINITY else x for x in row] for row in self.per_byte]
            wire["rule"] = self.rule
            if self.toll:
                wire["toll"] = [list(row) for row in self.toll]
        return wire

    def _places(self) -> list[tuple[str, str, float]]:
        """All that `ahead` asks of targets, in their order."""
        return [(m, t.node, t.mean) for m, targets in self.targets.items() for t in targets if t.workers > 0]

    def net(self, source: str, node: str, size: float) -> float:
        """net(o, v, b), s: propagation plus bytes over the bottleneck; infinity where there is no path."""
        if source == node:
            return 0.0
        i, j = self.index.get(source), self.index.get(node)
        if i is None or j is None:
            return INFINITY
        return self.delay[i][j] + size * self.per_byte[i][j]


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a task type; inputs: (predecessor stage or INGRESS, bytes). Several inputs make a join."""

    name: str
    service: str
    inputs: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class TypeSpec:
    """A task type: deadline (relative, s), result bytes per sink, stages in topological order."""

    name: str
    deadline: float
    output: float
    stages: tuple[StageSpec, ...]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> TypeSpec:
        """One element of `types` in the config message of docs/wire.md."""
        stages = tuple(
            StageSpec(s["name"], s["service"], tuple((i["source"], float(i["bytes"])) for i in s["inputs"]))
            for s in wire["stages"]
        )
        return cls(wire["name"], float(wire["deadline"]), float(wire["output"]), stages)

    def sinks(self) -> tuple[str, ...]:
        """Stages whose result goes back to the gateway."""
        fed = {source for s in self.stages for source, _ in s.inputs}
        return tuple(s.name for s in self.stages if s.name not in fed)

    @cached_property
    def onward(self) -> tuple[tuple[tuple[int, str, float], ...], ...]:
        """Edges out of the gateway and out of each stage: the stage they lead to, its service, bytes. (): a sink."""
        edges: dict[str, list[tuple[int, str, float]]] = {INGRESS: [], **{s.name: [] for s in self.stages}}
        for k, stage in enumerate(self.stages):
            for source, size in stage.inputs:
                edges[source].append((k, stage.service, size))
        return tuple(tuple(row) for row in edges.values())


class Way(NamedTuple):
    """Where in which task a request is: its type, the stage it goes to (−1: none yet), its gateway's endpoint, size."""

    spec: TypeSpec
    stage: int
    gateway: str
    size: float = 1.0


def _matrix(rows: Sequence[Sequence[float]], n: int, name: str) -> tuple[tuple[float, ...], ...]:
    """A square matrix of the wire, −1 read as unreachable."""
    matrix = tuple(tuple(INFINITY if x < 0 else float(x) for x in row) for row in rows)
    if len(matrix) != n or any(len(row) != n for row in matrix):
        raise ValueError(f"view: {name!r} must be {n} × {n} (one row and column per endpoint)")
    return matrix
