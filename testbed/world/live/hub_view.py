"""The view every sender routes by (docs/wire.md), composed from targets, newest backlogs and path costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.world.live.hub_connection import line

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """An instance that may be routed to. mean_s: x̄ on its node, nominal s."""

    id: str
    service: str
    node: str
    address: str
    port: int
    workers: int
    mean_s: float


class ViewBook:
    """Holds nominal values, writes wire units: times × dilate, seconds per byte × dilate × shrink."""

    def __init__(self, dilate: float, shrink: float, rule: str = "estimate") -> None:
        self._dilate = dilate
        self._shrink = shrink
        self._targets: dict[str, TargetSpec] = {}
        self._rule = rule
        self._paths: dict[str, Any] = {"endpoints": [], "delay": [], "per_byte": [], "rule": rule}
        self.draining: set[str] = set()
        self.paths_version = 0
        self.version = 0

    def set_targets(self, targets: Sequence[TargetSpec]) -> None:
        self._targets = {t.id: t for t in targets}

    def resize(self, instance: str, workers: int) -> None:
        if instance in self._targets:
            self._targets[instance] = replace(self._targets[instance], workers=workers)

    def remove(self, instance: str) -> None:
        self._targets.pop(instance, None)
        self.draining.discard(instance)

    def set_paths(self, endpoints: Sequence[str], delay: Matrix, per_byte: Matrix, toll: Matrix | None = None) -> None:
        """Nominal s, s per byte and s per byte, one row and column per endpoint; negative or infinite: unreachable.

        toll: None, none is taken.
        """
        n = len(endpoints)
        for name, matrix in (("delay", delay), ("per_byte", per_byte), *((("toll", toll),) if toll else ())):
            if len(matrix) != n or any(len(row) != n for row in matrix):
                raise ValueError(f"paths: {name} is not {n} × {n}, one row and column for each of the {n} endpoints")
        self._paths = {
            "endpoints": list(endpoints),
            "delay": [[_wire(x, self._dilate) for x in row] for row in delay],
            "per_byte": [[_wire(x, self._dilate * self._shrink) for x in row] for row in per_byte],
            "rule": self._rule,
        }
        if toll:
            self._paths["toll"] = [[_wire(x, self._dilate * self._shrink) for x in row] for row in toll]
        self.paths_version += 1

    def next(self, backlogs: Mapping[str, int]) -> tuple[bytes, bytes]:
        """The next version as a line, (without, with) paths."""
        self.version += 1
        targets: dict[str, list[list[Any]]] = {}
        for t in self._targets.values():
            row = [t.id, t.node, t.address, t.port, t.workers, backlogs.get(t.id, 0)]
            targets.setdefault(t.service, []).append([*row, t.mean_s * self._dilate, int(t.id in self.draining)])
        short = {"t": "view", "v": self.version, "view": {"targets": targets}}
        long = {"t": "view", "v": self.version, "view": {"targets": targets, **self._paths}}
        return line(short), line(long)


def _wire(value: float, factor: float) -> float:
    return -1 if value < 0 or value == float("inf") else value * factor
