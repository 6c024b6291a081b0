"""A campaign's file: one scenario over settings × policies × seeds × worlds (docs/campaigns.md)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from testbed import catalogue
from testbed.catalogue import nearest
from testbed.errors import InputError, Problem
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.scenario.model import LAST_SEED, Count, Name, Scenario, Strict, Value
from testbed.topology.explain import explain
from testbed.topology.located import Document, Place, read
from testbed.verdict.cells import MOST_SEEDS, Cell, assignment, digest, seeds_from

PLAN_VERSION = 1
MOST_RUNS = 1_000_000
SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
#: Paths a setting may not change, and what to use instead.
TAKEN = {
    "run.seed": "the seeds are `seeds: {first: 1, count: 10}`",
    "policy.name": "the policies are `policies: [two_tier, …]`",
    "name": "it is the scenario's own",
    "question": "it is the scenario's own",
    "claims": "claims are judged by `verify`",
}
Setting = tuple[str, ...]


class Seeds(Strict):
    """first: None is the scenario's run.seed. Then the next ones."""

    first: Annotated[Count, Field(ge=0, le=LAST_SEED)] | None = None
    count: Annotated[Count, Field(ge=1, le=MOST_SEEDS)] = 10


class Campaign(Strict):
    """grid: path → values, all combinations; or settings: one after the other. set: for all of them."""

    name: Name
    question: str
    scenario: str  # a shipped one by its name, or a file in this file's folder
    set: dict[str, Value] = Field(default_factory=dict)
    grid: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(default_factory=dict)
    settings: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    policies: Annotated[list[Name], Field(min_length=1)] | None = None  # None: the scenario's own
    seeds: Seeds = Seeds()
    worlds: Annotated[list[Literal["twin", "live"]], Field(min_length=1)] = Field(default=["twin"])


@dataclass(frozen=True, slots=True)
class Point:
    """One setting: path → value, and where in the campaign's file it stands."""

    values: dict[str, Any]
    places: dict[str, Place]

    @property
    def sets(self) -> Setting:
        return tuple(assignment(p, v) for p, v in self.values.items())

    @property
    def label(self) -> str:
        """For a person; of a single path the value alone, so that it can be an axis."""
        if len(self.values) == 1:
            return str(next(iter(self.values.values())))
        return ", ".join(self.sets)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a campaign runs, validated. base: sets of all runs."""

    campaign: Campaign
    file: Path
    base: Setting
    points: tuple[Point, ...]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    worlds: tuple[str, ...]
    described: dict[str, Any]

    def cell(self, point: Point, policy: str, seed: int) -> Cell:
        return Cell((*point.sets, f"policy.name={policy}"), seed)

    def cells(self) -> Iterator[tuple[str, Point, str, Cell]]:
        """(world, point, policy, cell) of every run, in the order of the table."""
        for world, point, policy, seed in itertools.product(self.worlds, self.points, self.policies, self.seeds):
            yield world, point, policy, self.cell(point, policy, seed)

    @property
    def total(self) -> int:
        return len(self.worlds) * len(self.points) * len(self.policies) * len(self.seeds)


def read_plan(path: Path, build: str) -> Plan:
    """The plan that `path` describes. Raises InputError with every mistake, located. build: of identity.py."""
    document = read(path)
    try:
        campaign = Campaign.model_validate(document.data)
    except ValidationError as error:
        raise InputError([document.problem(_known(document, p), m) for p, m in explain(error, Campaign)]) from None
    points = list(_points(campaign))
    problems = [document.problem(place, message) for place, message in _mistakes(campaign, points)]
    if problems:
        raise InputError(problems)
    file = _scenario(document, campaign.scenario, path)
    return _plan(document, campaign, file, points, build)


def _known(document: Document, place: Place) -> Place:
    """As far as the file goes: pydantic adds the names of a union's members."""
    while place and place not in document.marks:
        place = place[:-1]
    return place


def _points(c: Campaign) -> Iterator[Point]:
    if c.settings is not None:
        for i, values in enumerate(c.settings):
            yield Point(values, {p: ("settings", i, p) for p in values})
        return
    indexed = [[(path, i, v) for i, v in enumerate(values)] for path, values in c.grid.items()]
    for chosen in itertools.product(*indexed):
        yield Point({p: v for p, _, v in chosen}, {p: ("grid", p, i) for p, i, _ in chosen})


def _mistakes(c: Campaign, points: list[Point]) -> Iterator[tuple[Place, str]]:
    if c.settings is not None and c.grid:
        yield ("settings",), "stands beside a grid: a campaign has one of them"
    places = {p: place for point in points for p, place in point.places.items()}
    for path, place in [*places.items(), *((p, ("set", p)) for p in c.set)]:
        for taken, instead in TAKEN.items():
            if path == taken or path.startswith(f"{taken}."):
                yield place, f"{path!r} can't be changed here: {instead}"
    known = catalogue.kinds("controller.policies")
    for i, name in enumerate(c.policies or []):
        if name not in known:
            yield ("policies", i), f"there is no policy {name!r}. {nearest(name, known)}"
    for key, listed in (("policies", c.policies or []), ("worlds", c.worlds)):
        for i, name in enumerate(listed):
            if name in listed[:i]:
                yield (key, i), f"{name!r} stands there twice"
    seen: dict[Setting, Point] = {}
    for point in points:
        if seen.setdefault(point.sets, point) is not point:
            place = next(iter(point.places.values()), ("settings",))
            yield place, f"the setting {', '.join(point.sets) or '(nothing)'} stands there twice"


def _scenario(document: Document, written: str, path: Path) -> Path:
    """A shipped scenario by its bare name, or a file in the campaign's own folder."""
    folder = path.resolve().parent
    names = sorted(f.stem for f in SCENARIOS.glob("*.yaml"))
    if written in names:
        return SCENARIOS / f"{written}.yaml"
    bare = not Path(written).suffix
    found = (folder / written).resolve() if "\0" not in written else folder
    if bare or not found.is_relative_to(folder):
        message = f"there is no shipped scenario {written!r}. {nearest(written, names)}; or name a file in this folder"
        raise InputError([document.problem(("scenario",), message)])
    if not os.path.isfile(found):
        raise InputError([document.problem(("scenario",), f"there is no file {written!r} in {folder}")])
    return found


def _valid(document: Document, file: Path, base: Point, point: Point) -> Scenario:
    """The scenario at one setting. Raises InputError: what a setting broke is told where the setting stands."""
    try:
        return load(file, (*base.sets, *point.sets))
    except InputError as error:
        places = base.places | point.places
        found = [
            document.problem(places[path], p.message) if (path := p.file.removeprefix("--set ")) in places else p
            for p in error.problems
        ]
        raise InputError(found) from None


def _plan(document: Document, c: Campaign, file: Path, points: list[Point], build: str) -> Plan:
    base = Point(c.set, {p: ("set", p) for p in c.set})
    scenario = _valid(document, file, base, Point({}, {}))
    problems: list[Problem] = []
    for point in points:
        try:
            _valid(document, file, base, point)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    first = scenario.run.seed if c.seeds.first is None else c.seeds.first
    policies = tuple(c.policies or [scenario.policy.name])
    total = len(c.worlds) * len(points) * len(policies) * c.seeds.count
    if total > MOST_RUNS:
        raise InputError([document.problem((), f"{total} runs are more than {MOST_RUNS}: make several campaigns")])
    described: dict[str, Any] = {
        "version": PLAN_VERSION,
        "kind": "campaign",
        "name": c.name,
        "scenario": scenario.name,
        "base": list(base.sets),
        "settings": [{"sets": list(p.sets), "sha256": text_and_hash(file, (*base.sets, *p.sets))[1]} for p in points],
        "policies": list(policies),
        "seeds": [first, c.seeds.count],
        "worlds": list(c.worlds),
        "build": build,
    }
    described |= {"sha256": digest(described)}
    seeds = tuple(seeds_from(first, c.seeds.count, "seeds.count"))
    return Plan(c, file, base.sets, tuple(points), policies, seeds, tuple(c.worlds), described)
