"""What follows what: the DAGs of all task types, looked up once per stage."""

from __future__ import annotations

from typing import Any, NamedTuple

import routing
from common.wire import WireError


class Step(NamedTuple):
    """An edge out of a stage. stage: it leads to; bytes: before the task's size factor; join: bound."""

    stage: str
    service: str
    bytes: float
    join: bool


class Plan:
    """types: the `types` of the config message."""

    def __init__(self, types: list[dict[str, Any]]) -> None:
        self._sources: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
        self._next: dict[tuple[str, str], tuple[list[Step], float]] = {}
        self._specs: dict[str, routing.TypeSpec] = {}
        self._index: dict[tuple[str, str], int] = {}
        for kind in types:
            name = kind["name"]
            self._specs[name] = routing.TypeSpec.from_wire(kind)
            for k, stage in enumerate(kind["stages"]):
                self._index[name, stage["name"]] = k
                sources = frozenset(i["source"] for i in stage["inputs"])
                self._sources[name, stage["name"]] = stage["service"], sources
                self._next.setdefault((name, stage["name"]), ([], float(kind["output"])))
                for i in stage["inputs"]:
                    steps, _ = self._next.setdefault((name, i["source"]), ([], float(kind["output"])))
                    steps.append(Step(stage["name"], stage["service"], float(i["bytes"]), len(sources) > 1))

    def sources(self, kind: str, stage: str, service: str) -> frozenset[str]:
        """Predecessors of a stage that `service` serves; WireError when it does not."""
        found = self._sources.get((kind, stage))
        if found is None or found[0] != service:
            raise WireError(f"service {service!r} serves no stage {stage!r} of task type {kind!r}")
        return found[1]

    def next(self, kind: str, stage: str) -> tuple[list[Step], float]:
        """The edges out of a stage (none: a sink) and the type's result bytes."""
        return self._next[kind, stage]

    def way(self, header: dict[str, Any], stage: str) -> routing.Way:
        """Where a request of this header is when it goes to, or is at, a stage."""
        kind = header["type"]
        return routing.Way(self._specs[kind], self._index[kind, stage], header["gw"], header["size"])
