"""Core services by the integer program, once; light services by light control: what most policies share.

A policy that differs in a rule of routing or in parameters of light control is one value of `Tiers`, in a file of its
own that says why. All of them share placement, layout, moves, start-up, queue order, early drop and admission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.decision import Decision, Placement
from controller.light import control
from controller.light.state import LightState, Parameters
from controller.model import Model
from controller.observation import Observation
from controller.placement import PlacementParameters, place
from controller.policies._fixed import Fixed, stay
from controller.policies._parameters import build, check

#: Policies with the same word in `core` place core services alike for the same model and parameters.
CORE = "integer program"


@dataclass(frozen=True, slots=True)
class Tiers:
    """Light control every slot. light: its parameters' defaults for this policy."""

    name: str
    routing: str = "estimate"
    light: Parameters = field(default_factory=Parameters)
    core: str = CORE

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, PlacementParameters(), self.light)
        return place(model, build(PlacementParameters(), parameters))

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[LightState, Decision]:
        check(self.name, parameters, PlacementParameters(), self.light)
        return control.begin(model, placement, build(self.light, parameters))

    def step(self, model: Model, state: LightState, observation: Observation) -> tuple[LightState, Decision]:
        return control.step(model, state, observation)


@dataclass(frozen=True, slots=True)
class Held:
    """The first layout of light control, held for good. peak: sized for `plan_load`; else for `begin_load`."""

    name: str
    peak: bool
    routing: str = "estimate"
    core: str = CORE

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, PlacementParameters(), Parameters())
        return place(model, build(PlacementParameters(), parameters))

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, PlacementParameters(), Parameters())
        light = build(Parameters(), parameters)
        load = build(PlacementParameters(), parameters).plan_load if self.peak else light.begin_load
        _, decision = control.begin(model, placement, light, load)
        return Fixed(), decision

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)
