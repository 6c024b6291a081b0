"""Static: the same core placement; light services sized once, for the nominal load, and never changed.

Light services are laid out by the same equations as in `two_tier`, from the planner's view at `begin_load` (1) times
its rate. Parameters as there; those that only matter from slot to slot have no effect.
"""

from __future__ import annotations

from controller.policies._tiers import Held

POLICY = Held("static", peak=False)
