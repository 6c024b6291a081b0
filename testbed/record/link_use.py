"""How busy each link was through a run, from byte counters read at the observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MOST = 240  # readings kept; a longer run is read at fewer, so that its records stay small


def link_use(times: Sequence[float], carried: ArrayLike, names: Sequence[str], rates: ArrayLike) -> dict[str, Any]:
    """{"at_s": [t_1, …, t_k], "share": {link: [u_1, …, u_k]}}: u_i is the share of the rate used in (t_{i-1}, t_i].

    times: when the counters were read, ascending, s, the first being the origin. carried [len(times), links]: bytes.
    rates [links]: bit/s, of the same scale as the bytes over the times. At most MOST readings are used.
    """
    t, sent = np.asarray(times, float), np.asarray(carried, float)
    keep = np.flatnonzero(np.diff(t, prepend=-np.inf) > 1e-9)
    keep = keep[:: max(-(-len(keep) // MOST), 1)]
    if len(keep) < 2:
        return {"at_s": [], "share": {}}
    seconds = np.diff(t[keep])[:, None]
    use = np.round(np.diff(sent[keep], axis=0) * 8.0 / seconds / np.asarray(rates, float), 4)
    return {"at_s": t[keep][1:].tolist(), "share": {n: use[:, k].tolist() for k, n in enumerate(names)}}
