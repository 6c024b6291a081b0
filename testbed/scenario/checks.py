"""All checks beyond types, on a scenario that may be damaged: each runs as far as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from testbed import catalogue
from testbed.errors import InputError, Problem
from testbed.scenario import checks_claims, checks_faults, checks_network, checks_run, checks_tasks
from testbed.scenario.checks_faults import FaultCatalogue
from testbed.scenario.model import Scenario
from testbed.scenario.partial import HoleMet, until_hole
from testbed.scenario.source import Source
from testbed.topology import build
from testbed.topology.located import Place
from testbed.topology.model import Topology

Found = Iterable[tuple[Place, str]]


def check(scenario: Scenario, source: Source, faults: FaultCatalogue | None, reachable: bool = True) -> list[Problem]:
    """Every problem of meaning. reachable: False where the topology's file is not there (already reported)."""
    topology, problems = _topology(scenario, source) if reachable else (None, [])
    for found in _checks(scenario, source, topology, faults):
        problems += [source.problem(place, message) for place, message in until_hole(found)]
    return problems


def _checks(s: Scenario, source: Source, topology: Topology | None, faults: FaultCatalogue | None) -> Iterator[Found]:
    network = checks_network
    for name, service in _items(lambda: s.services):
        yield checks_tasks.service(name, service)
    yield checks_tasks.hosting(s)
    yield checks_tasks.shares(s)
    for name, task in _items(lambda: s.tasks):
        yield checks_tasks.dag(name, task, s.services)
        yield checks_tasks.deadline(name, task, s)
    yield checks_run.bounds(s)
    yield network.arrivals(s.arrivals, s.run, source)
    for i, entry in _items(lambda: s.bandwidth):
        yield network.bandwidth(i, entry, source)
    for i, fault in _items(lambda: s.faults):
        yield checks_faults.fault(i, fault, s.run, source, faults)
    yield checks_faults.chains(s)
    yield checks_faults.overlaps(s, topology)
    for i, when in _items(lambda: s.safety.stop):
        yield checks_faults.condition(("safety", "stop", i), when)
    if topology is not None:
        yield network.weights(s.arrivals, topology)
        for i, entry in _items(lambda: s.bandwidth):
            yield network.selector(i, entry, topology)
        services = [name for _, name in _items(lambda: list(s.services))]  # none where they are not read themselves
        for i, fault in _items(lambda: s.faults):
            yield checks_faults.fault_target(i, fault, topology, faults, services)
    for i, claim in _items(lambda: s.claims):
        yield checks_claims.claim(i, claim, s)
    yield checks_claims.repeated(s)
    yield _policy(s)


def _items(section: Callable[[], Any]) -> list[tuple[Any, Any]]:
    """(name or index, item) of a section; nothing where it is a hole."""
    try:
        found = section()
        return list(found.items()) if isinstance(found, Mapping) else list(enumerate(found))
    except HoleMet:
        return []


def _policy(s: Scenario) -> Found:
    known = catalogue.kinds("controller.policies")
    if s.policy.name not in known:
        message = f"there is no policy {s.policy.name!r}. {catalogue.nearest(s.policy.name, known)}"
        yield ("policy", "name"), message


def _topology(s: Scenario, source: Source) -> tuple[Topology | None, list[Problem]]:
    """The network for run.seed, or what is wrong with it."""
    try:
        kinds = list(s.nodes)
        if isinstance(s.topology, str):
            return build.build(s.topology, kinds, int(s.run.seed)), []
        mistakes = build.mistakes(s.topology, kinds)
        if mistakes:
            return None, [source.problem(("topology", *p), m) for p, m in mistakes]
        return build.build(s.topology, kinds, int(s.run.seed)), []
    except InputError as error:
        return None, error.problems
    except HoleMet:
        return None, []
