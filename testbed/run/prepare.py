"""From a file to something that can run: validated, resolved for its seed, placed. Touches nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller import policies
from controller.decision import Decision, Placement
from controller.model import Model
from controller.placement import Infeasible
from controller.policy import Policy
from testbed.errors import InputError
from testbed.faults.base import Planned, catalogue_of_faults, load_kind, timeline
from testbed.load.bandwidth import Bins, tracks
from testbed.load.shapes import intensities
from testbed.load.tasks import TaskSource
from testbed.load.trace import window
from testbed.run.profile import told
from testbed.scenario import loader, targets
from testbed.scenario.model import Fault, Scenario
from testbed.scenario.resolve import Resolved, resolve
from testbed.world.base import Track, World

#: s measured of a testbed that went down while it warmed up: nothing, in which shares are still defined.
LEAST_WINDOW = 1e-6

#: (policy, model, parameters) → its core placement.
Place = Callable[[Policy, Model, Mapping[str, float]], Placement]


@dataclass(frozen=True)
class Prepared:
    """A scenario ready for a world."""

    scenario: Scenario
    text: str
    sha256: str
    seed: int
    world: str
    resolved: Resolved
    policy: Policy
    parameters: dict[str, float]
    placement: Placement
    placement_s: float
    state: Any
    initial: Decision
    planned: list[Planned]
    written: float | None = None  # of a testbed held open: where the scenario itself would end, s

    @property
    def horizon(self) -> float:
        """End of the offered load, s since t = 0."""
        return self.scenario.run.warmup + self.scenario.run.duration

    def source(self) -> TaskSource:
        """The tasks of this seed, from their beginning.

        Held open past the scenario's end the law goes on: a ramp stays where it arrived, a modulated path is the same
        one, longer; a trace ends where it ends.
        """
        s, seed = self.scenario, self.seed
        weights = self.resolved.true_weights
        own = self.horizon if self.written is None else self.written
        trace = None
        if s.arrivals.law == "trace" and s.arrivals.trace is not None:
            trace = window(s.arrivals.trace, s.load, weights, own, seed)
        shapes = intensities(s.arrivals, s.load, weights, self.horizon if s.arrivals.law == "mmpp" else own, seed)
        return TaskSource(self.resolved.model, weights, seed, self.horizon, shapes, trace)

    def cut_to(self, end: float) -> Prepared:
        """The same with a load that ended then, s: what was measured is what there was."""
        run = self.scenario.run
        run = run.model_copy(update={"duration": max(end - run.warmup, LEAST_WINDOW)})
        return replace(self, scenario=self.scenario.model_copy(update={"run": run}))

    def tracks(self, bins: Bins) -> list[Track]:
        """Bandwidth paths of this seed."""
        return tracks(self.scenario.bandwidth, self.resolved.topology, self.horizon, self.seed, bins)


def load(path: Path, sets: Sequence[str]) -> Scenario:
    """Read and validate; raises InputError with all problems."""
    return loader.load(path, sets, fault_catalogue=catalogue_of_faults())


def busiest(model: Model, placement: Placement) -> str:
    """The node with the most core work, s of service per s: Σ z_mov gw_o Σ_n share_n k_nm x_m / s_v, eq. (7).

    Where a policy plans no flows, the instances of a service share its work evenly. Ties: the model's order.
    """
    visits = {m.name: sum(n.share for n in model.tasks for s in n.stages if s.service == m.name) for m in model.core}
    weights = {o.name: o.weight for o in model.ingresses}
    load = {v.name: 0.0 for v in model.nodes}
    for m in model.core:
        flows = {(o, v): z for (service, o, v), z in placement.flows.items() if service == m.name}
        nodes = placement.instances.get(m.name, ())
        shares = [(v, weights[o] * z) for (o, v), z in flows.items()] or [(v, 1.0 / len(nodes)) for v in nodes]
        for v, share in shares:
            load[v] += share * visits[m.name] * m.work / model.node(v).speed
    return max(load, key=lambda v: load[v])


def aimed(fault: Fault, model: Model, placement: Placement) -> Fault:
    return fault.model_copy(update={"target": busiest(model, placement)}) if fault.target == targets.BUSIEST else fault


def inabilities(prepared: Prepared, world: World) -> list[str]:
    """What the world can't do of this scenario, one sentence each; asked before anything is built."""
    out = world.cannot(prepared.scenario, prepared.resolved.topology)
    for p in prepared.planned:
        lacking = sorted(load_kind(p.fault.kind).NEEDS - world.can)
        if lacking:
            out.append(
                f"fault {p.name}: {p.fault.kind} changes {', '.join(lacking)}, which the {world.name} world can't"
            )
    return list(dict.fromkeys(out))


def ask(policy: Policy, model: Model, parameters: Mapping[str, float]) -> Placement:
    return policy.place(model, parameters)


def telling(say: Callable[[str], None], place: Place = ask) -> Place:
    """`place`, and that it goes on is said: the longest part of what comes before a run."""

    def asked(policy: Policy, model: Model, parameters: Mapping[str, float]) -> Placement:
        say(f"placing {len(model.core)} core services on {len(model.nodes)} nodes …")
        placement = place(policy, model, parameters)
        say("sizing the light services …")
        return placement

    return asked


def prepare(path: Path, sets: Sequence[str], world: str, place: Place = ask, held: float | None = None) -> Prepared:
    """Load, resolve, place and begin. Raises InputError for bad input and for a placement that can't fit.

    place: asks the policy for its placement; many runs of one seed ask once.
    held: a testbed to be held open until then, s, whatever the scenario's own duration; it makes no claim.
    """
    scenario = load(path, sets)
    written = None
    if held is not None:
        if held <= scenario.run.warmup:
            warmup = f"the warm-up alone takes {scenario.run.warmup:g} s"
            raise InputError(f"--for {held:g} s: {warmup}: hold the testbed open for longer, or set run.warmup")
        written = scenario.run.warmup + scenario.run.duration
        run = scenario.run.model_copy(update={"duration": held - scenario.run.warmup})
        scenario = scenario.model_copy(update={"run": run, "claims": []})
    text, digest = loader.text_and_hash(path, sets)
    seed = scenario.run.seed
    resolved = resolve(scenario, seed)
    known = told(scenario.placement, resolved.model, seed)
    resolved = replace(resolved, model=replace(resolved.model, profile=known))
    try:
        policy = policies.get(scenario.policy.name)
        parameters = {"plan_load": scenario.plan_load, **scenario.policy.parameters}
        before = time.perf_counter()
        placement = place(policy, resolved.model, parameters)
        seconds = time.perf_counter() - before
        state, initial = policy.begin(resolved.model, placement, parameters)
    except Infeasible as error:
        raise InputError(f"{path}: the placement does not fit: {error}") from None
    except ValueError as error:
        raise InputError(f"{path}: policy: {error}") from None
    prepared = Prepared(
        scenario, text, digest, seed, world, resolved, policy, parameters, placement, seconds, state, initial,
        timeline(
            [aimed(f, resolved.model, placement) for f in resolved.faults],
            resolved.topology,
            scenario.run.warmup + scenario.run.duration,
        ),
        written,
    )  # fmt: skip
    prepared.source()  # a damaged trace is found here, before anything is built
    return prepared
