"""From the summaries of a fixed set of runs to a verdict per claim (docs/verdicts.md).

A claim stands or falls by *questions*: (values, one per seed; threshold). One question for a plain or paired claim; one
per value of a sweep. A sweep passes when every question does, each at the full level (an intersection-union test:
Berger 1982), and fails when one of them does, at the level divided by their number (Bonferroni). Several claims of one
plan are corrected by Holm, in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from testbed.scenario.model import Claim
from testbed.verdict.cells import Cell, cells_of, seeds_of, sides_of
from testbed.verdict.claims import holds, value_of
from testbed.verdict.intervals import Sample
from testbed.verdict.multiple import holm

#: Where the summary of a run is found; None where the run could not be made.
Lookup = Callable[[Cell], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One mean against the claim's threshold. label: which value of a sweep, "" without one."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the runs say about a claim, before any correction. doubts: why it can't be decided; then no questions."""

    claim: Claim
    questions: tuple[Question, ...] = ()
    doubts: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = field(default=(), repr=False)

    @property
    def p_pass(self) -> float:
        """Of "some question does not hold": the largest of its questions."""
        return max((self._p(s, for_it=True) for s in self.samples), default=1.0)

    @property
    def p_fail(self) -> float:
        """Of "every question holds": the smallest times their number."""
        return min(1.0, len(self.samples) * min((self._p(s, for_it=False) for s in self.samples), default=1.0))

    def _p(self, s: Sample, for_it: bool) -> float:
        c = self.claim
        threshold = c.at_least if c.at_least is not None else c.at_most
        assert threshold is not None
        return s.p_above(threshold) if (c.at_least is not None) == for_it else s.p_below(threshold)

    def binding(self) -> int:
        """The question nearest to breaking the claim."""
        sign = 1.0 if self.claim.at_least is not None else -1.0
        return min(range(len(self.questions)), key=lambda i: sign * _mean(self.questions[i].values))


def gather(claim: Claim, seed: int, lookup: Lookup) -> Evidence:
    """Read the claim's values out of its runs. seed: the scenario's run.seed, the first of the claim's."""
    doubts = []
    for cell in cells_of(claim, seed):
        if (summary := lookup(cell)) is None:
            doubts.append(f"run {cell.name} is missing")
        elif not summary["valid"]:
            doubts.append(f"run {cell.name}: {'; '.join(summary['invalid_because'])}")
        elif value_of(summary, claim.metric) is None:
            doubts.append(f"run {cell.name} has no {claim.metric}")
    if doubts:
        return Evidence(claim, doubts=tuple(doubts))
    questions = _questions(claim, seed, lookup)
    if any(not math.isfinite(x) for q in questions for x in q.values):
        return Evidence(claim, doubts=("a ratio to 0",))
    samples = tuple(Sample.of(q.values) for q in questions) if claim.statistic == "mean" and claim.runs > 1 else ()
    return Evidence(claim, questions, samples=samples)


def _questions(claim: Claim, seed: int, lookup: Lookup) -> tuple[Question, ...]:
    def values(sets: tuple[str, ...]) -> tuple[float, ...]:
        found = [value_of(lookup(Cell(sets, s)) or {}, claim.metric) for s in seeds_of(claim, seed)]
        return tuple(x for x in found if x is not None)

    table = []
    for label, own, other in sides_of(claim):
        mine = values(own)
        table.append((label, mine if other is None else _paired(claim, mine, values(other))))
    if claim.sweep is None or claim.sweep.rule == "each":
        return tuple(Question(label, v) for label, v in table)
    return tuple(
        Question(f"{a} → {b}", tuple(x - y for x, y in zip(u, v, strict=True))) for (a, u), (b, v) in pairwise(table)
    )


def _paired(claim: Claim, mine: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    assert claim.against is not None
    if claim.against.by == "difference":
        return tuple(x - y for x, y in zip(mine, other, strict=True))
    return tuple(x / y if y else math.inf for x, y in zip(mine, other, strict=True))


def decide(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """One entry per claim, like summary.json's `claims`, with the level it was held against and its questions.

    Points (one run, or the worst of several) take no part in the correction: they are checks, not inferences.
    """
    family = [i for i, e in enumerate(evidence) if e.samples]
    alpha = [1.0 - evidence[i].claim.confidence for i in family]
    passed = dict(zip(family, holm([evidence[i].p_pass for i in family], alpha), strict=True))
    failed = dict(zip(family, holm([evidence[i].p_fail for i in family], alpha), strict=True))
    out = []
    for i, e in enumerate(evidence):
        if e.doubts:
            out.append(_entry(e, "unknown", None))
        elif i not in passed:
            good = all(holds(e.claim, x) for q in e.questions for x in q.values)
            out.append(_entry(e, "pass" if good else "fail", None))
        else:
            verdict = "pass" if passed[i][0] else "fail" if failed[i][0] else "unknown"
            out.append(_entry(e, verdict, failed[i][1] if verdict == "fail" else passed[i][1]))
    return out


def _entry(e: Evidence, verdict: str, level: float | None) -> dict[str, Any]:
    """level: the significance level that decided, after Holm; None for a point check."""
    entry: dict[str, Any] = {
        "id": e.claim.id, "verdict": verdict, "estimate": None, "lower": None, "upper": None, "runs": e.claim.runs,
        "metric": e.claim.metric, "at_least": e.claim.at_least, "at_most": e.claim.at_most,
        "statistic": e.claim.statistic, "confidence": e.claim.confidence, "level": level,
        "p_pass": e.p_pass if e.samples else None, "p_fail": e.p_fail if e.samples else None,
        "doubts": list(e.doubts), "questions": [],
    }  # fmt: skip
    if not e.questions:
        return entry
    worst = min if e.claim.at_least is not None else max
    for k, q in enumerate(e.questions):
        row: dict[str, Any] = {"label": q.label, "values": list(q.values), "lower": None, "upper": None}
        row["estimate"] = worst(q.values) if e.claim.statistic == "worst" else _mean(q.values)
        if e.samples and level is not None:
            row["lower"], row["upper"] = e.samples[k].lower(1.0 - level), e.samples[k].upper(1.0 - level)
        entry["questions"].append(row)
    if e.claim.statistic == "worst":
        chosen = worst(entry["questions"], key=lambda row: row["estimate"])
    else:
        chosen = entry["questions"][e.binding()]
    return entry | {k: chosen[k] for k in ("estimate", "lower", "upper")} | {"binding": chosen["label"]}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
