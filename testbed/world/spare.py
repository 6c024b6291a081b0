"""The CPU that core services leave to light ones, which contend for it. The same in every world."""

from __future__ import annotations

from controller.decision import Start
from testbed.world.base import Bed


def light_cpu(bed: Bed) -> dict[str, float]:
    """Node → cores: its own less those of the core services placed there, at least 1."""
    spare = {v.name: v.cpu for v in bed.model.nodes}
    core = {m.name: m for m in bed.model.core}
    for a in bed.initial.actions:
        if isinstance(a, Start) and a.service in core:
            spare[a.node] -= core[a.service].cpu
    return {v: max(c, 1.0) for v, c in spare.items()}
