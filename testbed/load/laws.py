"""Random variables made of a fixed number of uniform ones, so that one task's draws never move another's.

U is [n, 4]: four uniform numbers of each draw, by counter (testbed.scenario.streams.uniforms). Normal variables by
Box and Muller (two of two uniforms); gamma variables by Marsaglia and Tsang, "A simple method for generating gamma
variables" (2000), which accepts at once in 95 cases of 100 or more: two tries fit into U, whoever needs more gets
numbers of its own from `more`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from controller.model import Law
from testbed.record.tables import Array

#: (row, round) → four more uniform numbers for that row alone; rounds count from 0.
More = Callable[[int, int], Array]


def factors(law: Law, u: Array, more: More) -> Array:
    """Multipliers of the work, from a law of mean 1 (controller.model.Law). A gamma *rate* divides the work."""
    if law.kind == "uniform":
        return np.asarray(1.0 + law.spread * (2.0 * u[:, 0] - 1.0))
    if law.kind == "exponential":
        return exponential(u[:, 0])
    if law.kind == "lognormal":
        sigma2 = np.log1p(law.cv**2)
        return np.asarray(np.exp(np.sqrt(sigma2) * normals(u)[0] - sigma2 / 2))
    if law.kind == "gamma":
        return np.asarray(1.0 / np.maximum(gamma(law.shape, u, more) / law.shape, law.floor))
    return np.ones(len(u))


def exponential(u: Array) -> Array:
    """Exp(1)."""
    return np.asarray(-np.log1p(-u))


def normals(u: Array) -> tuple[Array, Array]:
    """Two independent N(0, 1) per row, of its first two uniforms."""
    radius, angle = np.sqrt(2.0 * exponential(u[:, 0])), 2.0 * np.pi * u[:, 1]
    return radius * np.cos(angle), radius * np.sin(angle)


def gamma(shape: float, u: Array, more: More) -> Array:
    """Gamma(shape, 1) per row."""
    out, rows, turn = np.empty(len(u)), np.arange(len(u)), 0
    while True:
        value = _tries(shape, u)
        accepted = ~np.isnan(value)
        out[rows[accepted]] = value[accepted]
        rows = rows[~accepted]
        if not len(rows):
            return out
        u = np.array([more(int(row), turn) for row in rows])
        turn += 1


def _tries(shape: float, u: Array) -> Array:
    """Gamma(shape, 1), NaN where both tries were rejected (the one try of a shape below 1: its last uniform is taken
    for the way down from shape + 1)."""
    first, second = normals(u)
    if shape < 1.0:
        return np.asarray(_accepted(shape + 1.0, first, u[:, 2]) * u[:, 3] ** (1.0 / shape))
    value = _accepted(shape, first, u[:, 2])
    again = np.isnan(value)
    value[again] = _accepted(shape, second[again], u[again, 3])
    return value


def _accepted(shape: float, x: Array, u: Array) -> Array:
    """Marsaglia and Tsang's candidate for normal x, NaN where uniform u rejects it. shape ≥ 1."""
    d = shape - 1.0 / 3.0
    v = (1.0 + x / np.sqrt(9.0 * d)) ** 3
    with np.errstate(divide="ignore", invalid="ignore"):
        good = np.log(u) < 0.5 * x * x + d - d * v + d * np.log(v)
    return np.asarray(np.where(good & (v > 0.0), d * v, np.nan))
