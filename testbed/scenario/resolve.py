"""From a scenario and a seed to what a run is made of: the network, the controller's model, the true weights.

Drawn per seed, each from a stream of its own, so that no draw moves another: `variation` of works, sizes and
speeds; the planner's view of the ingress weights (Dirichlet) and the truth it is wrong about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.model import (
    Access,
    Core,
    Costs,
    Ingress,
    Input,
    Law,
    Light,
    Model,
    Node,
    Stage,
    TaskType,
)
from testbed.scenario import targets
from testbed.scenario.checks_tasks import topological
from testbed.scenario.model import Arrivals, Fault, Scenario, Service, Task
from testbed.scenario.streams import stream
from testbed.topology.build import build
from testbed.topology.model import Topology
from testbed.topology.paths import paths


@dataclass(frozen=True, slots=True)
class Resolved:
    """true_weights: each ingress's share of the arrivals, summing to 1 (model.ingresses has the planner's view).

    faults: the scenario's, in its order, targets by the topology's own names, selectors drawn.
    """

    topology: Topology
    model: Model
    true_weights: dict[str, float]
    faults: tuple[Fault, ...] = ()


def resolve(scenario: Scenario, seed: int) -> Resolved:
    """Everything about a run that is known before it, for this seed. Raises InputError from the topology."""
    topology = build(scenario.topology, list(scenario.nodes), seed)
    names = [o.name for o in topology.ingresses]
    seen = planner_weights(scenario.arrivals, names, seed)
    services = {name: _service(name, s, scenario, seed) for name, s in scenario.services.items()}
    total = sum(t.share for t in scenario.tasks.values())
    model = Model(
        nodes=_nodes(scenario, topology, seed),
        ingresses=tuple(Ingress(o.name, o.domain, seen[o.name]) for o in topology.ingresses),
        core=tuple(s for s in services.values() if isinstance(s, Core)),
        light=tuple(s for s in services.values() if isinstance(s, Light)),
        tasks=tuple(_task(name, t, total, scenario, seed) for name, t in scenario.tasks.items()),
        paths=paths(topology),
        access=Access(scenario.access.rate, scenario.access.nakagami),
        load=planner_load(scenario.arrivals),
        slot=scenario.run.slot,
        contention=scenario.run.contention,
        extra={"plan_load": scenario.plan_load},
    )
    faults = tuple(targets.concrete(f, i, topology, seed, list(services)) for i, f in enumerate(scenario.faults))
    return Resolved(topology, model, true_weights(scenario.arrivals, seen, seed), faults)


def planner_load(arrivals: Arrivals) -> float:
    """Tasks/s at load 1 as the planner knows it: the rate written; of a trace, the rate it is rescaled to."""
    if arrivals.law == "trace" and arrivals.trace is not None and arrivals.trace.rate is not None:
        return arrivals.trace.rate
    return arrivals.rate


def planner_weights(arrivals: Arrivals, names: list[str], seed: int) -> dict[str, float]:
    """The planner's view: the weights written, or drawn from Dirichlet(c, …, c), or equal."""
    if arrivals.weights is not None:
        values = [arrivals.weights.get(n, 0.0) for n in names]
    elif arrivals.dirichlet is not None:
        drawn = stream(seed, "weights").dirichlet([arrivals.dirichlet] * len(names))
        values = [float(w) for w in drawn]
    else:
        values = [1.0] * len(names)
    total = sum(values)
    return {n: w / total for n, w in zip(names, values, strict=True)}


def true_weights(arrivals: Arrivals, seen: dict[str, float], seed: int) -> dict[str, float]:
    """The truth: each of the planner's weights × U(1−e, 1+e), renormalised."""
    values = {n: w * _factor(seed, arrivals.planner_error, "weights-error", n) for n, w in seen.items()}
    total = sum(values.values()) or 1.0
    return {n: w / total for n, w in values.items()}


def _factor(seed: int, spread: float, *key: str) -> float:
    """U(1−spread, 1+spread) from the stream of this key; exactly 1 without spread."""
    return 1.0 if spread == 0 else float(stream(seed, *key).uniform(1 - spread, 1 + spread))


def _nodes(scenario: Scenario, topology: Topology, seed: int) -> tuple[Node, ...]:
    out = []
    for host in topology.nodes:
        kind = scenario.nodes[str(host.kind)]
        speed = kind.speed * _factor(seed, scenario.variation.speed, "speed", host.name)
        out.append(Node(host.name, host.domain, kind.cpu, kind.memory, speed, kind.price))
    return tuple(out)


#: Laws by name; the parameters of the others are passed over.
_LAWS: dict[str, tuple[Literal["spread", "shape", "cv", "floor"], ...]] = {
    "deterministic": (), "uniform": ("spread",), "exponential": (), "lognormal": ("cv",), "gamma": ("shape", "floor"),
}  # fmt: skip


def _service(name: str, s: Service, scenario: Scenario, seed: int) -> Core | Light:
    work = s.work * _factor(seed, scenario.variation.work, "work", name)
    costs = Costs(s.costs.deploy, s.costs.keep, s.costs.parallel)
    law = Law(s.rate.law, **{p: getattr(s.rate, p) for p in _LAWS[s.rate.law]})
    if s.tier == "core":
        return Core(name, work, s.cpu, s.memory, s.streams, s.startup, costs, law, s.state)
    return Light(name, work, s.cpu, s.memory, s.startup, costs, law, s.state)


def _task(name: str, task: Task, total: float, scenario: Scenario, seed: int) -> TaskType:
    spread = scenario.variation.size
    stages = []
    for stage in topological(task):
        inputs = tuple(
            Input(source, size * _factor(seed, spread, "size", name, stage, source))
            for source, size in task.stages[stage].inputs.items()
        )
        stages.append(Stage(stage, task.stages[stage].service or stage, inputs))
    output = task.output * _factor(seed, spread, "size", name, "output")
    return TaskType(name, task.share / total, task.deadline, task.epsilon, tuple(stages), output)
