"""What the live page is told before anything happens: the network and its drawing, the plan, what can be shaken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from testbed.faults.base import Planned, catalogue_of_faults, load_kind
from testbed.report.sections.network_map import MOST_PARTS, layout
from testbed.run.prepare import Prepared
from testbed.run.provenance import ground
from testbed.scenario import targets


def ground_of(prepared: Prepared, run_id: str) -> dict[str, Any]:
    """Nominal units. spots: place of every site and host in a square of 300, empty where there are too many to draw."""
    own, facts = prepared.scenario, ground(prepared)
    few = len(facts["sites"]) + len(facts["links"]) <= MOST_PARTS
    return {
        "run": run_id,
        "scenario": own.name,
        "question": own.question,
        "policy": own.policy.name,
        "seed": prepared.seed,
        "world": prepared.world,
        "horizon_s": prepared.horizon,
        "slot_s": own.run.slot,
        "dilate": own.run.dilate,
        "sites": [s["name"] for s in facts["sites"]],
        "nodes": {v["name"]: v["cpu"] for v in facts["nodes"]},
        "gateways": [g["name"] for g in facts["gateways"]],
        "at": {h["name"]: h["site"] for h in (*facts["nodes"], *facts["gateways"])},
        "links": {k["name"]: [k["a"], k["b"], k["role"], k["rate_bps"]] for k in facts["links"]},
        "services": {name: m["cpu"] for name, m in facts["services"].items()},
        "spots": layout(facts) if few and facts["sites"] else {},
        "plan": [_planned(p) for p in prepared.planned],
        "claimed": next((c.at_least for c in own.claims if c.metric == "on_time_rate" and not c.set), None),
        "kinds": {kind: _kind(kind, *facts) for kind, facts in catalogue_of_faults().items()},
        "targets": _targets(prepared),
    }


def _planned(p: Planned) -> dict[str, Any]:
    return {"name": p.name, "kind": p.fault.kind, "target": p.fault.target, "begins_s": p.start, "ends_s": p.end}


def _kind(kind: str, parameters: type[BaseModel], roles: tuple[str, ...]) -> dict[str, Any]:
    """What a form for this kind of fault shows; a default as one would write it."""
    fields = [
        {"name": name, "default": None if f.is_required() else str(f.default)}
        for name, f in parameters.model_fields.items()
    ]
    about = " ".join((load_kind(kind).__doc__ or "").split("\n\n")[0].split())
    return {
        "about": about,
        "targets": roles,
        "fields": fields,
        "fields_about": " ".join((parameters.__doc__ or "").split()),
    }


def _prose(text: str) -> str:
    return " ".join(text.split())


def _targets(prepared: Prepared) -> Mapping[str, list[str]]:
    topology, services = prepared.resolved.topology, list(prepared.scenario.services)
    roles = (*targets.ROLES, targets.DIRECTION)
    return {role: targets.names(topology, role, services) for role in roles}
