"""What faults do to services besides stopping them: slower, and answering with failures. The same in every world."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Verbs of the World protocol that are kept here.
VERBS = frozenset({"pace", "node_cpu", "node_memory", "errors"})


@dataclass
class Troubles:
    """idle: services wait instead of computing, so that fewer processors mean longer waits."""

    idle: bool
    _in_force: dict[str, tuple[str, str, Mapping[str, Any]]] = field(default_factory=dict)

    def set(self, name: str, verb: str, target: str, shape: Mapping[str, Any] | None) -> None:
        """Add a disturbance, or take it away (None)."""
        if shape is None:
            self._in_force.pop(name, None)
        else:
            self._in_force[name] = verb, target, shape

    def pace(self, service: str, node: str) -> float:
        """Factor on the times of services begun now: all in force on the service or its node multiply."""
        found = [
            shape["factor"] if verb == "pace" else 1.0 / shape["keep"]
            for verb, target, shape in self._in_force.values()
            if target in (service, node) and (verb == "pace" or (verb == "node_cpu" and self.idle))
        ]
        return math.prod(found)

    def errors(self, service: str) -> float:
        """Share of its requests that fail: chances to get through multiply."""
        mine = [s["share"] for verb, target, s in self._in_force.values() if verb == "errors" and target == service]
        return 1.0 - math.prod(1.0 - share for share in mine) if mine else 0.0

    def keep(self, node: str) -> float:
        """Share of the node's processors it has left."""
        return self._share("node_cpu", node)

    def memory(self, node: str) -> float:
        """Share of the node's memory it has left."""
        return self._share("node_memory", node)

    def _share(self, kind: str, node: str) -> float:
        return math.prod(s["keep"] for verb, target, s in self._in_force.values() if (verb, target) == (kind, node))


def chosen(instances: Mapping[str, str], service: str, every: bool) -> list[str]:
    """Instances (id → service) that a fault on a service hits: the first by name, or every one."""
    mine = sorted(id for id, of in instances.items() if of == service)
    return mine if every else mine[:1]
