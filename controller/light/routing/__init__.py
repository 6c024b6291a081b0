"""Which instance gets this transfer, is a task past hope: asked per request by every sender and every service.

STANDARD LIBRARY ONLY and no import but from beside: this folder is copied into the service containers.
docs/mathematics.md, eq. (27). All times in seconds and all sizes in bytes of whoever built the view: the
controller's are nominal, a container's are wire units (docs/wire.md); the functions do not care.

    estimate = net(source, v, b (1 + own)) + x̄ + (backlog + own + 1 − p)⁺ x̄ / p

and of instances the one with the least estimate + toll + what follows is taken. toll = min(b · toll per byte, 3 x̄), eq.
(47): what the bytes take from others on trunks that are busy, a price and no time. What follows, `ahead`, eq. (48):
paths, services and tolls from there to the last result, by the way that costs least if nobody waits anywhere. A request
that even so can't end before its deadline is past hope and dropped. A gateway refuses a task by the estimates, waits
included, along such a way.

The view is up to a view interval old. A sender that routes by it alone sends everything of that interval to the
one instance that looked best; so it counts what it has itself sent since the view was made or has not been
acknowledged (`local`, own): these requests wait for a worker there, and their bytes are on the way before those of the
next one. Exact ties are broken by load per worker and then differently for each sender.

A view carries the rule its senders follow: RULES, decided by the policy (`controller.policy.Policy.routing`), the
same for the whole run. Two rules take turns: `turn` says whose. Admission and early drop are the same under every rule:
they are the same for all policies.
"""

from __future__ import annotations

from .choice import NOBODY, NOTHING, SURE, admit, bind, completion, estimate, route, turn, waiting
from .onward import MOST_TOLL, NO_WAY, ahead, hopeless, left
from .view import (
    ESTIMATE,
    INFINITY,
    INGRESS,
    LEAST_BACKLOG,
    NEAREST,
    RANDOM,
    ROUND_ROBIN,
    RULES,
    Ahead,
    StageSpec,
    Target,
    TypeSpec,
    View,
    Way,
)  # fmt: skip

__all__ = [
    "ESTIMATE",
    "INFINITY",
    "INGRESS",
    "LEAST_BACKLOG",
    "MOST_TOLL",
    "NEAREST",
    "NOBODY",
    "NOTHING",
    "NO_WAY",
    "RANDOM",
    "ROUND_ROBIN",
    "RULES",
    "SURE",
    "Ahead",
    "StageSpec",
    "Target",
    "TypeSpec",
    "View",
    "Way",
    "admit",
    "ahead",
    "bind",
    "completion",
    "estimate",
    "hopeless",
    "left",
    "route",
    "turn",
    "waiting",
]
