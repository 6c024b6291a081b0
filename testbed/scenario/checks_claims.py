"""Claims: one threshold each, on a number that summary.json has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from testbed import catalogue
from testbed.catalogue import nearest
from testbed.scenario.model import Claim, Scenario
from testbed.topology.explain import keys
from testbed.topology.located import Place

#: What is added to a fault's name when it comes more than once (testbed/faults/base.py).
SPELL = re.compile(r"(_\d+){1,2}$")
Mistakes = Iterator[tuple[Place, str]]

#: Numbers of summary.json (design.md §6); <…> stands for a name.
METRICS = (
    "on_time_rate", "on_time_rate_by_type.<task>", "on_time_rate_after_fault.<fault>", "fluid_bound",
    "recovery.<fault>.seconds", "recovery.<fault>.dip", "recovery.<fault>.detect_s", "recovery.<fault>.reroute_s",
    "recovery.<fault>.first_on_time_s",
    "tasks.offered", "tasks.completed", "tasks.on_time", "tasks.late", "tasks.lost",
    "lost_by.expired", "lost_by.refused", "lost_by.unanswered",
    "latency_s.<task>.p50", "latency_s.<task>.p95", "latency_s.<task>.p99",
    "cost.deployment", "cost.operation_per_slot", "cost.migration_per_slot", "cost.total_per_slot",
    "placement.objective", "placement.bound", "placement.gap",
    "migrations.count", "migrations.tasks_lost", "migrations.blackout_s_max", "migrations.seconds_p50",
    "scalings.out", "scalings.in", "waiting.<service>.violation_rate", "waiting.<service>.n",
    "utilisation.nodes.<node>", "utilisation.links.<link>", "utilisation.gateways.<gateway>",
    "generator_lag_s_p99",
)  # fmt: skip


def claim(index: int, value: Claim, scenario: Scenario) -> Mistakes:
    place: Place = ("claims", index)
    if (value.at_least is None) == (value.at_most is None):
        found = "neither" if value.at_least is None else "both"
        yield place, f"has {found} of at_least and at_most: a claim has exactly one"
    known = {"<task>": list(scenario.tasks), "<service>": list(scenario.services)}
    if not any(path.startswith("faults") for path in (*value.set, *(value.against.set if value.against else ()))):
        known["<fault>"] = [f.name or f"{f.kind}_{i + 1}" for i, f in enumerate(scenario.faults)]
    message = _mistake(value.metric, known)
    if message:
        yield (*place, "metric"), message
    yield from _sides(place, value)


def _sides(place: Place, value: Claim) -> Mistakes:
    """What a claim changes of its scenario. Whether a path and its value are right to the end, `verify` checks by
    loading them; a first step that is no key of a scenario is named here."""
    a = value.against
    if a is not None and a.policy is None and not a.set:
        yield (*place, "against"), "names no other side: give it a policy, or set: {path: value}"
    known = catalogue.kinds("controller.policies")
    if a is not None and a.policy is not None and a.policy not in known:
        yield (*place, "against", "policy"), f"there is no policy {a.policy!r}. {nearest(a.policy, known)}"
    paths = [("set", p) for p in value.set] + [("against", p) for p in (a.set if a else {})]
    paths += [("sweep", value.sweep.path)] if value.sweep else []
    for where, path in paths:
        if path.split(".")[0] in ("claims", "name", "question"):
            yield (*place, where), f"{path!r} can't be changed by a claim: it is what the claim is about"
        elif path.split(".")[0] not in keys(Scenario):
            yield (*place, where), f"there is no key {path.split('.')[0]!r}. {nearest(path, keys(Scenario))}"
        if path == "run.seed":
            yield (*place, where), "the seeds of a claim are fixed: run.seed and the next ones, one per run"
    if value.sweep is not None and len(set(map(str, value.sweep.values))) < len(value.sweep.values):
        yield (*place, "sweep", "values"), "a value stands there twice"


def repeated(scenario: Scenario) -> Mistakes:
    seen: dict[str, int] = {}
    for i, value in enumerate(scenario.claims):
        if value.id in seen:
            yield ("claims", i, "id"), f"claim {seen[value.id]} is called {value.id!r} too: give each its own id"
        seen.setdefault(value.id, i)


def _mistake(metric: str, known: Mapping[str, Sequence[str]]) -> str | None:
    steps = metric.split(".")
    for pattern in METRICS:
        wanted = pattern.split(".")
        if len(wanted) != len(steps):
            continue
        if all(w == s or w.startswith("<") for w, s in zip(wanted, steps, strict=True)):
            return _unknown_name(wanted, steps, known)
    return f"there is no measure {metric!r}. {nearest(metric, METRICS)}"


def _unknown_name(wanted: list[str], steps: list[str], known: Mapping[str, Sequence[str]]) -> str | None:
    for w, s in zip(wanted, steps, strict=True):
        if w in known and s not in known[w] and not (w == "<fault>" and SPELL.sub("", s) in known[w]):
            return f"there is no {w.strip('<>')} {s!r}. {nearest(s, known[w])}"
    return None
