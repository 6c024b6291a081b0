"""The one protocol a policy has to meet. `nothing` in controller/policies is the smallest example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from controller.decision import Decision, Placement
from controller.model import Model
from controller.observation import Observation


class Policy(Protocol):
    """place once, begin once, then step slot by slot.

    routing: the rule by which every sender of the run chooses an instance, one of `controller.light.routing.RULES`;
    "estimate" unless routing is the policy's point. It is read once, at bring-up: `Bed.routing` hands it to the world,
    the world puts it into each view (`View.rule`), and `routing.route` and `routing.bind` follow it. A world that
    calls them needs no code of its own per rule, but has to give them whose turn it is: `routing.turn(rule, sent,
    task, stage, attempt)` with `sent` the requests for that service the same sender (a gateway, an instance) has
    routed before, counted whatever the rule, joins by the gateway that binds them. Queue order, early drop,
    admission, detection and re-sending do not depend on the policy.

    parameters come from the scenario (`policy.parameters`) over the defaults of the policy's file;
    an unknown parameter raises ValueError naming the allowed ones. The state returned by `begin` and
    `step` is a frozen dataclass that pickles and compares by value; no policy keeps state of its own.
    """

    name: str
    routing: str

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        """Core placement, once. Raises controller.placement.Infeasible, naming the binding resource."""
        ...

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Any, Decision]:
        """The state and the decision of slot 0: Starts for every core and light instance."""
        ...

    def step(self, model: Model, state: Any, observation: Observation) -> tuple[Any, Decision]:
        """One slot. Called also at once on a detected fault, with the same slot number."""
        ...
