"""Static: the same core placement; light services sized once, for `plan_load`, and never changed.

Light services are laid out by the same equations as in `two_tier`, from the planner's view at `plan_load` times its
rate. Parameters as there; those that only matter from slot to slot have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decision import Decision, Placement
from controller.light import control
from controller.light.state import Parameters
from controller.model import Model
from controller.observation import Observation
from controller.placement import PlacementParameters, place
from controller.policies._fixed import Fixed, stay
from controller.policies._parameters import build, check


@dataclass(frozen=True, slots=True)
class Static:
    """What a constant, known load would need, whatever comes."""

    name: str = "static"
    routing: str = "estimate"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, PlacementParameters, Parameters)
        return place(model, build(PlacementParameters, parameters))

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, PlacementParameters, Parameters)
        load = build(PlacementParameters, parameters).plan_load
        _, decision = control.begin(model, placement, build(Parameters, parameters), load)
        return Fixed(), decision

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)


POLICY = Static()
