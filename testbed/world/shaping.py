"""A link's direction under several disturbances at once: how their shapes add up. The same in every world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from testbed.topology.model import Link, Shape

#: What "link_shape" may set. rate_factor: of what the link would carry. delay_add, jitter: nominal s more.
#: loss, duplicate, reorder, corrupt: shares of frames more; jitter_law and the like as in `Shape`.
FIELDS = frozenset(
    {"rate_factor", "delay_add", "jitter", "jitter_law", "jitter_correlation", "loss", "loss_burst", "duplicate",
     "reorder", "corrupt"}
)  # fmt: skip
SHARES = ("loss", "duplicate", "reorder", "corrupt")
WORDS = ("jitter_law", "jitter_correlation", "loss_burst")  # the last disturbance that says one is right


def shaken(base: Shape, shapes: Sequence[Mapping[str, Any]]) -> Shape:
    """The direction's shape under all of them: rates multiply, delays add, variances add, survival chances multiply.

    base and delays on one scale (nominal, or the wire's).
    """
    values: dict[str, Any] = {
        "rate": base.rate * math.prod(s.get("rate_factor", 1.0) for s in shapes),
        "delay": base.delay + math.fsum(s.get("delay_add", 0.0) for s in shapes),
        "jitter": math.hypot(base.jitter, *(s.get("jitter", 0.0) for s in shapes)),
    }
    for name in SHARES:
        kept = math.prod(1.0 - s.get(name, 0.0) for s in shapes)
        values[name] = 1.0 - (1.0 - getattr(base, name)) * kept if kept < 1.0 else getattr(base, name)
    for name in WORDS:
        values[name] = next((s[name] for s in reversed(shapes) if name in s), getattr(base, name))
    return replace(base, **values)


def by_name(link: Link, ways: Mapping[str, float]) -> dict[str, float]:
    """Rates of directions ("ab", "ba") as path costs take them: by the link's name where both have the same, else by
    "a->b"."""
    if len(ways) == 2 and ways["ab"] == ways["ba"]:
        return {link.name: ways["ab"]}
    names = {"ab": f"{link.a}->{link.b}", "ba": f"{link.b}->{link.a}"}
    return {names[way]: rate for way, rate in ways.items()}


def scaled(shape: Mapping[str, Any], dilate: float) -> dict[str, Any]:
    """A nominal disturbance on the wire's scale: times × dilate."""
    return {k: v * dilate if k in ("delay_add", "jitter") else v for k, v in shape.items()}
