"""Round robin: decides as `two_tier`, but senders take the instances in turn, each as often as it has workers.

What a service mesh does that knows replicas and weights, and neither paths nor queues. Admission and all else as there.
"""

from __future__ import annotations

from controller.policies._tiers import Tiers

POLICY = Tiers("round_robin", "round_robin")
