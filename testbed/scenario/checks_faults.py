"""What types cannot say about faults: kinds, times, conditions, targets. Each check yields (place, message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ValidationError

from testbed.catalogue import nearest
from testbed.scenario import targets
from testbed.scenario.model import Fault, Run, Scenario, When
from testbed.scenario.source import Source
from testbed.topology.explain import explain
from testbed.topology.located import Place
from testbed.topology.model import Topology
from testbed.units import TIME, show

#: Rounding of sums of seconds is no mistake.
SLACK = 1e-9

Mistakes = Iterator[tuple[Place, str]]
FaultCatalogue = Mapping[str, tuple[type[BaseModel], tuple[str, ...]]]


def fault(index: int, value: Fault, run: Run, source: Source, catalogue: FaultCatalogue | None) -> Mistakes:
    """Kind, time and the parameters of the kind's own file. A run shortened by `--set` may cut the file's faults."""
    place: Place = ("faults", index)
    end = run.warmup + run.duration
    cut = source.shortens_the_run() and not source.is_set(place) and not any(s[:2] == place for s in source.sets)
    beginning = 0.0 if value.after else value.at
    last = beginning + ((value.times or 1) - 1) * (value.every or 0.0) + value.duration
    if last > end + SLACK and not cut:
        over = f"it ends at {show(last, TIME)}, the run at {show(end, TIME)} (warm-up and duration)"
        yield (*place, "at"), f"the fault lies outside the run: {over}"
    yield from _schedule(place, value)
    if catalogue is not None:
        yield from kind_and_parameters(place, value, catalogue)


def kind_and_parameters(place: Place, value: Fault, catalogue: FaultCatalogue) -> Mistakes:
    """Whether there is such a kind, and its own parameters by its file."""
    if value.kind not in catalogue:
        yield (*place, "kind"), f"there is no fault {value.kind!r}. {nearest(value.kind, catalogue)}"
        return
    model = catalogue[value.kind][0]
    try:
        model.model_validate(value.parameters)
    except ValidationError as error:
        yield from explain(error, model, (*place, "with"))


def _schedule(place: Place, value: Fault) -> Mistakes:
    """every, times, after and when, among themselves."""
    if value.times is not None and value.every is None:
        yield (*place, "times"), "says how often, not how far apart: give `every` too"
    if value.every is not None and value.every < value.duration - SLACK:
        apart = f"it lasts {show(value.duration, TIME)} and would begin again after {show(value.every, TIME)}"
        yield (*place, "every"), f"{apart}: make `every` at least as long as `for`"
    if value.every is not None and (value.after or value.when):
        yield (*place, "every"), "a fault that repeats begins at a time of its own: it takes neither `after` nor `when`"
    if value.after is not None and value.when is not None:
        yield (*place, "when"), "begins after another fault already: keep one of `after` and `when`"
    if value.when is not None:
        yield from condition((*place, "when"), value.when)


def condition(place: Place, value: When) -> Mistakes:
    if (value.above is None) == (value.below is None):
        found = "neither" if value.above is None else "both"
        yield place, f"has {found} of above and below: a condition has exactly one"


def chains(scenario: Scenario) -> Mistakes:
    """`after` names another fault, and no ring."""
    named = {f.name: f for f in scenario.faults if f.name is not None}
    for i, value in enumerate(scenario.faults):
        if value.after is None:
            continue
        if value.after not in named:
            yield ("faults", i, "after"), f"there is no fault called {value.after!r}. {nearest(value.after, named)}"
            continue
        seen, here = {value.name}, named[value.after]
        while here.name not in seen and here.after in named:
            seen.add(here.name)
            here = named[here.after]
        if here.name in seen:
            yield ("faults", i, "after"), "waits for itself, by way of the faults it comes after"


def fault_target(
    index: int, value: Fault, topology: Topology, catalogue: FaultCatalogue | None, services: Sequence[str] = ()
) -> Mistakes:
    """The target, and what else the fault's own parameters aim at."""
    roles: Sequence[str] = targets.ROLES
    also: list[tuple[Place, str]] = []
    if catalogue is not None:
        if value.kind not in catalogue:
            return
        model, roles = catalogue[value.kind]
        also = [(("with", field, k), name) for field, k, name in _aimed(model, value)]
    if "service" in roles and not services:
        return  # they have mistakes of their own
    for place, name in [(("target",), value.target), *also]:
        if place != ("target",) and (targets.MANY.fullmatch(name) or name in targets.SELECTORS):
            yield ("faults", index, *place), f"{name!r} is drawn per seed, which `target` alone can be: give a name"
            continue
        message = targets.mistake(topology, name, roles, services)
        if message:
            yield ("faults", index, *place), message


def _aimed(model: type[BaseModel], value: Fault) -> Iterator[tuple[str, int, str]]:
    """(field, index, name) of the parameters that name targets too: a model says which in AIMS."""
    for field in getattr(model, "AIMS", ()):
        listed = value.parameters.get(field)
        if isinstance(listed, list):
            yield from ((field, k, name) for k, name in enumerate(listed) if isinstance(name, str))


def overlaps(scenario: Scenario, topology: Topology | None) -> Mistakes:
    """Two faults on the same target at the same time, two faults of one name. What is drawn is drawn by the seed."""
    seen: dict[str, int] = {}
    own = [_drawn(scenario, i, topology) for i in range(len(scenario.faults))]
    end = scenario.run.warmup + scenario.run.duration
    for j, b in enumerate(scenario.faults):
        if b.name is not None and b.name in seen:
            yield ("faults", j, "name"), f"fault {seen[b.name]} is called {b.name!r} too: measures are kept by name"
        if b.name is not None:
            seen.setdefault(b.name, j)
        for i, a in enumerate(scenario.faults[:j]):
            if a.overlap or b.overlap:
                continue
            pairs = ((x, y) for x in own[i] for y in own[j])
            same = next((y for x, y in pairs if x == y or (topology and same_target(topology, x, y))), None)
            if same is None:
                continue
            if a.after == b.name is not None or b.after == a.name is not None:
                continue  # one waits for the other
            when = _meet(a, b, end)
            if when:
                by = "" if b.target == same else f" (drawn by seed {scenario.run.seed})"
                message = f"overlaps fault {i} ({a.kind}, {when}) on the same target {same!r}{by}"
                yield ("faults", j), f"{message}: move one, or write `overlap: true`"


def _drawn(scenario: Scenario, index: int, topology: Topology | None) -> tuple[str, ...]:
    """The names a fault's target means with this seed; as written where nothing is drawn, or nothing can be."""
    value = scenario.faults[index]
    if topology is None or not isinstance(value.target, str):
        return (value.target,)
    services = list(scenario.services)
    if targets.MANY.fullmatch(value.target):
        known, count = targets.crowd(value.target, topology, services) or ([], 0)
        possible = 1 <= count <= len(known)
    else:
        any_of = value.target in targets.SELECTORS and value.target != targets.BUSIEST
        possible = any_of and bool(targets.names(topology, value.target.removeprefix(targets.ANY), services))
    if not possible:
        return (value.target,)
    return tuple(targets.concrete(value, index, topology, scenario.run.seed, services).targets)


def _meet(a: Fault, b: Fault, end: float) -> str:
    """When a is in force while b may be; "" for never."""
    if a.after or a.when or b.after or b.when:
        return "whose time is known only in the run" if a.after or a.when else "and this one's time is known only then"
    for x in _times(a, end):
        if any(x < y + b.duration - SLACK and y < x + a.duration - SLACK for y in _times(b, end)):
            return f"{show(x, TIME)} to {show(x + a.duration, TIME)}"
    return ""


def _times(f: Fault, end: float) -> list[float]:
    """Beginnings, s."""
    if f.every is None:
        return [f.at]
    most = f.times or int((end - f.at) / f.every) + 1
    return [f.at + k * f.every for k in range(min(most, 1000))]


def same_target(topology: Topology, a: str, b: str) -> bool:
    """Whether two names mean one thing; the two directions of a link do not meet."""
    own = targets.find(topology, a)
    other = targets.find(topology, b)
    if own is not None and other is not None and "--" in own.replace("->", "--"):
        one_way = "->" in own and "->" in other  # the two directions of a link do not meet
        return (
            own == other
            if one_way
            else targets.find(topology, own.replace("->", "--")) == targets.find(topology, other.replace("->", "--"))
        )
    return own is not None and own == other
