"""`testbed check` and `testbed plan`: everything that can be said before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from controller import policies
from controller.decision import Placement, Start
from testbed.cli.progress import Progress
from testbed.errors import InputError, Problem
from testbed.load.bandwidth import tracks
from testbed.load.trace import window
from testbed.record.folder import plain
from testbed.run import bound as bounds
from testbed.run import prepare
from testbed.run.prepare import Prepared
from testbed.scenario.model import Scenario
from testbed.scenario.resolve import Resolved, resolve
from testbed.world.live.inability import cannot
from testbed.world.live.links.mahimahi import bins

#: How a trace's tokens become bytes and work (testbed/load/trace.py).
TRACE_RULE = (
    "trace: a request of c context tokens and g generated tokens multiplies the bytes and the light work of its task",
    "       by c/mean(c) and its core work by (c + 10 g)/mean(c + 10 g), each factor within [0.1, 4]",
)


def check_file(file: Path, sets: Sequence[str]) -> list[str]:
    """One line per finding of a valid file. Raises InputError with every problem of a bad one."""
    scenario = prepare.load(file, sets)
    resolved = resolve(scenario, scenario.run.seed)
    _check_parameters(file, scenario, resolved)
    _read_traces(scenario, resolved)
    t = resolved.topology
    sizes = (
        f"{len(t.nodes)} nodes, {len(t.sites)} sites, {len(scenario.services)} services, {len(scenario.tasks)} types"
    )
    return [f"{file}: fine: {sizes} of tasks", *(f"{file}: the live world can't: {why}" for why in cannot(scenario, t))]


def _check_parameters(file: Path, scenario: Scenario, resolved: Resolved) -> None:
    """A policy names its own parameters when it begins, for which any placement will do. Raises InputError."""
    if not scenario.policy.parameters:
        return
    policy = policies.get(scenario.policy.name)
    empty = Placement({m.name: () for m in resolved.model.core}, "unknown", 0.0, 0.0, 0.0, {}, {}, "")
    try:
        policy.begin(resolved.model, empty, {"plan_load": scenario.plan_load, **scenario.policy.parameters})
    except ValueError as error:
        if "parameter" in str(error):  # what else it may miss, the empty placement may be the cause of
            raise InputError(f"{file}: policy: {error}") from None


def _read_traces(scenario: Scenario, resolved: Resolved) -> None:
    """Read what a run would: a damaged line is found now. Raises InputError with the first of every file."""
    horizon, seed = scenario.run.warmup + scenario.run.duration, scenario.run.seed
    problems: list[Problem] = []
    trace = scenario.arrivals.trace
    if scenario.arrivals.law == "trace" and trace is not None:
        problems += _problems(partial(window, trace, scenario.load, resolved.true_weights, horizon, seed))
    for spec in scenario.bandwidth:
        problems += _problems(partial(tracks, [spec], resolved.topology, horizon, seed, _bins))
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def _problems(read: Callable[[], object]) -> list[Problem]:
    try:
        read()
    except InputError as error:
        return error.problems or [Problem("", 0, 0, "", str(error))]
    return []


def _bins(file: str) -> tuple[Sequence[float], Sequence[float]]:
    return bins(file, 0.1)


def plan_file(file: Path, sets: Sequence[str], progress: Progress) -> tuple[dict[str, Any], str]:
    """(facts for --json, text). Solves the placement, builds nothing."""
    p = prepare.prepare(file, sets, "plan", prepare.telling(progress.now))
    progress.now("drawing the tasks")
    played = p.tracks(_bins)  # a damaged trace of bandwidth is found now
    source = p.source()
    offered = source.until(p.horizon)
    progress.now("bounding what any routing could reach")
    bound = bounds.of_scenario(p, source, offered, played)
    facts = {
        "scenario": {"name": p.scenario.name, "sha256": p.sha256},
        "seed": p.seed,
        "placement": {
            "status": p.placement.status,
            "objective": p.placement.objective,
            "bound": p.placement.bound,
            "gap": p.placement.gap,
            "seconds": p.placement_s,
            "instances": {m: list(v) for m, v in p.placement.instances.items()},
            "unserved": dict(p.placement.unserved),
        },
        "fluid_bound": None if bound is None else bound.on_time_rate,
        "light": [{"id": a.id, "service": a.service, "node": a.node, "workers": a.workers} for a in _light(p)],
        "timeline": [
            {"fault": f.name, "kind": f.fault.kind, "target": f.fault.target, "at_s": f.start, "until_s": f.end}
            for f in p.planned
        ],
        "resources": _resources(p, len(offered)),
        "topology": _topology(p),
    }
    return dict(plain(facts)), _text(p, facts)


def _light(p: Prepared) -> list[Start]:
    core = {m.name for m in p.resolved.model.core}
    return [a for a in p.initial.actions if isinstance(a, Start) and a.service not in core]


def _resources(p: Prepared, offered: int) -> dict[str, Any]:
    t, run = p.resolved.topology, p.scenario.run
    pods = len(t.nodes) + len(t.ingresses)
    bits = 8 * sum(i.bytes * n.share for n in p.resolved.model.tasks for s in n.stages for i in s.inputs)
    bits /= sum(n.share for n in p.resolved.model.tasks)
    return {
        "containers": pods + len(t.ingresses) + len([a for a in p.initial.actions if isinstance(a, Start)]),
        "bridges": len(t.sites),
        "links": len(t.links),
        "tasks_offered": offered,
        "real_seconds": p.horizon * run.dilate,
        "wire_bps_offered": bits * offered / p.horizon / run.dilate / run.shrink,
    }


def _topology(p: Prepared) -> dict[str, Any]:
    t = p.resolved.topology
    return {
        "domains": {d: [h.name for h in t.nodes if h.domain == d] for d in t.domains()},
        "ingresses": {o.name: o.site for o in t.ingresses},
        "kinds": {h.name: h.kind for h in t.nodes},
        "trunks": [
            {"name": k.name, "rate_bps": k.ab.rate, "delay_s": k.ab.delay} for k in t.links if k.role == "trunk"
        ],
    }


def _text(p: Prepared, facts: dict[str, Any]) -> str:
    r, place = facts["resources"], facts["placement"]
    gap = f"{place['gap']:.2%}" if place["gap"] == place["gap"] else "unknown"
    lines = [f"{p.scenario.name}: {p.scenario.question}", "", "topology"]
    for domain, nodes in facts["topology"]["domains"].items():
        gates = [o for o, site in facts["topology"]["ingresses"].items() if _domain(p, site) == domain]
        lines.append(
            f"  {domain}: "
            + ", ".join(f"{v} ({facts['topology']['kinds'][v]})" for v in nodes)
            + f"; ingress {', '.join(gates) or 'none'}"
        )
    lines += [
        f"  {k['name']}: {k['rate_bps'] / 1e6:.0f} Mbit/s, {k['delay_s'] * 1e3:.1f} ms"
        for k in facts["topology"]["trunks"][:40]
    ]
    lines += [
        "",
        f"core placement ({place['status']}, objective {place['objective']:.2f}, gap {gap}, {place['seconds']:.2f} s)",
    ]
    lines += [f"  {m}: {', '.join(v)}" for m, v in place["instances"].items()]
    lines += [
        f"  {m}: {share:.1%} of the planned demand can't be served"
        for m, share in place["unserved"].items()
        if share > 1e-6
    ]
    if facts["fluid_bound"] is not None:
        lines.append(
            f"  no routing and no light sizing keeps more than {facts['fluid_bound']:.1%} of the tasks on time"
        )
    lines += ["", "light services at the start"]
    lines += [f"  {a['id']}: {a['node']} × {a['workers']}" for a in facts["light"]]
    lines += ["", "timeline (nominal s)", f"  0.0 warm-up to {p.scenario.run.warmup:.1f}, measured to {p.horizon:.1f}"]
    lines += [f"  {f.words()}  {f.name}: {f.fault.kind} on {f.fault.target}" for f in p.planned]
    lines += [
        "",
        f"resources: {r['containers']} containers, {r['bridges']} switches, {r['links']} links;"
        f" {r['tasks_offered']} tasks in {r['real_seconds']:.0f} s real time,"
        f" {r['wire_bps_offered'] / 1e6:.1f} Mbit/s of payload on the wire",
    ]
    if p.scenario.arrivals.law == "trace":
        lines += ["", *TRACE_RULE]
    return "\n".join(lines)


def _domain(p: Prepared, site: str) -> str:
    return next(s.domain for s in p.resolved.topology.sites if s.name == site)
