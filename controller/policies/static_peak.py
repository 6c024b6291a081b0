"""Static peak: the same core placement and routing; light services sized once for the planned peak, never changed.

As `static`, from the planner's view at `plan_load` times its rate: what a constant load of just that size would need.
At that load no policy that has to measure first can beat it; below it, it pays for what nobody asks.
"""

from __future__ import annotations

from controller.policies._tiers import Held

POLICY = Held("static_peak", peak=True)
