"""summary.json (design.md §6) from what a run gathered. Nominal units; no clock is read here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.decision import Placement, Start
from testbed.record import measures
from testbed.record.folder import SCHEMA_VERSION, plain
from testbed.record.tables import Array, Pile
from testbed.run.bound import of_tasks
from testbed.run.loop import Journey, budgets_of
from testbed.run.prepare import Prepared
from testbed.run.recovery import recovery
from testbed.verdict import claims
from testbed.world.base import Track

#: Past these a run is unknown: the machine, not the scenario, would be measured. Wire (real) seconds.
LAG_P99_BOUND = 0.020
OVERRUN_SHARE = 0.05
INTERRUPTED = "interrupted before its end"
LINK_ERROR = 0.15  # share of the configured bandwidth


def build(
    prepared: Prepared, journey: Journey, placement: Placement, placement_s: float, faults: list[dict[str, Any]],
    world: Mapping[str, Any], tracks: Sequence[Track], bound: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The whole summary. world: World.measures(). tracks: the bandwidth played. bound: solve for the fluid bound."""
    run = prepared.scenario.run
    start, end = run.warmup, run.warmup + run.duration
    everything = journey.tasks.rows()
    rows = everything[(start <= everything["at"]) & (everything["at"] < end)]
    rates, latencies = measures.by_type(rows, journey.names.types)
    lag = measures.quantile(rows["lag"], 0.99)
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "scenario": {"name": prepared.scenario.name, "sha256": prepared.sha256},
        "seed": prepared.seed,
        "world": prepared.world,
        "policy": prepared.scenario.policy.name,
        "dilation": run.dilate,
        "shrink": run.shrink,
        "duration_s": run.duration,
        **measures.counts(rows),
        "on_time_rate": measures.on_time_rate(rows),
        "on_time_rate_by_type": rates,
        "fluid_bound": _fluid_bound(prepared, journey, tracks) if bound else None,
        "on_time_rate_after_fault": _after_faults(rows, faults, end),
        "recovery": recovery(everything, faults, journey.told, end),
        "latency_s": latencies,
        "cost": _cost(prepared, journey, start, end),
        "placement": _placement(placement, placement_s),
        "migrations": _migrations(journey),
        "scalings": {"out": journey.scaled["out"], "in": journey.scaled["in"]},
        "waiting": _waiting(prepared, journey, _inside(journey.stages, start, end)),
        "faults": faults,
        "utilisation": _utilisation(prepared, journey, world, start, end),
        "controller": {
            "slots": len(journey.slots),
            "decide_s_p50": measures.quantile(journey.decide_s, 0.5),
            "decide_s_p99": measures.quantile(journey.decide_s, 0.99),
        },
        "generator_lag_s_p99": lag,
        "link_backend": world.get("link_backend"),
        "datapath": world.get("datapath"),
        "links": list(world.get("links", [])),
        "overload": dict(world.get("overload", {})),
    }
    summary["invalid_because"] = _doubts(summary, journey, run.dilate)
    summary["valid"] = not summary["invalid_because"]
    summary["claims"] = [claims.judge(c, summary) for c in prepared.scenario.claims]
    summary["verdict"] = claims.overall(summary["claims"], summary["valid"])
    return dict(plain(summary))


def _fluid_bound(prepared: Prepared, journey: Journey, tracks: Sequence[Track]) -> float | None:
    """What no routing and no light sizing could exceed on these tasks and this core placement (eq. (28) to (37)).

    None where it is too dear, and for a policy that starts core services during the run: its placement is not one.
    """
    core = {m.name for m in prepared.resolved.model.core}
    if any(service in core for _, service in journey.begun):
        return None
    placed: dict[str, list[str]] = {m: [] for m in core}
    for a in prepared.initial.actions:
        if isinstance(a, Start) and a.service in core:
            placed[a.service].append(a.node)
    bound = of_tasks(prepared, journey.names, journey.draws, placed, tracks)
    return None if bound is None else bound.on_time_rate


def _after_faults(rows: Array, faults: list[dict[str, Any]], end: float) -> dict[str, float | None]:
    """Per fault: tasks intended from its application until five seconds after its end, or the window's end."""
    out: dict[str, float | None] = {}
    for f in faults:
        a, b = f["applied_at_s"], min((f["reverted_at_s"] or end) + 5.0, end)
        out[f["name"]] = measures.on_time_rate(rows[(a <= rows["at"]) & (rows["at"] < b)])
    return out


def _cost(prepared: Prepared, journey: Journey, start: float, end: float) -> dict[str, float]:
    model = prepared.resolved.model
    later = [service for t, service in journey.begun if start <= t < end]
    initial = [a.service for a in prepared.initial.actions if isinstance(a, Start)]
    window = [operation for t, operation in journey.slots if start <= t < end]
    return measures.cost(window, later, initial, {m.name: m for m in model.services()})


def _placement(p: Placement, seconds: float) -> dict[str, Any]:
    return {
        "status": p.status,
        "objective": p.objective,
        "bound": p.bound,
        "gap": p.gap,
        "seconds": seconds,
        "instances": {m: list(nodes) for m, nodes in p.instances.items()},
        "unserved": dict(p.unserved),
    }


def _migrations(journey: Journey) -> dict[str, Any]:
    moves = journey.moves
    return {
        "count": len(moves),
        "tasks_lost": sum(m["lost"] for m in moves),
        "blackout_s_max": max((m["blackout_s"] for m in moves), default=0.0),
        "seconds_p50": measures.quantile([m["seconds"] for m in moves], 0.5),
    }


def _inside(stages: Pile, start: float, end: float) -> Iterator[Array]:
    """Chunks of the visits that arrived in the measured window."""
    for chunk in stages.chunks():
        yield chunk[(start <= chunk["arrived"]) & (chunk["arrived"] < end)]


def _waiting(prepared: Prepared, journey: Journey, stages: Iterable[Array]) -> dict[str, Any]:
    light = {m.name for m in prepared.resolved.model.light}
    epsilons: dict[str, float] = {}
    for n in prepared.resolved.model.tasks:
        for s in n.stages:
            epsilons[s.service] = min(epsilons.get(s.service, 1.0), n.epsilon)
    history = [(float("-inf"), budgets_of(prepared.initial)), *journey.budgets]
    history = [(t, {m: w for m, w in b.items() if m in light and m in epsilons}) for t, b in history]
    return measures.waiting(stages, journey.names.services, history, epsilons)


def _utilisation(
    prepared: Prepared, journey: Journey, world: Mapping[str, Any], start: float, end: float
) -> dict[str, Any]:
    model = prepared.resolved.model
    # a core instance holds its whole reservation for its κ_m streams; a light worker its own cores
    cpu = {m.name: m.cpu / m.streams for m in model.core} | {m.name: m.cpu for m in model.light}
    links = dict(world.get("link_utilisation", {}))
    gateway_links = {k.name for k in prepared.resolved.topology.links if k.role == "gateway"}
    return {
        "nodes": measures.node_utilisation(
            _inside(journey.stages, start, end),
            [cpu[m] for m in journey.names.services],
            {v.name: v.cpu for v in model.nodes},
            start,
            end,
        ),
        "links": {k: v for k, v in links.items() if k not in gateway_links},
        "gateways": {k: v for k, v in links.items() if k in gateway_links},
    }


def _doubts(summary: Mapping[str, Any], journey: Journey, dilate: float) -> list[str]:
    """Why the run may not be believed; empty means valid."""
    doubts = list(dict.fromkeys(journey.invalid))
    lag = summary["generator_lag_s_p99"]
    if summary["tasks"]["offered"] == 0:
        doubts.append("no task was offered in the measured window")
    if lag is not None and lag * dilate > LAG_P99_BOUND:
        doubts.append(
            f"generator lag p99 {lag * dilate * 1e3:.1f} ms real is over {LAG_P99_BOUND * 1e3:.0f} ms: "
            "the machine is overloaded; dilate more"
        )
    if journey.overruns > OVERRUN_SHARE * max(len(journey.decide_s), 1):
        doubts.append(f"the controller needed more than half a slot {journey.overruns} times")
    for k in summary["links"]:
        measured = k.get("measured_bps")
        expected = k["configured_bps"] * (1 - k.get("configured_loss", 0.0))  # what was lost does not arrive
        if measured is not None and abs(measured / expected - 1) > LINK_ERROR:
            doubts.append(
                f"link {k['name']}: {measured / 1e6:.2f} Mbit/s measured, {k['configured_bps'] / 1e6:.2f} configured"
            )
    doubts += summary["overload"].get("doubts", [])
    doubts += [
        f"fault {f['name']} could not be verified: {f['evidence']}" for f in summary["faults"] if not f["verified"]
    ]
    if journey.interrupted:
        doubts.append(INTERRUPTED)
    return doubts
