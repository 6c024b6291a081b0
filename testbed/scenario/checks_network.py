"""What types cannot say about the network, arrivals, bandwidth and faults. Each check yields (place, message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError

from testbed.catalogue import nearest
from testbed.scenario import targets
from testbed.scenario.model import Arrivals, Bandwidth, Fault, Run, Scenario
from testbed.scenario.source import Source
from testbed.topology.explain import explain
from testbed.topology.located import Place
from testbed.topology.model import Topology
from testbed.units import TIME, show

#: Rounding of sums of seconds is no mistake.
SLACK = 1e-9

Mistakes = Iterator[tuple[Place, str]]
FaultCatalogue = Mapping[str, tuple[type[BaseModel], tuple[str, ...]]]

ARRIVAL_FIELDS = {"mmpp": "mmpp", "ramp_to": "ramp", "spike_factor": "spike", "spike_at": "spike", "spike_for": "spike",
                  "trace": "trace"}  # fmt: skip
BANDWIDTH_FIELDS = {"levels": "markov", "mean_dwell": "markov", "file": "trace", "scale": "trace"}


def _foreign(value: BaseModel, law: str, fields: Mapping[str, str], place: Place, source: Source) -> Mistakes:
    """Fields of another law. Those a file wrote for its own law stay silent when `--set` changed the law."""
    for field, belongs in fields.items():
        if field in value.model_fields_set and belongs != law:
            here = (*place, field)
            if source.is_set(here) or not source.is_set((*place, "law")):
                yield (
                    here,
                    f"belongs to the law {belongs}; the law here is {law}: set {'.'.join(map(str, place))}.law too",
                )


def arrivals(value: Arrivals, run: Run, source: Source) -> Mistakes:
    place: Place = ("arrivals",)
    yield from _foreign(value, value.law, ARRIVAL_FIELDS, place, source)
    if value.law == "trace" and value.trace is None:
        yield place, "the law trace needs the key 'trace' with its file"
    beyond = value.spike_at + value.spike_for > run.warmup + run.duration + SLACK
    if value.law == "spike" and beyond and not source.shortens_the_run():
        end = show(run.warmup + run.duration, TIME)
        yield (*place, "spike_at"), f"the spike ends after the run, which is over at {end} (warm-up and duration)"
    if value.weights is not None and value.dirichlet is not None:
        yield (*place, "dirichlet"), "weights are given already: keep one of weights and dirichlet"
    if value.weights is not None and sum(value.weights.values()) <= 0:
        yield (*place, "weights"), "all weights are 0: give at least one ingress a weight"


def weights(value: Arrivals, topology: Topology) -> Mistakes:
    known = [o.name for o in topology.ingresses]
    for name in value.weights or {}:
        if name not in known:
            yield (
                ("arrivals", "weights", name),
                f"there is no ingress {name!r} in {topology.name!r}. {nearest(name, known)}",
            )


def bandwidth(index: int, value: Bandwidth, source: Source) -> Mistakes:
    place: Place = ("bandwidth", index)
    yield from _foreign(value, value.law, BANDWIDTH_FIELDS, place, source)
    if value.law == "trace" and value.file is None:
        yield place, "the law trace needs the key 'file': a packet-opportunity trace"


def selector(index: int, value: Bandwidth, topology: Topology) -> Mistakes:
    """links: "trunks", "all", a link in either order, or one direction "a->b"."""
    name = value.links.replace("->", "--") if value.links.count("->") == 1 else value.links
    if value.links in ("trunks", "all") or targets.find(topology, name, ("link",)):
        return
    known = ["trunks", "all", *targets.names(topology, "trunk")]
    found = f"{value.links!r} selects no link of {topology.name!r}"
    yield ("bandwidth", index, "links"), f"{found}. {nearest(name, known)}; 'a->b' for one direction"


def fault(index: int, value: Fault, run: Run, source: Source, catalogue: FaultCatalogue | None) -> Mistakes:
    """Kind, time and the parameters of the kind's own file. A run shortened by `--set` may cut the file's faults."""
    place: Place = ("faults", index)
    end = run.warmup + run.duration
    cut = source.shortens_the_run() and not source.is_set(place) and not any(s[:2] == place for s in source.sets)
    if value.at + value.duration > end + SLACK and not cut:
        over = (
            f"it ends at {show(value.at + value.duration, TIME)}, the run at {show(end, TIME)} (warm-up and duration)"
        )
        yield (*place, "at"), f"the fault lies outside the run: {over}"
    if catalogue is None:
        return
    if value.kind not in catalogue:
        yield (*place, "kind"), f"there is no fault {value.kind!r}. {nearest(value.kind, catalogue)}"
        return
    model = catalogue[value.kind][0]
    try:
        model.model_validate(value.parameters)
    except ValidationError as error:
        yield from explain(error, model, (*place, "with"))


def fault_target(index: int, value: Fault, topology: Topology, catalogue: FaultCatalogue | None) -> Mistakes:
    roles: tuple[str, ...] = targets.ROLES
    if catalogue is not None:
        if value.kind not in catalogue:
            return
        roles = catalogue[value.kind][1]
    message = targets.mistake(topology, value.target, roles)
    if message:
        yield ("faults", index, "target"), message


def overlaps(scenario: Scenario, topology: Topology | None) -> Mistakes:
    """Two faults on the same target at the same time, two faults of one name."""
    seen: dict[str, int] = {}
    for j, b in enumerate(scenario.faults):
        if b.name is not None and b.name in seen:
            yield ("faults", j, "name"), f"fault {seen[b.name]} is called {b.name!r} too: measures are kept by name"
        if b.name is not None:
            seen.setdefault(b.name, j)
        for i, a in enumerate(scenario.faults[:j]):
            same = a.target == b.target or (topology and _same(topology, a.target, b.target))
            if same and a.at < b.at + b.duration - SLACK and b.at < a.at + a.duration - SLACK:
                until = f"{show(a.at, TIME)} to {show(a.at + a.duration, TIME)}"
                yield ("faults", j), f"overlaps fault {i} ({a.kind}, {until}) on the same target {b.target!r}: move one"


def _same(topology: Topology, a: str, b: str) -> bool:
    own = targets.find(topology, a)
    return own is not None and own == targets.find(topology, b)
