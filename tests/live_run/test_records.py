"""What a run leaves: every file and key of the contract, true to each other and to what happened."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.cli import main
from tests.live_run.conftest import Recorded
from tests.live_run.kit import SCENARIO

pytestmark = pytest.mark.live
WARMUP, END, SLOT = 1.0, 8.0, 0.5  # of short.yaml, s

#: summary.json, schema_version 1. object: a value that may be null; [{…}]: a list of such objects.
SCHEMA: dict[str, Any] = {
    "schema_version": int, "scenario": {"name": str, "sha256": str}, "seed": int, "world": str, "policy": str,
    "dilation": float, "shrink": float, "duration_s": float,
    "tasks": dict.fromkeys(("offered", "completed", "on_time", "late", "lost"), int),
    "lost_by": dict.fromkeys(("expired", "refused", "unanswered"), int),
    "on_time_rate": float, "on_time_rate_by_type": {"scene": float},
    "on_time_rate_after_fault": dict.fromkeys(("crowd", "cut_trunk", "narrow"), float),
    "latency_s": {"scene": dict.fromkeys(("p50", "p95", "p99"), float)},
    "cost": dict.fromkeys(("deployment", "operation_per_slot", "migration_per_slot", "total_per_slot"), float),
    "placement": {"status": str, "objective": float, "bound": float, "gap": float, "seconds": float,
                  "instances": {"see": list}},
    "migrations": {"count": int, "tasks_lost": int, "blackout_s_max": float, "seconds_p50": object},
    "scalings": {"out": int, "in": int},
    "waiting": {m: {"epsilon": float, "violation_rate": float, "n": int} for m in ("cut", "hear")},
    "faults": [{"kind": str, "target": str, "planned_at_s": float, "applied_at_s": float, "reverted_at_s": float,
                "verified": bool}],
    "utilisation": {"nodes": dict.fromkeys(("n1", "n2", "n3", "n4"), float),
                    "links": dict.fromkeys(("s1--s2", "s2--s3", "s1--s3", "n1--s1", "n4--s2"), float),
                    "gateways": dict.fromkeys(("gw1--s1", "gw2--s2"), float)},
    "controller": {"slots": int, "decide_s_p50": float, "decide_s_p99": float},
    "generator_lag_s_p99": float, "valid": bool, "invalid_because": list, "link_backend": str, "datapath": str,
    "links": [{"name": str, "configured_bps": float, "measured_bps": object, "configured_delay_s": float,
               "measured_delay_s": object}],
    "claims": [{"id": str, "verdict": str, "estimate": float, "lower": object, "upper": object, "runs": int}],
    "verdict": str,
}  # fmt: skip


def missing(found: Any, schema: Any, path: str = "summary") -> list[str]:
    """Where `found` is not as `schema` says."""
    if isinstance(schema, dict):
        if not isinstance(found, dict):
            return [f"{path} is {found!r}"]
        gone = [f"{path}.{key} is missing" for key in schema if key not in found]
        return gone + [m for key in schema if key in found for m in missing(found[key], schema[key], f"{path}.{key}")]
    if isinstance(schema, list):
        listed = found if isinstance(found, list) and found else [found]
        return [m for i, item in enumerate(listed) for m in missing(item, schema[0], f"{path}.{i}")]
    number = schema is float and isinstance(found, int) and not isinstance(found, bool)
    return [] if number or isinstance(found, schema) else [f"{path} is {found!r}, no {schema.__name__}"]


def test_every_file_is_there_and_the_marker_came_last(recorded: Recorded) -> None:
    files = {f.name: f.stat() for f in recorded.folder.iterdir()}
    assert set(files) == {
        "summary.json", "metadata.json", "events.jsonl", "observations.jsonl", "tasks.sqlite", "report.html",
        "complete",
    }  # fmt: skip
    assert all(s.st_mtime_ns <= files["complete"].st_mtime_ns and s.st_size > 0 for s in files.values())
    assert (recorded.folder.parent / "latest").resolve() == recorded.folder.resolve()


def test_the_summary_has_every_key(recorded: Recorded) -> None:
    assert missing(recorded.summary, SCHEMA) == []
    assert recorded.summary["world"] == "live"
    assert (recorded.summary["dilation"], recorded.summary["shrink"], recorded.summary["duration_s"]) == (1, 50, 7)


def test_the_metadata_says_where_it_comes_from(recorded: Recorded) -> None:
    m = recorded.metadata
    assert m["scenario_text"] == SCENARIO.read_text()
    assert (m["sha256"], m["seed"]) == (recorded.summary["scenario"]["sha256"], 1)
    assert m["capabilities"]["root"] and m["capabilities"]["kernel"].startswith("Linux")
    assert set(m["backends"]) == {k["name"] for k in recorded.summary["links"]}
    assert {"shaketable", "python", "platform"} <= set(m["versions"])


def test_the_run_is_valid_and_passes(recorded: Recorded) -> None:
    s = recorded.summary
    assert s["invalid_because"] == [] and s["valid"]
    assert s["generator_lag_s_p99"] <= 0.020
    assert [(c["id"], c["verdict"]) for c in s["claims"]] == [("on_time", "pass"), ("often", "pending")]
    assert (s["verdict"], recorded.done.returncode) == ("pass", 0)


def test_with_json_the_summary_alone_is_on_stdout(recorded: Recorded) -> None:
    assert json.loads(recorded.done.stdout) == recorded.summary
    assert "verdict     PASS" in recorded.done.stderr and "slot   5" in recorded.done.stderr


def test_offered_is_on_time_and_late_and_lost_and_what_the_rows_say(recorded: Recorded) -> None:
    t, by = recorded.summary["tasks"], recorded.summary["lost_by"]
    assert t["offered"] == t["on_time"] + t["late"] + t["lost"] > 60
    assert t["lost"] == sum(by.values()) and t["completed"] == t["on_time"] + t["late"]
    inside = [row for row in recorded.tasks if WARMUP <= row[3] < END]
    outcomes = Counter(row[5] for row in inside)
    assert len(inside) == t["offered"]
    assert {o: outcomes[o] for o in ("on_time", "late", *by)} == {"on_time": t["on_time"], "late": t["late"], **by}
    assert recorded.summary["on_time_rate"] == pytest.approx(t["on_time"] / t["offered"])


def test_a_task_is_one_row_and_on_time_means_by_its_deadline(recorded: Recorded) -> None:
    ids = [row[0] for row in recorded.tasks]
    assert len(set(ids)) == len(ids)
    for _, ingress, kind, at, deadline, outcome, latency, attempts, lag in recorded.tasks:
        assert ingress in ("gw1", "gw2") and kind == "scene" and 0 <= at < END
        assert (latency is not None) == (outcome in ("on_time", "late"))
        assert latency is None or (latency <= deadline) == (outcome == "on_time")
        assert attempts >= 1 and lag < 0.2


def test_every_answered_task_went_through_every_stage_and_the_join_ran_once(recorded: Recorded) -> None:
    done: dict[int, Counter[tuple[str, int]]] = defaultdict(Counter)
    for task, stage, *_, attempt, _arrived, _started, _finished, outcome in recorded.stages:
        if outcome == "done":
            done[task][stage, attempt] += 1
    for row in recorded.tasks:
        if row[5] == "on_time":
            assert {stage for stage, _ in done[row[0]]} == {"cut", "hear", "see"}
            assert max(done[row[0]].values()) == 1, "a stage ran twice in one attempt"


def test_a_join_begins_after_both_its_inputs(recorded: Recorded) -> None:
    last = {(r[0], r[1], r[5]): r for r in recorded.stages if r[9] == "done"}
    joins = [r for r in last.values() if r[1] == "see"]
    assert joins
    for row in joins:
        for stage in ("cut", "hear"):
            before = last.get((row[0], stage, row[5]))
            if before is not None:
                assert before[8] <= row[6] + 1e-3, "one clock, in ms"


def test_every_stage_ran_on_the_node_where_its_instance_was(recorded: Recorded) -> None:
    where = {i["id"]: i["node"] for e in recorded.events if e["kind"] == "slot" for i in e["instances"]}
    assert recorded.stages
    assert {(r[3], r[4]) for r in recorded.stages} <= set(where.items())
    for node in recorded.summary["placement"]["instances"]["see"]:
        assert any(r[2] == "see" and r[4] == node and r[9] == "done" for r in recorded.stages)


def test_every_event_has_its_planned_and_its_actual_time(recorded: Recorded) -> None:
    assert all({"kind", "planned_s", "actual_s"} <= set(e) for e in recorded.events)
    since = recorded.events[[e["kind"] for e in recorded.events].index("origin") :]
    assert all(e["actual_s"] is not None for e in since)
    slots = [e for e in recorded.events if e["kind"] == "slot" and e["planned_s"] is not None]
    assert [e["planned_s"] for e in slots] == [pytest.approx(SLOT * k) for k in range(1, 17)]
    assert all(0 <= e["actual_s"] - e["planned_s"] < SLOT for e in slots)
    assert recorded.summary["controller"]["slots"] == len(slots)
    assert all(a["actual_s"] <= b["actual_s"] for a, b in pairwise(slots))


def test_faults_are_verified_with_evidence_and_came_when_planned(recorded: Recorded) -> None:
    planned = {"crowd": (2.0, 4.0), "cut_trunk": (4.0, 5.5), "narrow": (6.0, 7.0)}
    assert {f["name"] for f in recorded.summary["faults"]} == set(planned)
    for f in recorded.summary["faults"]:
        start, end = planned[f["name"]]
        assert f["verified"] and f["evidence"]
        assert start <= f["applied_at_s"] < start + 0.3 and end <= f["reverted_at_s"] < end + 0.3
    evidence = {f["name"]: f["evidence"] for f in recorded.summary["faults"]}
    assert "has no carrier" in evidence["cut_trunk"]
    kinds = [(e["kind"], e["fault"]) for e in recorded.events if e["kind"].startswith("fault_")]
    assert sorted(kinds) == sorted((f"fault_{k}", f) for k in ("applied", "reverted") for f in planned)


def test_the_network_went_round_the_cut_trunk(recorded: Recorded) -> None:
    """After the modelled half second of detection; and back."""
    down = [(e["actual_s"], e["down"]) for e in recorded.events if e["kind"] == "network_paths"]
    assert [d for _, d in down] == [["s1--s2"], []]
    assert 4.4 < down[0][0] < 5.0
    rows = [r for r in recorded.tasks if r[5] == "on_time" and 4.7 < r[3] < 5.5]
    assert rows, "tasks came back while the trunk was cut"


def test_the_crowd_was_at_its_gateway(recorded: Recorded) -> None:
    """Twice 8/s for two seconds, the other gateway as before: 32 and 16 are expected; five standard deviations."""
    count = Counter(r[1] for r in recorded.tasks if 2.0 <= r[3] < 4.0)
    assert abs(count["gw1"] - 32) < 29 and abs(count["gw2"] - 16) < 20


def test_bandwidth_moved_between_its_levels(recorded: Recorded) -> None:
    """And is nought while the trunk is cut."""
    slots = [e for e in recorded.events if e["kind"] == "slot"]
    assert {e["link_rates_bps"]["s2--s3"] for e in slots} == {500e6, 300e6}
    cut = {e["actual_s"] for e in slots if e["link_rates_bps"]["s1--s2"] == 0}
    assert cut and all(4.4 < t < 6.5 for t in cut)


def test_links_are_what_was_asked_for(recorded: Recorded) -> None:
    """Values on the wire: a fiftieth of the scenario's. Only the crossing's trunks have no host to measure from."""
    links = {k["name"]: k for k in recorded.summary["links"]}
    assert {n for n, k in links.items() if k["measured_bps"] is None} == {"s2--s3", "s1--s3"}
    assert links["s1--s2"]["configured_bps"] == 10e6 and links["n1--s1"]["configured_bps"] == 20e6
    for name, k in links.items():
        if k["measured_bps"] is not None:
            assert k["measured_bps"] == pytest.approx(k["configured_bps"], rel=0.10), name
            assert k["configured_delay_s"] <= k["measured_delay_s"] < k["configured_delay_s"] + 0.010, name


def test_the_cost_is_that_of_the_slots(recorded: Recorded) -> None:
    """By hand from events.jsonl and the scenario's own numbers."""
    scenario = yaml.safe_load(SCENARIO.read_text())
    kinds, topology = scenario["nodes"], yaml.safe_load(SCENARIO.with_name("triangle.yaml").read_text())
    price = {v: kinds[fields["kind"]]["price"] for v, fields in topology["nodes"].items()}
    costs = {m: s["costs"] for m, s in scenario["services"].items()}
    window = [e for e in recorded.events if e["kind"] == "slot" and WARMUP <= e["actual_s"] < END]
    regular = [e for e in window if e["planned_s"] is not None]
    operation = sum(
        price[i["node"]] * (costs[i["service"]]["keep"] + costs[i["service"]].get("parallel", 0) * i["workers"])
        for e in regular
        for i in e["instances"]
    )
    starts = [a.get("start", a)["service"] for e in window for a in e["actions"] if a["do"] in ("start", "migrate")]
    migration = sum(costs[m]["deploy"] for m in starts)
    cost = recorded.summary["cost"]
    assert cost["operation_per_slot"] == pytest.approx(operation / len(regular))
    assert cost["migration_per_slot"] == pytest.approx(migration / len(regular))
    assert cost["total_per_slot"] == pytest.approx((operation + migration) / len(regular))
    first = next(e for e in recorded.events if e["kind"] == "slot")["instances"]
    assert cost["deployment"] == sum(costs[i["service"]]["deploy"] for i in first)


def test_the_page_is_made_again_from_the_records_alone(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "again.html"
    assert main(["report", str(recorded.folder), "--out", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_bytes() == (recorded.folder / "report.html").read_bytes()
    text = page.read_text()
    assert "<svg" in text and "cut_trunk" in text and "Does a short run leave true" in text
    assert "http" not in text.replace("http-equiv", ""), "self-contained: nothing is fetched"


def test_a_second_run_into_the_same_folder_is_refused(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    before = {f.name: f.read_bytes() for f in recorded.folder.iterdir()}
    assert main(["run", str(SCENARIO), "--out", str(recorded.folder)]) == 2
    assert "nothing was overwritten" in capsys.readouterr().err
    assert {f.name: f.read_bytes() for f in recorded.folder.iterdir()} == before


def test_its_observations_give_the_same_decisions_again(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    """A live run replayed through its policy."""
    assert main(["replay", str(recorded.folder)]) == 0
    count = sum(e["kind"] == "slot" for e in recorded.events)
    assert f"{count} decisions, every one as recorded" in capsys.readouterr().out and count >= 16
