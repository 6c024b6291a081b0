"""Which runs a claim is made of: cells of (settings, seed), fixed before anything runs, and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from testbed.errors import InputError
from testbed.scenario.model import LAST_SEED, Claim, Value

MOST_SEEDS = 100_000  # of one experiment


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One run of a scenario: `sets` as --set takes them ("load=2"), in order, and the seed."""

    sets: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """A folder's name: readable, and of its own for every cell."""
        if not self.sets:
            return f"s{self.seed}"
        text = "_".join(self.sets)
        safe = "".join(c if c.isalnum() or c in "=.-_" else "-" for c in text)[:60]
        return f"{safe}_{hashlib.sha256(text.encode()).hexdigest()[:6]}_s{self.seed}"


def assignment(path: str, value: Value) -> str:
    """PATH=VALUE as --set reads it."""
    return f"{path}={json.dumps(value)}" if not isinstance(value, str) else f"{path}={value}"


def seeds_from(first: int, count: int, what: str) -> range:
    """The seeds of an experiment. what: who asked for so many. Raises InputError before anything is made of them."""
    if count > MOST_SEEDS:
        raise InputError(f"{what} {count}: more than {MOST_SEEDS} seeds")
    if first + count - 1 > LAST_SEED:
        raise InputError(f"{what} {count}: from run.seed {first} on there are {LAST_SEED - first + 1} seeds")
    return range(first, first + count)


def seeds_of(claim: Claim, first: int) -> range:
    """Fixed: the scenario's run.seed and the next ones."""
    return seeds_from(first, claim.runs, f"claim {claim.id}: runs")


def sides_of(claim: Claim) -> list[tuple[str, tuple[str, ...], tuple[str, ...] | None]]:
    """(label of the sweep's value, the claim's own settings, those of the other side or None)."""
    out: list[tuple[str, tuple[str, ...], tuple[str, ...] | None]] = []
    base = tuple(assignment(p, v) for p, v in claim.set.items())
    steps: Sequence[tuple[str, tuple[str, ...]]] = [("", ())]
    if claim.sweep is not None:
        path = claim.sweep.path
        steps = [(f"{path}={v}", (assignment(path, v),)) for v in claim.sweep.values]
    for label, step in steps:
        own, other = base + step, None
        if claim.against is not None:
            a = claim.against
            policy = (f"policy.name={a.policy}",) if a.policy is not None else ()
            other = own + policy + tuple(assignment(p, v) for p, v in a.set.items())
        out.append((label, own, other))
    return out


def cells_of(claim: Claim, first: int) -> list[Cell]:
    """Every run the claim needs, each once."""
    sets = [s for _, own, other in sides_of(claim) for s in (own, other) if s is not None]
    return list(dict.fromkeys(Cell(s, seed) for s in sets for seed in seeds_of(claim, first)))


def questions_of(claim: Claim) -> dict[str, Claim]:
    """A claim for each question that this one is made of, by the label `decide` gives it; together they ask the same.

    Their runs are this claim's, each of its cells in one of them or two. Without a sweep it is the claim itself.
    """
    if claim.sweep is None:
        return {"": claim}
    path, values = claim.sweep.path, claim.sweep.values
    if claim.sweep.rule == "each":
        return {f"{path}={v}": claim.model_copy(update={"sweep": None, "set": {**claim.set, path: v}}) for v in values}
    return {
        f"{path}={a} → {path}={b}": claim.model_copy(
            update={"sweep": claim.sweep.model_copy(update={"values": [a, b]})}
        )
        for a, b in pairwise(values)
    }


def digest(plan: Any) -> str:
    """sha256 of a plan in canonical JSON: whatever changes it makes a new experiment."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
