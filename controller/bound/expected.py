"""Crowds from the model's laws, without dice: what the tasks of an endless run would be (docs/mathematics.md §4).

A rank-one lattice, rotated, stands for the draws of work, one dimension per stage. Each draw is rounded *down* to a
quantile, so the points are stochastically smaller than the law. Access is integrated over, not drawn: whatever the
works are, it comes on top of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from controller.bound.values import Array, Channel, Crowd
from controller.light import law as laws
from controller.light.budget import lattice
from controller.model import INGRESS, Law, Model, TaskType

#: Points of one lattice, and how many rotations of it are taken.
POINTS, ROTATIONS = 512, 8
CELLS = 1000


def crowds(model: Model, rates: dict[str, float]) -> list[Crowd]:
    """One per type and ingress with a positive share; rates: tasks/s by ingress. POINTS · ROTATIONS samples each."""
    total = sum(n.share for n in model.tasks)
    return [
        _crowd(model, n, o.name, rates[o.name] * n.share / total)
        for n in model.tasks
        for o in model.ingresses
        if rates[o.name] * n.share > 0
    ]


def _crowd(model: Model, task: TaskType, ingress: str, rate: float) -> Crowd:
    points = rotated(len(task.stages))
    entering = sum(i.bytes for s in task.stages for i in s.inputs if i.source == INGRESS)
    time, m = 8.0 * entering / model.access.rate, model.access.m
    work = np.empty((len(task.stages), len(points)))
    for k, stage in enumerate(task.stages):
        service = model.service(stage.service)
        work[k] = service.work * _below(_factors(service.law), points[:, k])
    access = np.full(len(points), 0.0 if m > 0 else time)
    return Crowd(task.name, ingress, rate, access, work, channel=Channel(time, m) if m > 0 else None)


@lru_cache(maxsize=64)
def rotated(dimensions: int) -> Array:
    """ROTATIONS blocks of POINTS lattice points, each block shifted modulo 1; shape (POINTS · ROTATIONS, dimensions).

    The shifts are points of a second lattice. A rotated lattice estimates without bias, so what the blocks differ by
    is what the estimate is worth.
    """
    base, shifts = lattice(POINTS, dimensions), lattice(ROTATIONS, dimensions + 1)[:, 1:]
    blocks: Array = np.concatenate([(base + shift) % 1.0 for shift in shifts])
    return blocks


def _below(ascending: Array, u: Array) -> Array:
    """For each u the largest tabulated quantile that is not above its own: `ascending` starts at probability 0."""
    below: Array = ascending[(u * CELLS + 0.5).astype(int)]
    return below


@lru_cache(maxsize=256)
def _factors(law: Law) -> Array:
    """Least value of the factor on the work, then its quantiles at (i + ½)/CELLS."""
    least = {"deterministic": 1.0, "uniform": 1.0 - law.spread}.get(law.kind, 0.0)
    return np.array([least, *laws.points(law, CELLS)])
