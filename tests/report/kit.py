"""Records of a run with known content, made by hand."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from testbed.record.folder import _STAGES, _TASKS

VOID = {"meta", "br", "link", "img"}


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order; scripts and addresses are collected."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.seen: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.fetched += [f"{k}={v}" for k, v in attrs if k in ("src", "href", "xlink:href") or k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def parsed(text: str) -> Balanced:
    found = Balanced()
    found.feed(text)
    found.close()
    return found


def summary(**more: Any) -> dict[str, Any]:
    return {
        "schema_version": 1, "scenario": {"name": "known", "sha256": "a" * 64}, "seed": 3, "world": "twin",
        "policy": "two_tier", "dilation": 1.0, "shrink": 1.0, "duration_s": 10.0,
        "tasks": {"offered": 100, "completed": 90, "on_time": 80, "late": 10, "lost": 10},
        "lost_by": {"expired": 10, "refused": 0, "unanswered": 0}, "on_time_rate": 0.8,
        "on_time_rate_by_type": {"ask": 0.8}, "on_time_rate_after_fault": {"cut": 0.5},
        "latency_s": {"ask": {"p50": 0.2, "p95": 0.2, "p99": 0.2}},
        "cost": {"deployment": 9.0, "operation_per_slot": 3.0, "migration_per_slot": 1.0, "total_per_slot": 4.0},
        "placement": {"status": "optimal", "gap": 0.0, "instances": {"llm": ["n1"]}},
        "migrations": {"count": 1, "tasks_lost": 0}, "scalings": {"out": 0, "in": 0},
        "waiting": {"prep": {"epsilon": 0.1, "violation_rate": 0.04, "n": 100}},
        "faults": [{"name": "cut", "kind": "link_down", "target": "s1--s2", "planned_at_s": 4.0, "applied_at_s": 4.0,
                    "reverted_at_s": 6.0, "verified": True, "evidence": "both directions down"}],
        "utilisation": {"nodes": {"n1": 0.5, "n2": 0.25}, "links": {"s1--s2": 0.1}, "gateways": {"gw--s1": 0.2}},
        "controller": {"slots": 10, "decide_s_p50": 0.001, "decide_s_p99": 0.002}, "generator_lag_s_p99": 0.0,
        "link_backend": "twin", "datapath": None, "links": [], "overload": {}, "valid": True, "invalid_because": [],
        "claims": [{"id": "on_time", "verdict": "pass", "estimate": 0.8, "runs": 1}], "verdict": "pass",
    } | more  # fmt: skip


GROUND = {
    "sites": [{"name": s, "longitude": None, "latitude": None} for s in ("s1", "s2")],
    "nodes": [{"name": n, "site": s, "cpu": 4.0, "price": 1.0} for n, s in (("n1", "s1"), ("n2", "s2"))],
    "gateways": [{"name": "gw", "site": "s1"}],
    "links": [
        {"name": f"{a}--{b}", "a": a, "b": b, "role": role, "rate_bps": 1e8}
        for a, b, role in (("s1", "s2", "trunk"), ("n1", "s1", "node"), ("n2", "s2", "node"), ("gw", "s1", "gateway"))
    ],
    "services": {"prep": {"cpu": 1.0, "costs": [4.0, 1.0, 0.5]}, "llm": {"cpu": 2.0, "costs": [20.0, 4.0, 0.0]}},
    "tasks": {
        "ask": {
            "deadline_s": 0.3,
            "stages": {"prep": {"service": "prep", "after": ["ingress"]}, "llm": {"service": "llm", "after": ["prep"]}},
        }
    },
}


def records(folder: Path, tasks: int = 100, **more: Any) -> Path:
    """`tasks` tasks over 10 s; of ten, eight on time, one late, one lost. Each that came back took 200 ms:
    60 to its first stage, 10 waiting, 30 served, 20 of network, 0 waiting, 50 served, 30 back."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = more.pop("ground", GROUND)
    text = more.pop("scenario_text", "# Does it?\nname: known\n")
    reason = more.pop("reason", "the crowd went east")
    instances = [{"id": "llm-0", "service": "llm", "node": "n1", "workers": 2, "draining": False},
                 {"id": "prep-1", "service": "prep", "node": "n1", "workers": 1, "draining": False}]  # fmt: skip
    moved = [instances[0], {**instances[1], "id": "prep-2", "node": "n2"}]
    start = {"do": "start", "id": "prep-2", "service": "prep", "node": "n2", "workers": 1}
    events: list[dict[str, Any]] = [{"kind": "origin", "planned_s": 0.0, "actual_s": 0.0}]
    for k in range(1, 11):
        act = [{"do": "migrate", "start": start, "drain": "prep-1"}] if k == 5 else []
        events.append({
            "kind": "slot", "planned_s": float(k), "actual_s": float(k), "slot": k,
            "instances": instances if k < 6 else moved, "actions": act, "reasons": [reason] if act else [],
            "arrivals": {}, "diagnostics": {}, "link_rates_bps": {"s1--s2": 0.0 if k in (5, 6) else 1e8},
        })  # fmt: skip
    events.append({"kind": "migrated", "planned_s": 5.0, "actual_s": 5.5, "service": "prep", "from": "n1", "to": "n2",
                   "start": "prep-2", "drain": "prep-1", "seconds": 0.5, "lost": 0})  # fmt: skip
    metadata = {
        "run_id": "r", "scenario_text": text, "sha256": "a" * 64, "seed": 3,
        "argv": ["run", "known.yaml", "--in", "twin", "--out", str(folder)], "versions": {"shaketable": "0"},
        "parameters": {"plan_load": 2.5}, "arrivals": {"law": "poisson"}, "bandwidth": [], "ground": ground,
        "link_use": {"at_s": [float(k) for k in range(1, 11)], "share": {"s1--s2": [0.1] * 4 + [0.0] * 2 + [0.6] * 4}},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary(**more)))
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    (folder / "complete").write_text("1\n")
    with closing(sqlite3.connect(folder / "tasks.sqlite")) as base:
        base.execute(_TASKS)
        base.execute(_STAGES)
        base.executemany("insert into tasks values (?,?,?,?,?,?,?,?,?)", (_task(k, tasks) for k in range(tasks)))
        visits = (s for k in range(tasks) for s in _stages(k, tasks))
        base.executemany("insert into stages values (?,?,?,?,?,?,?,?,?,?)", visits)
        base.commit()
    return folder


def _task(k: int, tasks: int) -> tuple[Any, ...]:
    outcome = ("late", "expired")[k % 10 - 8] if k % 10 >= 8 else "on_time"
    return (k + 1, "gw", "ask", 10.0 * k / tasks, 0.3, outcome, None if outcome == "expired" else 0.2, 1, 0.0)


def _stages(k: int, tasks: int) -> list[tuple[Any, ...]]:
    at = 10.0 * k / tasks
    return [(k + 1, "prep", "prep", "prep-1", "n1", 1, at + 0.06, at + 0.07, at + 0.10, "done"),
            (k + 1, "llm", "llm", "llm-0", "n1", 1, at + 0.12, at + 0.12, at + 0.17, "done")]  # fmt: skip
