"""The verbs of the live world: what each does to links and nodes, read back, and taken away again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from testbed.errors import CannotRun
from testbed.world.base import Disturbance
from testbed.world.live.afflictions import Afflictions
from testbed.world.live.crashes import Crashes
from testbed.world.live.link_rates import LinkRates
from testbed.world.live.network import Network
from testbed.world.shaping import FIELDS
from testbed.world.troubles import VERBS as TROUBLES

SWITCHED = ("link_state", "node_state")  # undone by the opposite


@dataclass
class Shaking:
    """clock: nominal s. told: hands the senders what the network control now knows of path costs."""

    network: Network
    rates: LinkRates
    crashes: Crashes
    afflictions: Afflictions
    clock: Callable[[], float]
    told: Callable[[], None]
    count: int = 0  # disturbances so far: each has a name of its own

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        """Raises CannotRun for a verb or a shape there is not."""
        self.count += 1
        name = f"{verb}:{target}#{self.count}"
        target, ok, evidence = self._do(verb, target, name, shape)
        return Disturbance(name, verb, target, dict(shape), self.clock(), ok, evidence)

    def undo(self, disturbance: Disturbance) -> Disturbance:
        d = disturbance
        opposite = {**d.shape, "up": not d.shape["up"]} if d.verb in SWITCHED else None
        _, ok, evidence = self._do(d.verb, d.target, d.id, opposite)
        words = f"{d.evidence}; reverted: {evidence}"
        return replace(d, reverted_at=self.clock(), verified=d.verified and ok, evidence=words)

    def _do(self, verb: str, target: str, name: str, shape: Mapping[str, Any] | None) -> tuple[str, bool, str]:
        """(what was shaken, by its own name; read back as wanted; what was read). shape None: take it away."""
        if verb in TROUBLES:
            return target, *self.afflictions.trouble(name, verb, target, shape)
        fields, does = self.afflictions.verbs().get(verb, (frozenset(), None))
        if does is not None and set(shape or ()) <= fields:
            return target, *does(name, target, shape)
        if verb == "node_state" and shape and {"up"} <= set(shape) <= {"up", "again"}:
            again = bool(shape.get("again"))
            return target, *(self.crashes.restore(target, again) if shape["up"] else self.crashes.crash(target))
        if verb == "link_state" and shape and set(shape) == {"up"}:
            link = self.rates.link(target)
            return link.name, *self.network.set_link_state(link.name, bool(shape["up"]))
        if verb == "link_shape" and set(shape or ()) <= FIELDS:
            return self._reshape(target, name, shape)
        raise CannotRun(
            f"the live world can't do {verb} {dict(shape or {})}; it has link_state {{up}}, "
            f"node_state {{up, again}}, "
            f"link_shape {{{', '.join(sorted(FIELDS))}}}, {', '.join(sorted({*TROUBLES, *self.afflictions.verbs()}))}"
        )

    def _reshape(self, target: str, name: str, shape: Mapping[str, Any] | None) -> tuple[str, bool, str]:
        link = self.rates.link(target)
        own = target if "->" in target else link.name
        with self.network.own(link.name):
            ok, evidence = self.rates.disturb(self.network.backend(link.name), own, name, shape)
        self.told()
        return own, ok, evidence
