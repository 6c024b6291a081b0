"""Reactive, fast: our core placement, layout and routing; light services follow measured utilisation, every slot.

p = ⌈λ x̄ / utilisation⌉ on the last slot's arrivals, as an autoscaler by target utilisation would with a window of one
slot up and of `surplus_slots` down; no budget, no tail, no learning from violations, no safety but the target itself.
"""

from __future__ import annotations

from controller.light.state import Parameters
from controller.policies._tiers import Tiers

POLICY = Tiers(
    "reactive_fast", light=Parameters(utilisation=0.45, ewma_up=0.9, ewma_down=0.5, safety=0.0, surplus_slots=3.0)
)
