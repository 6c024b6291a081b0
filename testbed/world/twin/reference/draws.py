"""Uniform numbers by counter: the same for the same question, whoever asks first."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def uniform(seed: int, lane: int, number: int, which: int) -> float:
    """In [0, 1), from splitmix64's finaliser over the four integers."""
    z = (seed * 0x9E3779B97F4A7C15 + lane * 0xBF58476D1CE4E5B9 + number * 0x94D049BB133111EB + which) & _MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = ((z ^ (z >> shift)) * factor) & _MASK
    return (z >> 11) / 9007199254740992.0
