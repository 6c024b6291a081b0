"""What the twin does to services, to nodes as wholes and to the views (testbed/world/live/afflictions.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from testbed.world.troubles import VERBS, chosen
from testbed.world.twin.engine import Engine
from testbed.world.twin.fleet import Fleet

#: Verb → fields of its shape; besides troubles.VERBS.
SHAPES = {
    "node_pause": frozenset[str](),
    "service_pause": frozenset({"all"}),
    "kill": frozenset({"all"}),
    "stale_view": frozenset[str](),
}


class Afflictions:
    """at: plans a call at a nominal time. call: for a decision. look_s: nominal s until a death is seen."""

    def __init__(
        self, engine: Engine, fleet: Fleet, clock: Callable[[], float], at: Callable[..., None],
        call: Callable[[], None], look_s: float,
    ) -> None:  # fmt: skip
        self.engine, self.fleet, self.clock, self.at, self.call = engine, fleet, clock, at, call
        self.look_s = look_s
        self._still: dict[str, list[str]] = {}  # disturbance → instances it holds
        self._held: set[str] = set()  # disturbances that hold the views

    def has(self, verb: str, shape: Mapping[str, Any] | None) -> bool:
        return verb in VERBS or (verb in SHAPES and set(shape or ()) <= SHAPES[verb])

    def do(self, verb: str, target: str, name: str, shape: Mapping[str, Any] | None) -> str:
        """One that it has; shape None takes it away. Evidence."""
        if verb in VERBS:
            self.fleet.troubles.set(name, verb, target, shape)
            self.fleet.tell_troubles()
            return "every instance told in the twin"
        if verb == "stale_view":
            (self._held.discard if shape is None else self._held.add)(name)
            self.engine.hold(bool(self._held))
            return "views held back in the twin" if self._held else "views pushed again in the twin"
        if verb == "kill":
            return self._kill(target, shape)
        return self._pause(target, name, shape)

    def _kill(self, service: str, shape: Mapping[str, Any] | None) -> str:
        if shape is None:
            return "the policy replaces it"
        victims = self._of(service, bool(shape["all"]))
        for id in victims:
            self.engine.kill(self.fleet.instances[id].member)
        if victims:
            self.at(self.clock() + self.look_s, self._seen, victims)
        return f"killed in the twin: {', '.join(victims) or 'no instance there'}"

    def _seen(self, victims: list[str]) -> None:
        for id in victims:
            self.fleet.died(id)
        self.call()

    def _pause(self, target: str, name: str, shape: Mapping[str, Any] | None) -> str:
        if shape is None:
            mine = self._still.pop(name, [])
            kept = {id for ids in self._still.values() for id in ids}
            here = [id for id in mine if id not in kept and id in self.fleet.instances]
            for id in here:
                self.engine.freeze(self.fleet.instances[id].member, False)
            return f"{len(here)} of {len(mine)} go on in the twin"
        instances = self.fleet.instances
        mine = (
            self._of(target, bool(shape["all"]))
            if "all" in shape
            else sorted(id for id, i in instances.items() if i.node == target)
        )
        self._still[name] = mine
        for id in mine:
            self.engine.freeze(instances[id].member, True)
        return f"stopped in the twin: {', '.join(mine) or 'no instance there'}"

    def _of(self, service: str, every: bool) -> list[str]:
        return chosen({id: i.service for id, i in self.fleet.instances.items()}, service, every)
