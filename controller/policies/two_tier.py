"""Two tiers: core services by the integer program, once; light services by effective capacity, every slot.

The controller of docs/mathematics.md, sections 2 and 3. Parameters: those of
`controller.placement.PlacementParameters` and of `controller.light.state.Parameters`.
"""

from __future__ import annotations

from controller.policies._tiers import Tiers

POLICY = Tiers("two_tier")
