"""What types cannot say about node kinds, services and task DAGs. Each check yields (place, message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.model import INGRESS
from testbed.catalogue import nearest
from testbed.scenario.model import Scenario, Service, Task
from testbed.topology.located import Place
from testbed.units import SIZE, TIME, show

Mistakes = Iterator[tuple[Place, str]]

#: Fields of a processing-rate distribution, and the law they belong to.
RATE_FIELDS = {"spread": "uniform", "shape": "gamma", "floor": "gamma", "cv": "lognormal"}


def service(name: str, value: Service) -> Mistakes:
    """Fields that do not belong to the service's tier or its law."""
    place: Place = ("services", name)
    if value.tier == "light" and "streams" in value.model_fields_set:
        yield (
            (*place, "streams"),
            "belongs to the tier core; the workers of a light service are the controller's choice",
        )
    if value.tier == "core" and value.costs.parallel > 0:
        yield (*place, "costs", "parallel"), "belongs to the tier light; a core instance has a fixed number of streams"
    for field, law in RATE_FIELDS.items():
        if field in value.rate.model_fields_set and value.rate.law != law:
            yield (*place, "rate", field), f"belongs to the law {law}; the law here is {value.rate.law}"
    if value.rate.law == "uniform" and value.rate.spread >= 1:
        yield (*place, "rate", "spread"), "must be less than 1: a request may not take no time at all"


def hosting(scenario: Scenario) -> Mistakes:
    """A node kind that can host nothing; a service no kind can host."""
    services, kinds = scenario.services, scenario.nodes
    for name, kind in kinds.items():
        if not any(s.cpu <= kind.cpu and s.memory <= kind.memory for s in services.values()):
            least = min(services, key=lambda m: (services[m].memory, services[m].cpu))
            yield (
                ("nodes", name),
                f"can host nothing: it has {kind.cpu:g} cores and {show(kind.memory, SIZE)}, and the smallest service "
                f"{least!r} needs {services[least].cpu:g} cores and {show(services[least].memory, SIZE)}",
            )
    for name, s in services.items():
        if not any(s.cpu <= k.cpu and s.memory <= k.memory for k in kinds.values()):
            cpu, memory = max(k.cpu for k in kinds.values()), max(k.memory for k in kinds.values())
            yield (
                ("services", name),
                f"fits on no node kind: it needs {s.cpu:g} cores and {show(s.memory, SIZE)}; the kinds offer at most "
                f"{cpu:g} cores and {show(memory, SIZE)}",
            )


def shares(scenario: Scenario) -> Mistakes:
    if sum(t.share for t in scenario.tasks.values()) <= 0:
        yield ("tasks",), "all shares are 0: give at least one task a share of the arrivals"


def dag(name: str, task: Task, services: Mapping[str, object]) -> Mistakes:
    """Unknown services and predecessors, cycles, a stage named like the ingress."""
    for stage_name, stage in task.stages.items():
        place: Place = ("tasks", name, "stages", stage_name)
        used = stage.service or stage_name
        if stage_name == INGRESS:
            yield place, f"the name {INGRESS!r} means the task's own gateway: call the stage something else"
        if used not in services:
            at = (*place, "service") if stage.service else place
            yield at, f"there is no service {used!r}. {nearest(used, services)}"
        allowed = [INGRESS, *(s for s in task.stages if s != stage_name)]
        for source in stage.inputs:
            if source not in allowed and source != stage_name:
                yield (
                    (*place, "inputs", source),
                    f"there is no stage {source!r} before this one. {nearest(source, allowed)}",
                )
    cycle = find_cycle(task)
    if cycle:
        ring = " → ".join([*cycle, cycle[0]])
        yield (
            ("tasks", name, "stages", cycle[0]),
            f"the stages wait for each other in a circle: {ring}; remove one input",
        )
        return
    yield from _unfed(name, task)


def _unfed(name: str, task: Task) -> Mistakes:
    """Stages nothing from the ingress ever reaches (their predecessors are unknown or unfed)."""
    fed = {INGRESS}
    for stage in topological(task):
        inputs = task.stages[stage].inputs
        if any(i in fed for i in inputs) and all(i in fed or i not in task.stages for i in inputs):
            fed.add(stage)
    for stage_name, value in task.stages.items():
        known = all(i in task.stages or i == INGRESS for i in value.inputs)
        if stage_name not in fed and known and stage_name != INGRESS:
            yield (
                ("tasks", name, "stages", stage_name),
                "nothing from the ingress reaches this stage: give it an input that does",
            )


def find_cycle(task: Task) -> list[str]:
    """The stages of one cycle in the direction data would flow, or nothing."""
    left = {s: [i for i in stage.inputs if i in task.stages] for s, stage in task.stages.items()}
    while True:
        free = [s for s, inputs in left.items() if not any(i in left for i in inputs)]
        if not free:
            break
        for s in free:
            del left[s]
    if not left:
        return []
    walk, here = [], next(iter(left))
    while here not in walk:
        walk.append(here)
        here = next(i for i in left[here] if i in left)
    backward = walk[walk.index(here) :]
    forward = list(reversed(backward))
    start = min(range(len(forward)), key=lambda i: list(task.stages).index(forward[i]))
    return forward[start:] + forward[:start]


def topological(task: Task) -> list[str]:
    """Stages after all their predecessors, otherwise in file order. The DAG must have no cycle."""
    done: list[str] = []
    waiting = list(task.stages)
    while waiting:
        ready = next(
            (s for s in waiting if all(i in done or i not in task.stages for i in task.stages[s].inputs)), None
        )
        if ready is None:
            return done
        done.append(ready)
        waiting.remove(ready)
    return done


def deadline(name: str, task: Task, scenario: Scenario) -> Mistakes:
    """A deadline no network and no controller could meet: access at the mean rate plus the work at full speed."""
    if find_cycle(task):
        return
    speed = max(k.speed for k in scenario.nodes.values())
    access = 8 * sum(s.inputs.get(INGRESS, 0.0) for s in task.stages.values()) / scenario.access.rate
    finish: dict[str, float] = {}
    for stage_name in topological(task):
        stage = task.stages[stage_name]
        used = stage.service or stage_name
        if used not in scenario.services:
            return
        before = max((finish.get(i, 0.0) for i in stage.inputs), default=0.0)
        finish[stage_name] = before + scenario.services[used].work / speed
    work = max(finish.values(), default=0.0)
    if task.deadline < (access + work) * (1 - 1e-9):  # rounding is no mistake
        yield (
            ("tasks", name, "deadline"),
            f"{show(task.deadline, TIME)} is shorter than the bare path, {show(access + work, TIME)}: "
            f"{show(access, TIME)} on the access channel at its mean rate "
            f"and {show(work, TIME)} of work at speed {speed:g}",
        )
