"""One stage of a task with no queue anywhere: which instance serves it, when it may begin and when it is done."""

from __future__ import annotations

import numpy as np

from controller.light.law import Array, Whole
from controller.light.loops.compiled import FLOATS, TABLE, WHOLES, compiled


@compiled(WHOLES, TABLE, TABLE, WHOLES, WHOLES, "float64", FLOATS)
def nearest(delay: Array, per_byte: Array, senders: Whole, ends: Whole, size: float, seconds: Array) -> Whole:
    """Of each sender, the place in `ends` least in eq. (1) for `size` bytes plus its `seconds`; the first of equals."""
    found = np.zeros(len(senders), np.int64)
    for o in range(len(senders)):
        found[o] = (delay[senders[o]][ends] + size * per_byte[senders[o]][ends] + seconds).argmin()
    return found


@compiled("void", TABLE, TABLE, WHOLES, TABLE, WHOLES, TABLE, "float64")
def reach(
    begin: Array, sent: Array, sources: Whole, delay: Array, targets: Whole, per_byte: Array, size: float
) -> None:
    """Puts off what begins before `size` bytes have come from where they were sent, eq. (1).

    begin, sent: s, ingresses × points; sources, targets: endpoints, by ingress.
    """
    for o in range(len(begin)):
        way = delay[sources[o], targets[o]] + size * per_byte[sources[o], targets[o]]
        for i in range(begin.shape[1]):
            begin[o, i] = max(begin[o, i], sent[o, i] + way)


@compiled("void", TABLE, "float64", FLOATS, FLOATS)
def serve(done: Array, wait: float, seconds: Array, factors: Array) -> None:
    """Adds to each begin a wait and the time of service. done: s, ingresses × points; seconds: by ingress."""
    for o in range(len(done)):
        for i in range(len(factors)):
            done[o, i] = done[o, i] + wait + seconds[o] * factors[i]
