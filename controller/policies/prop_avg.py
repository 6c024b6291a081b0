"""PropAvg: `two_tier` with mean rates in place of effective capacity, the ablation of the method.

Everything else is the same: core placement, demand and its safety term, pools, layout, moves, routing. A pool gets the
fewest workers whose mean rate carries the demand, p = ⌈λ x̄ / utilisation⌉ with utilisation = 1: neither the tail of
the service times nor the chance of the arrivals enters, and nothing is learnt from violations.
"""

from __future__ import annotations

from controller.light.state import Parameters
from controller.policies._tiers import Tiers

POLICY = Tiers("prop_avg", light=Parameters(utilisation=1.0))
