"""Random: decides as `two_tier`, but senders draw the instance, in proportion to workers, by a hash of the task."""

from __future__ import annotations

from controller.policies._tiers import Tiers

POLICY = Tiers("random", "random")
