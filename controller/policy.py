"""The one protocol a policy has to meet. `nothing` in controller/policies is the smallest example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from controller.decision import Decision, Placement
from controller.model import Model
from controller.observation import Observation


class Policy(Protocol):
    """place once, begin once, then step slot by slot.

    parameters come from the scenario (`policy.parameters`) over the defaults of the policy's file;
    an unknown parameter raises ValueError naming the allowed ones. The state returned by `begin` and
    `step` is a frozen dataclass that pickles and compares by value; no policy keeps state of its own.
    """

    name: str

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        """Core placement, once. Raises controller.placement.Infeasible, naming the binding resource."""
        ...

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Any, Decision]:
        """The state and the decision of slot 0: Starts for every core and light instance."""
        ...

    def step(self, model: Model, state: Any, observation: Observation) -> tuple[Any, Decision]:
        """One slot. Called also at once on a detected fault, with the same slot number."""
        ...
