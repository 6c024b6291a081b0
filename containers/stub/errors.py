"""Which requests a service that has `errors` answers with a failure: by seed, task and attempt, never by chance."""

from __future__ import annotations

ERRORS = 1 << 20  # the draw's own stream; lanes of the network, which the twin draws losses for, have smaller numbers
_MASK = (1 << 64) - 1


def uniform(seed: int, task: int, attempt: int) -> float:
    """In [0, 1), from splitmix64's finaliser: the twin's testbed/world/twin/reference/draws.py on this stream."""
    z = (seed * 0x9E3779B97F4A7C15 + ERRORS * 0xBF58476D1CE4E5B9 + task * 0x94D049BB133111EB + attempt) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = ((z ^ (z >> shift)) * factor) & _MASK
    return (z >> 11) / 9007199254740992.0


def fails(share: float, seed: int, task: int, attempt: int) -> bool:
    """Whether this request of this task's attempt fails; with a larger share, those of a smaller one fail too."""
    return share > 0.0 and uniform(seed, task, attempt) < share
