"""What types cannot say about the network, arrivals and bandwidth. Each check yields (place, message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from testbed.catalogue import nearest
from testbed.scenario import targets
from testbed.scenario.model import Arrivals, Bandwidth, Run
from testbed.scenario.source import Source
from testbed.topology.located import Place
from testbed.topology.model import Topology
from testbed.units import TIME, show

#: Rounding of sums of seconds is no mistake.
SLACK = 1e-9

Mistakes = Iterator[tuple[Place, str]]

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
