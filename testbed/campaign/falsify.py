"""`testbed falsify`: the mildest disturbance that breaks a claim, searched in the twin on fixed seeds.

    every disturbance alone, at full severity ─▶ those that break it: root of the slack along the severity, of each
                                              │  kind that of the target that breaks first
                                              └▶ none does: the worst together, one more at a time ─▶ smaller, milder
    ─▶ on other seeds, by the rules of `verify`, harder until the claim fails there ─▶ a scenario that anyone can run

Slack: by how much the claim's mean clears its threshold, negative where it misses it. A claim of several questions (the
values of a sweep) is broken by one of them, so they are asked in the order in which they came nearest to breaking, and
no more are asked once one has: the least of what was asked then bounds the slack from above, and has its sign.
Along one severity it is a function of one variable on common random numbers with a change of sign, so a bracketing root
finder (SciPy's brentq: secant where it falls smoothly, bisection where it jumps) needs some six evaluations where an
evolutionary search needs hundreds. That it falls along a severity is assumed; only what was run is ever reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.campaign.severity import DIGITS, Disturbance, Schedule, loaded, sets_of
from testbed.scenario.model import Claim, Scenario
from testbed.verdict import decide
from testbed.verdict.cells import Cell, cells_of, questions_of

TOLERANCE = 1 / 32  # of a severity
PIECE = 8  # disturbances whose runs are asked for at once
HARDER = 1.15  # × the severity, when other seeds don't agree
#: Run cells that are not there yet: (cells) → their summaries, None where a run could not be made.
Runner = Callable[[Sequence[Cell]], Mapping[Cell, Mapping[str, Any] | None]]


class Spent(Exception):
    """The budget of runs is used up."""


@dataclass(slots=True)
class Bench:
    """Evaluates schedules, each once. budget: runs left. most: load factor at severity 1. seeds: of the search.

    slacks: of each schedule; binding: the label of its question that came out least.
    """

    scenario: Scenario
    claim: Claim
    run: Runner
    budget: int
    most: float
    seeds: int
    known: dict[Cell, Mapping[str, Any] | None] = field(default_factory=dict)
    slacks: dict[Schedule, float] = field(default_factory=dict)
    binding: dict[Schedule, str] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)  # question → its slack when it was asked last

    def slack(self, schedule: Schedule) -> float:
        """On the search's seeds. Of a run that could not be made or is invalid: −1, it does not hold. Raises Spent."""
        self.together([schedule])
        return self.slacks[_sorted(schedule)]

    def alone(self) -> Iterator[Schedule]:
        """Single disturbances that were evaluated and under which the claim holds."""
        return (s for s, slack in self.slacks.items() if len(s) == 1 and slack >= 0)

    def together(self, schedules: Sequence[Schedule]) -> None:
        """Evaluate several, their runs made at once for the workers' sake. Raises Spent."""
        questions = questions_of(self.claim.model_copy(update={"runs": self.seeds}))
        found: dict[Schedule, dict[str, float]] = {s: {} for s in map(_sorted, schedules) if s not in self.slacks}
        order = sorted(questions, key=lambda label: self._last.get(label, 0.0))
        for group in [order] if () in found else _doubling(order):
            asked = [s for s, slacks in found.items() if min(slacks.values(), default=0.0) >= 0]
            wanted = [(s, label) for s in asked for label in group]
            self._make([c for s, label in wanted for c in self._cells(s, questions[label], self.scenario.run.seed)])
            for s, label in wanted:
                found[s][label] = _slack(self.evidence(s, questions[label], self.scenario.run.seed))
                self._last[label] = found[s][label]
        for s, slacks in found.items():
            self.binding[s] = min(slacks, key=lambda label: slacks[label])
            self.slacks[s] = slacks[self.binding[s]]

    def evidence(self, schedule: Schedule, claim: Claim, first: int) -> decide.Evidence:
        own = sets_of(schedule, self.scenario, self.most)
        self._make(self._cells(schedule, claim, first))
        shaken = loaded(claim, schedule, self.most)
        return decide.gather(shaken, first, lambda cell: self.known[Cell((*own, *cell.sets), cell.seed)])

    def _cells(self, schedule: Schedule, claim: Claim, first: int) -> list[Cell]:
        own = sets_of(schedule, self.scenario, self.most)
        return [Cell((*own, *c.sets), c.seed) for c in cells_of(loaded(claim, schedule, self.most), first)]

    def _make(self, cells: Iterable[Cell]) -> None:
        wanted = [c for c in dict.fromkeys(cells) if c not in self.known]
        if len(wanted) > self.budget:
            raise Spent
        if wanted:
            self.budget -= len(wanted)
            self.known.update(self.run(wanted))


def _sorted(schedule: Schedule) -> Schedule:
    """A schedule is a set; this is the one way it is written."""
    return tuple(sorted(schedule))


def _doubling(labels: Sequence[str]) -> Iterator[Sequence[str]]:
    """The first, the next two, the next four: few where one of the first breaks it, few rounds where none does."""
    size = 1
    while labels:
        yield labels[:size]
        labels, size = labels[size:], 2 * size


def _slack(e: decide.Evidence) -> float:
    if e.doubts:
        return -1.0
    c = e.claim
    sign, threshold = (1.0, c.at_least) if c.at_least is not None else (-1.0, c.at_most)
    assert threshold is not None
    values = [x for q in e.questions for x in (q.values if c.statistic == "worst" else [sum(q.values) / len(q.values)])]
    return min(sign * (x - threshold) for x in values)


@dataclass(frozen=True, slots=True)
class Margin:
    """Of one disturbance alone, both as run: the claim holds at severity `holds` and breaks at `breaks`.

    breaks: None where it holds at the full severity, and `holds` is 1 then. Of the kind's mildest target they lie
    within TOLERANCE; of another one that breaks at the full severity, `holds` is the kind's margin.
    """

    holds: float
    breaks: float | None = None


@dataclass(slots=True)
class Found:
    """What a search found. margins: what the budget reached.

    schedule: the counterexample, () when the claim fails undisturbed, None without one. question: the label of what it
    broke, "" where the claim asks one thing, and the claim that asks just that. judged: its verdict's entry on other
    seeds. spent: the budget ended the search early. tried: what the claim held against, when nothing broke it.
    """

    undisturbed: float | None = None
    margins: dict[Disturbance, Margin] = field(default_factory=dict)
    schedule: Schedule | None = None
    question: tuple[str, Claim] | None = None
    judged: dict[str, Any] | None = None
    first: int = 0
    spent: bool = False
    tried: Schedule = ()


def falsify(bench: Bench, rays: Sequence[Disturbance], together: int, recheck: int) -> Found:
    """rays: every disturbance at full severity. together: most at a time. recheck: fresh seeds to judge by.

    Of the budget a quarter at most is kept for the judging, so that a search that was cut short is judged as well.
    """
    found = Found()
    questions = questions_of(bench.claim.model_copy(update={"runs": recheck}))
    kept = min(2 * len(cells_of(next(iter(questions.values())), 0)), bench.budget // 4)
    bench.budget -= kept
    mildest_first: list[Schedule] = []
    try:
        mildest_first = _search(bench, rays, together, found)
    except Spent:
        found.spent = True
        mildest_first = _breaking(found)
    bench.budget += kept
    try:
        for found.schedule in mildest_first:
            label = bench.binding[found.schedule]
            found.question = label, questions[label]
            if _recheck(bench, found, questions[label]):
                return found
    except Spent:
        found.spent = True
    found.schedule = None
    return found


def _search(bench: Bench, rays: Sequence[Disturbance], together: int, found: Found) -> list[Schedule]:
    """The schedules that break the claim, mildest first. Raises Spent; what is known by then is in `found`."""
    found.undisturbed = bench.slack(())
    if found.undisturbed < 0:
        return [()]
    for i in range(0, len(rays), PIECE):
        piece = [(ray,) for ray in rays[i : i + PIECE]]
        bench.together(piece)
        found.margins |= {s[0]: Margin(1.0) if bench.slack(s) >= 0 else Margin(0.0, 1.0) for s in piece}
    for kind in dict.fromkeys(ray.kind for ray in rays):
        margins_of_kind(bench, [ray for ray in rays if ray.kind == kind], found)
    if alone := _breaking(found):
        return alone
    worst = sorted(rays, key=lambda r: bench.slack((r,)))
    found.tried = tuple(worst[:1])
    for n in range(2, min(together, len(worst)) + 1):
        found.tried = tuple(worst[:n])
        if bench.slack(found.tried) < 0:
            return [minimised(bench.slack, found.tried)]
    return []


def _breaking(found: Found) -> list[Schedule]:
    """Single disturbances, mildest first."""
    broken = sorted((m.breaks, ray) for ray, m in found.margins.items() if m.breaks is not None)
    return [(ray.at(severity),) for severity, ray in broken]


def margins_of_kind(bench: Bench, rays: Sequence[Disturbance], found: Found) -> None:
    """The root along the kind's worst target; another target is searched only where it breaks below that.

    That slack falls along a severity is taken for granted here too, so a target that holds at the margin is done.
    """
    least = 1.0
    for ray in sorted(rays, key=lambda r: bench.slack((r,))):
        if found.margins[ray].breaks is None:
            continue
        below = round(least - TOLERANCE, DIGITS)
        if least < 1.0 and (below <= 0 or bench.slack((ray.at(below),)) >= 0):
            found.margins[ray] = Margin(max(below, 0.0), 1.0)
            continue
        least = _mildest(bench, (), ray.at(below if least < 1.0 else 1.0))
        held = [d.severity for (d,) in bench.alone() if (d.kind, d.target) == (ray.kind, ray.target)]
        found.margins[ray] = Margin(max((s for s in held if s < least), default=0.0), least)


def _mildest(bench: Bench, others: Schedule, ray: Disturbance) -> float:
    """The mildest severity of `ray`, beside others, that was run and breaks the claim; known: its present one does."""
    return mildest(lambda s: bench.slack((*others, ray.at(s)) if s else others), ray.severity)


def mildest(slack: Callable[[float], float], high: float) -> float:
    """The smallest x evaluated with slack(x) < 0, within TOLERANCE of the root. Needs slack(high) < 0 <= slack(0)."""
    from scipy.optimize import brentq

    seen = {high: slack(high), 0.0: slack(0.0)}
    assert seen[high] < 0 <= seen[0.0]

    def f(x: float) -> float:
        if x not in seen:
            seen[x] = slack(x)
        return seen[x] if seen[x] else 1e-12  # at the threshold the claim holds

    brentq(f, 0.0, high, xtol=TOLERANCE / 2, rtol=1e-3, maxiter=30, disp=False)
    while True:  # the root finder may end on the side that holds
        held = max(x for x, v in seen.items() if v >= 0 and x < _broken(seen))
        if _broken(seen) - held <= TOLERANCE:
            return _broken(seen)
        f((held + _broken(seen)) / 2)


def _broken(seen: Mapping[float, float]) -> float:
    return min(x for x, v in seen.items() if v < 0)


def minimised(slack: Callable[[Schedule], float], schedule: Schedule) -> Schedule:
    """Delta debugging: no disturbance can be left out, and none made milder by more than TOLERANCE, without the claim
    holding again. Needs slack(schedule) < 0. (Zeller and Hildebrandt 2002, at granularity 1: schedules are short.)
    """
    changed = True
    while changed:
        changed = False
        for d in sorted(schedule, key=lambda d: -d.severity):
            without = tuple(x for x in schedule if x != d)
            if without and slack(without) < 0:
                schedule, changed = without, True
                break
    for d in sorted(schedule, key=lambda d: (-d.severity, d)):
        others = tuple(x for x in schedule if x != d)

        def along(s: float, others: Schedule = others, d: Disturbance = d) -> float:
            return slack((*others, d.at(s)) if s else others)

        schedule = tuple(sorted((*others, d.at(mildest(along, d.severity)))))
    return schedule


def _recheck(bench: Bench, found: Found, claim: Claim) -> bool:
    """Judge on seeds the search has not seen, by the rules of `verify`; harder until the claim fails there.

    claim: the question the schedule broke. It was chosen on the search's seeds, so its level needs no correction for
    those it was chosen from, and their runs are not made.
    """
    assert found.schedule is not None
    found.first = bench.scenario.run.seed + bench.seeds + 1000
    while True:
        found.judged = decide.decide([bench.evidence(found.schedule, claim, found.first)])[0]
        if found.judged["verdict"] == "fail":
            return True
        if not found.schedule or min(d.severity for d in found.schedule) >= 1.0:
            return False
        found.schedule = tuple(d.at(min(1.0, d.severity * HARDER)) for d in found.schedule)
