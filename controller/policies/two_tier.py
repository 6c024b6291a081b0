"""Two tiers: core services by the integer program, once; light services by effective capacity, every slot.

Parameters: those of `controller.placement.PlacementParameters` and of `controller.light.state.Parameters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decision import Decision, Placement
from controller.light import control
from controller.light.state import LightState, Parameters
from controller.model import Model
from controller.observation import Observation
from controller.placement import PlacementParameters, place
from controller.policies._parameters import build, check


@dataclass(frozen=True, slots=True)
class TwoTier:
    """The controller of docs/mathematics.md, sections 2 and 3."""

    name: str = "two_tier"
    routing: str = "estimate"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, PlacementParameters, Parameters)
        return place(model, build(PlacementParameters, parameters))

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[LightState, Decision]:
        check(self.name, parameters, PlacementParameters, Parameters)
        return control.begin(model, placement, build(Parameters, parameters))

    def step(self, model: Model, state: LightState, observation: Observation) -> tuple[LightState, Decision]:
        return control.step(model, state, observation)


POLICY = TwoTier()
