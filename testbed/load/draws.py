"""Everything random about the tasks of one ingress but their times: type, access delay, size and work.

Task k of ingress o is a function of (seed, o, k) alone, whatever is drawn before, after or elsewhere; it is computed
for a block of tasks at a time, because NumPy needs some hundreds to be fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.model import INGRESS, LEAST_GAIN, Law, Model
from testbed.load import laws
from testbed.record.tables import Array, Names
from testbed.scenario.streams import uniforms

BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Tasks first, first + 1, … of an ingress: type code, deadline s, access s, work [n, S] s at speed 1."""

    first: int
    type: Array
    deadline: Array
    access: Array
    work: Array


@dataclass(frozen=True, slots=True)
class _Demand:
    """A stage name as some types have it: its service's work and law, and its column per type (-1: not this type)."""

    stage: str
    work: float
    law: Law
    column: Array


class Drawer:
    """Draws blocks for a model and a seed."""

    def __init__(self, model: Model, names: Names, seed: int) -> None:
        self._seed, self._access, self._width = seed, model.access, names.stage_of.shape[1]
        shares = np.array([n.share for n in model.tasks])
        self._shares = np.cumsum(shares) / shares.sum()
        self._deadline = np.array([n.deadline for n in model.tasks])
        self._bits = 8.0 * np.array(
            [sum(i.bytes for s in n.stages for i in s.inputs if i.source == INGRESS) for n in model.tasks]
        )
        self._demands = []
        for stage in names.stages:
            for service in dict.fromkeys(s.service for n in model.tasks for s in n.stages if s.name == stage):
                column = [
                    next((c for c, s in enumerate(n.stages) if (s.name, s.service) == (stage, service)), -1)
                    for n in model.tasks
                ]
                m = model.service(service)
                self._demands.append(_Demand(stage, m.work, m.law, np.array(column)))

    def block(self, ingress: str, index: int) -> Block:
        """Tasks index · BLOCK to (index + 1) · BLOCK − 1 of this ingress."""
        first = index * BLOCK
        u = uniforms(first, BLOCK, self._seed, "task", ingress)
        kind = np.minimum(np.searchsorted(self._shares, u[:, 0], side="right"), len(self._shares) - 1)
        gain = np.maximum(self._gain(ingress, first), LEAST_GAIN)
        work = np.zeros((BLOCK, self._width))
        for d in self._demands:
            rows = np.flatnonzero(d.column[kind] >= 0)
            work[rows, d.column[kind[rows]]] = d.work * self._factors(d, ingress, first, rows)
        access = self._bits[kind] / (self._access.rate * gain)  # eq. (2)
        return Block(first, kind.astype(np.int16), self._deadline[kind], access, work)

    def _gain(self, ingress: str, first: int) -> Array:
        """Power gain of the access channel, Gamma(m, 1/m)."""
        m = self._access.m
        if m <= 0:
            return np.ones(BLOCK)
        u = uniforms(first, BLOCK, self._seed, "access", ingress)
        more = laws.gamma(m, u, lambda row, turn: uniforms(turn, 1, self._seed, "access", ingress, first + row)[0])
        return more / m

    def _factors(self, d: _Demand, ingress: str, first: int, rows: Array) -> Array:
        u = uniforms(first, BLOCK, self._seed, "work", ingress, d.stage)[rows]

        def more(row: int, turn: int) -> Array:
            return uniforms(turn, 1, self._seed, "work", ingress, d.stage, first + int(rows[row]))[0]

        return laws.factors(d.law, u, more)
