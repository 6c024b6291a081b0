"""The search: functions whose root is known, a trunk whose breaking point is arithmetic, a planted weak point."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from testbed.campaign.falsify import TOLERANCE, Bench, Found, Margin, margins_of_kind, mildest, minimised
from testbed.campaign.severity import Disturbance, Schedule, total
from testbed.cli import main
from testbed.cli.falsify import confirmation
from testbed.report.margins import figure, outcome
from testbed.run.prepare import load
from testbed.verdict.cells import Cell, cells_of, questions_of
from testbed.verdict.decide import gather

#: All work is behind the only trunk. A task's 1 MB crosses it at `rate`; the rest of its time is small and known.
NETWORK = """
name: only
sites: {s1: {cluster: a}, s2: {cluster: b}}
nodes: {n1: {site: s2, kind: big}}
ingresses: {gw1: {site: s1}}
links:
  defaults:
    node: {rate: 10 Gbit/s, delay: 0.1 ms}
    gateway: {rate: 10 Gbit/s, delay: 0.1 ms}
    trunk: {rate: 400 Mbit/s, delay: 1 ms}
  trunks: [{between: [s1, s2]}]
"""
SCENARIO = """
# Does one trunk carry it?
name: only_trunk
question: Does one trunk carry it?
topology: only.yaml
nodes: {big: {cpu: 64, memory: 64 GB}}
services:
  see: {tier: core, work: 5 ms, cpu: 2, memory: 4 GB, streams: 8, startup: 1 s}
  cut: {tier: light, work: 5 ms, cpu: 1, memory: 1 GB, startup: 200 ms}
tasks:
  scene:
    share: 1
    deadline: 220 ms
    output: 0.001 MB
    stages:
      cut: {inputs: {ingress: 1 MB}}
      see: {inputs: {cut: 0.001 MB}}
access: {rate: 10 Gbit/s}
arrivals: {rate: 2 /s}
policy: {name: static}
run: {warmup: 1 s, duration: 20 s, slot: 500 ms, seed: 1, early_drop: false, admission: false}
claims:
  - {id: on_time, metric: on_time_rate, at_least: 0.7, runs: 3}
  - {id: lost, metric: tasks.offered, at_least: 1, runs: 3}
"""
TRANSFER_S = 8e6 / 400e6  # of 1 MB over the whole trunk
REST_S = 0.005 + 0.005 + 2 * 0.0012 + 8e6 / 10e9 * 3  # work, delays there and back, the other links


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "only.yaml").write_text(NETWORK)
    (tmp_path / "trunk.yaml").write_text(SCENARIO)
    return tmp_path / "trunk.yaml"


def falsify(file: Path, *more: str) -> tuple[int, dict[str, Any]]:
    out = file.parent / "out"
    code = main(["falsify", str(file), "--out", str(out), "--workers", "2", "--recheck", "5", *more])
    return code, json.loads((out / "falsify.json").read_text())


@pytest.mark.parametrize(
    ("slack", "root"),
    [
        (lambda x: 0.3 - x, 0.3),
        (lambda x: 0.5 - math.sqrt(x), 0.25),
        (lambda x: 0.1 if x < 0.71 else -0.4, 0.71),
        (lambda x: 0.0 if x < 0.6 else -1e-3, 0.6),
    ],
)
def test_the_mildest_breaking_severity_is_near_the_root_and_breaks(
    slack: Callable[[float], float], root: float
) -> None:
    tried: list[float] = []

    def counted(x: float) -> float:
        tried.append(x)
        return slack(x)

    found = mildest(counted, 1.0)
    assert slack(found) < 0 and root <= found <= root + TOLERANCE
    assert len(tried) == len(set(tried)) <= 12


def test_a_schedule_is_minimised() -> None:
    """Broken by a + b > 1.2; c does nothing."""
    a, b, c = (Disturbance("load_spike", t) for t in "abc")

    def slack(schedule: Schedule) -> float:
        weight = sum(d.severity for d in schedule if d.target in "ab")
        return 1.2 - weight

    found = minimised(slack, (a, b, c))
    assert {d.target for d in found} == {"a", "b"} and slack(found) < 0
    assert 1.2 < total(found) <= 1.2 + 2 * TOLERANCE


@pytest.mark.parametrize("kind", ["load", "bandwidth_drop", "link_down", "node_crash", "load_spike"])
@pytest.mark.parametrize("severity", [0.05, 1.0])
def test_every_severity_is_a_valid_scenario(file: Path, kind: str, severity: float) -> None:
    from testbed.campaign.severity import sets_of

    target = {"load": "", "node_crash": "n1", "load_spike": "gw1"}.get(kind, "s1--s2")
    scenario = load(file, ())
    shaken = load(file, sets_of((Disturbance(kind, target, severity),), scenario, 4.0))
    assert shaken.load == pytest.approx(1 + 3 * severity) if kind == "load" else shaken.faults[0].kind == kind


def test_the_trunk_breaks_where_arithmetic_says(file: Path, capsys: Any) -> None:
    code, found = falsify(file, "--kinds", "bandwidth_drop")
    assert code == 1 and found["judged"]["verdict"] == "fail" and found["judged"]["runs"] == 5
    keep = TRANSFER_S / (0.220 - REST_S)  # of the bandwidth, at which the transfer just takes what the deadline leaves
    severity = (1 - keep) / 0.98
    assert found["severity"] == pytest.approx(severity, abs=2 * TOLERANCE)
    assert "counterexample" in capsys.readouterr().out
    counter = file.parent / "out" / "counterexample.yaml"
    assert main(["verify", str(counter), "--in", "twin", "--out", str(file.parent / "again")]) == 1
    again = json.loads((file.parent / "again" / "verdicts.json").read_text())["claims"][0]
    assert again["estimate"] == pytest.approx(found["judged"]["estimate"]), "the very runs that judged it"


def test_a_single_point_of_failure_is_found(file: Path, capsys: Any) -> None:
    """A crashed node comes back empty and `static` starts nothing again: any crash breaks it, however short."""
    code, found = falsify(file, "--kinds", "node_crash", "--json")
    told = capsys.readouterr()
    assert json.loads(told.out) == {**found, "folder": str(file.parent / "out")}
    assert found["counterexample"] == "counterexample.yaml" and "on_time breaks under n1 crashed for" in told.err
    assert code == 1 and "n1 crashed for" in found["schedule"][0]
    assert 0 < found["severity"] <= TOLERANCE


def test_a_claim_that_holds_has_a_margin(file: Path, capsys: Any) -> None:
    code, found = falsify(file, "--kinds", "load", "--claim", "lost", "--load-up-to", "3")
    assert code == 0 and found["schedule"] is None
    assert found["margins"] == [
        {"kind": "load", "target": "", "holds_at": 1.0, "breaks_at": None, "words": "3.00 × load"}
    ]
    assert found["by_kind"] == {"load": {"target": "", "holds_at": 1.0, "breaks_at": None, "amount": "3 ×"}}
    assert "holds up to 3.00 × load" in capsys.readouterr().out


def test_a_budget_that_is_spent_is_no_verdict(file: Path) -> None:
    code, found = falsify(file, "--budget", "3")
    assert code == 3 and found["budget_spent"] and found["runs"] <= 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--claim", "lots"), "has no such claim. Did you mean 'lost'?"),
        (("--kinds", "lode"), "Did you mean 'load'?"),
        (("--load-up-to", "0.5"), "a factor on the load above 1"),
    ],
)
def test_bad_input(file: Path, more: tuple[str, ...], said: str, capsys: Any) -> None:
    assert main(["falsify", str(file), "--out", str(file.parent / "out"), *more]) == 2
    assert said in capsys.readouterr().err and not (file.parent / "out").exists()


def test_margins_draw_every_claim_and_policy(file: Path, capsys: Any) -> None:
    """By kind the target that breaks first; the same search, called again, is not made again."""
    words = [
        "margins",
        str(file),
        "--policies",
        "static,nothing",
        "--kinds",
        "bandwidth_drop,load",
        "--load-up-to",
        "2",
    ]
    words += ["--seeds", "2", "--recheck", "3", "--workers", "1", "--out", str(file.parent / "margins")]
    assert main(words) == 0
    out = file.parent / "margins"
    found = json.loads((out / "margins.json").read_text())
    static, nothing = found["rows"]
    assert (static["policy"], nothing["policy"]) == ("static", "nothing")
    keep = TRANSFER_S / (0.220 - REST_S)
    narrowed = static["by_kind"]["bandwidth_drop"]
    assert narrowed["target"] == "s1--s2" and static["outcome"] == "counterexample"
    assert narrowed["holds_at"] <= (1 - keep) / 0.98 + TOLERANCE / 2 <= narrowed["breaks_at"] + TOLERANCE
    assert static["by_kind"]["load"]["amount"] == "2 ×" and static["by_kind"]["load"]["breaks_at"] is None
    drawn = ElementTree.fromstring((out / "margins.svg").read_text())
    said = "".join(drawn.itertext())
    assert narrowed["amount"] in said and "≥ 2 ×" in said
    page = (out / "index.html").read_text()
    assert "trunk/static/counterexample.yaml" in page and "<script" not in page
    assert (out / "margins.md").read_text().count("\n") == 4
    times = {f: f.stat().st_mtime_ns for f in out.rglob("falsify.json")}
    assert len(times) == 2 and main(words) == 0
    assert {f: f.stat().st_mtime_ns for f in out.rglob("falsify.json")} == times
    capsys.readouterr()
    assert main([*words, "--json"]) == 0 and json.loads(capsys.readouterr().out) == found
    assert main([*words, "--policies", "static,static"]) == 2
    assert "their searches would mix" in capsys.readouterr().err


def test_margins_of_every_claim_of_a_file(file: Path, capsys: Any) -> None:
    words = ["margins", str(file), "--all-claims", "--kinds", "load", "--load-up-to", "1.5", "--seeds", "1"]
    words += ["--recheck", "3", "--workers", "1", "--out", str(file.parent / "margins")]
    assert main(words) == 0
    found = json.loads((file.parent / "margins" / "margins.json").read_text())
    assert [(r["claim"], r["folder"]) for r in found["rows"]] == [
        ("on_time", "trunk/on_time/static"), ("lost", "trunk/lost/static"),
    ]  # fmt: skip
    drawn = "".join(ElementTree.parse(file.parent / "margins" / "margins.svg").getroot().itertext())
    assert "trunk: on_time" in drawn and "trunk: lost" in drawn
    assert "trunk/lost/static/falsify.json" in (file.parent / "margins" / "index.html").read_text()


def test_of_two_targets_the_one_that_breaks_first_is_the_margin() -> None:
    """The second is searched only below the first one's root; both were run at what is said of them."""
    roots = {"a": 0.8, "b": 0.3, "c": 2.0, "d": 0.82}
    bench = Imagined(lambda d: roots[d.target] - d.severity)
    rays = [Disturbance("load_spike", t) for t in "abcd"]
    found = Found(margins={r: Margin(1.0) if bench.slack((r,)) >= 0 else Margin(0.0, 1.0) for r in rays})
    margins_of_kind(bench, rays, found)
    margins = {r.target: m for r, m in found.margins.items()}
    assert margins["c"] == Margin(1.0)
    assert margins["b"].breaks is not None and 0.3 < margins["b"].breaks <= 0.3 + TOLERANCE
    assert margins["b"].breaks - margins["b"].holds <= TOLERANCE and margins["b"].holds <= 0.3
    for other in "ad":
        assert margins[other].holds <= 0.3 < roots[other] and margins[other].breaks == 1.0
    assert len(bench.slacks) < 20


class Imagined(Bench):
    """A bench whose slack is a formula of the only disturbance."""

    def __init__(self, formula: Callable[[Disturbance], float]) -> None:
        self.formula = formula
        self.slacks = {(): 1.0}

    def slack(self, schedule: Schedule) -> float:
        if schedule:
            self.slacks[schedule] = self.formula(schedule[0])
        return self.slacks[schedule]


@pytest.mark.parametrize(
    ("summary", "breaks"),
    [
        ({"valid": True, "on_time_rate": 0.69}, True),
        ({"valid": True, "on_time_rate": 0.7}, False),
        ({"valid": False, "invalid_because": ["the machine was overloaded"], "on_time_rate": 0.1}, None),
    ],
)
def test_what_one_live_run_confirms(file: Path, summary: dict[str, Any], breaks: bool | None) -> None:
    assert confirmation(load(file, ()), {"seed": 1, **summary})["breaks"] is breaks


def test_what_the_page_says_of_searches_without_a_counterexample() -> None:
    row: dict[str, Any] = {"outcome": "unknown", "undisturbed_slack": -0.01, "budget_spent": False, "schedule": None}
    row |= {"setting": "", "claim": "average"}
    assert "at its threshold undisturbed" in outcome(row)
    assert outcome({**row, "undisturbed_slack": 0.1, "budget_spent": True}) == "the budget was spent first"
    assert "not failed on others" in outcome({**row, "undisturbed_slack": 0.1})
    by_kind = {"load": {"target": "", "holds_at": 1.0, "breaks_at": None, "amount": "4 ×"}, "link_down": None}
    rows = [{**row, "file": "f", "policy": p, "by_kind": by_kind} for p in ("two_tier", "static")]
    rows[1] = {**rows[1], "undisturbed_slack": 0.2}
    said = list(ElementTree.fromstring(figure({"rows": rows}, alone=True)).itertext())
    assert "two_tier misses it undisturbed" in said and "≥ 4 ×" in said and "not searched" in said


def test_of_several_settings_the_one_that_breaks_is_judged(file: Path) -> None:
    """A deadline of 400 ms holds to the end; the counterexample is one of the other setting alone, and says which."""
    sweep = "sweep: {path: tasks.scene.deadline, values: [400 ms, 220 ms]}"
    file.write_text(SCENARIO.replace("at_least: 0.7, runs: 3}", f"at_least: 0.7, runs: 3, {sweep}}}"))
    code, found = falsify(file, "--kinds", "bandwidth_drop")
    assert code == 1 and found["setting"] == "tasks.scene.deadline=220 ms"
    keep = TRANSFER_S / (0.220 - REST_S)
    assert found["severity"] == pytest.approx((1 - keep) / 0.98, abs=2 * TOLERANCE)
    counter = file.parent / "out" / "counterexample.yaml"
    (claim,) = load(counter, ()).claims
    assert claim.sweep is None and claim.set == {"tasks.scene.deadline": "220 ms"} and claim.runs == 5
    assert "fails at tasks.scene.deadline=220 ms under s1--s2 narrowed" in counter.read_text().splitlines()[0]
    assert main(["verify", str(counter), "--in", "twin", "--out", str(file.parent / "again")]) == 1
    again = json.loads((file.parent / "again" / "verdicts.json").read_text())["claims"][0]
    assert again["estimate"] == pytest.approx(found["judged"]["estimate"]), "the very runs that judged it"


def bench_of(file: Path, formula: Callable[[float, float], float], asked: list[int]) -> Bench:
    """The claim at 16 loads; formula: (load, bandwidth lost) → on-time rate. asked: runs per call."""
    scenario = load(file, ())
    sweep = {"path": "load", "values": list(range(1, 17))}
    claim = type(scenario.claims[0]).model_validate({**scenario.claims[0].model_dump(), "sweep": sweep})

    def run(cells: Sequence[Cell]) -> dict[Cell, Any]:
        asked.append(len(cells))
        out = {}
        for cell in cells:
            sets = dict(s.split("=", 1) for s in cell.sets)
            lost = 1.0 - json.loads(sets["faults.0"])["with"]["keep"] if "faults.0" in sets else 0.0
            out[cell] = {"valid": True, "on_time_rate": formula(float(sets["load"]), lost)}
        return out

    return Bench(scenario, claim, run, budget=1000, most=4.0, seeds=2)


def test_a_broken_setting_spares_the_others(file: Path) -> None:
    """Sixteen loads, two seeds; every one decides alone, so which one breaks is known after a few."""
    asked: list[int] = []
    bench = bench_of(file, lambda load, lost: 0.99 - 0.01 * load - lost * (load > 12) / 2, asked)
    assert bench.slack(()) == pytest.approx(0.13) and asked == [32], "undisturbed all are asked"
    ray = Disturbance("bandwidth_drop", "s1--s2")
    assert bench.slack((ray,)) == pytest.approx(0.13 - 0.49) and asked == [32, 2]
    assert bench.binding[(ray,)] == "load=16"
    root = mildest(lambda x: bench.slack((ray.at(x),) if x else ()), 1.0)
    assert 0.26 <= root * 0.98 <= 0.26 + TOLERANCE, "the root of the least question, by arithmetic"
    held = [s for s, slack in bench.slacks.items() if slack >= 0]
    assert sum(asked) == 32 * len(held) + 2 * (len(bench.slacks) - len(held))


def test_more_load_is_more_of_the_loads_that_a_claim_sweeps(file: Path) -> None:
    """At the largest of sixteen loads it breaks above 20: 16 (1 + 3 s) > 20 from s = 1/12 on."""
    bench = bench_of(file, lambda load, lost: 0.9 if load <= 20 else 0.1, [])
    ray = Disturbance("load", "")
    assert (
        bench.slack((ray.at(0.08),)) > 0 > bench.slack((ray.at(0.09),)) and bench.binding[(ray.at(0.09),)] == "load=16"
    )
    loads = {dict(s.split("=", 1) for s in cell.sets)["load"] for cell in bench.known}
    assert "19.84" in loads and "20.32" in loads


def test_where_another_setting_breaks_it_is_found_and_comes_first_from_then_on(file: Path) -> None:
    asked: list[int] = []
    bench = bench_of(file, lambda load, lost: 0.99 - 0.01 * load - lost * (load == 5), asked)
    ray = Disturbance("bandwidth_drop", "s1--s2")
    assert bench.slack(()) > 0 and bench.slack((ray,)) < 0 and bench.binding[(ray,)] == "load=5"
    assert asked == [32, 2, 4, 8, 16], "in growing groups, until it breaks"
    assert bench.slack((ray.at(0.9),)) < 0 and asked[5:] == [2]


@pytest.mark.parametrize("rule", ["each", "drop"])
def test_the_questions_of_a_claim_ask_what_it_asks(file: Path, rule: str) -> None:
    raw = load(file, ()).claims[0].model_dump()
    more = {"set": {"run.slot": "1 s"}, "sweep": {"path": "load", "values": [1, 2, 4], "rule": rule}}
    claim = type(load(file, ()).claims[0]).model_validate(raw | more | {"against": {"policy": "nothing"}})

    def lookup(cell: Cell) -> dict[str, Any]:
        return {"valid": True, "on_time_rate": zlib.crc32(repr(cell).encode()) / 2**32}

    whole, parts = gather(claim, 7, lookup), questions_of(claim)
    assert [q.label for q in whole.questions] == list(parts)
    assert {c for p in parts.values() for c in cells_of(p, 7)} == set(cells_of(claim, 7))
    assert [gather(p, 7, lookup).questions[0].values for p in parts.values()] == [q.values for q in whole.questions]


@pytest.mark.live
@pytest.mark.long
def test_a_counterexample_breaks_the_claim_in_the_live_world_too(tmp_path: Path) -> None:
    """tests/live_run/weak.yaml: `static` starts nothing again, so a crash however short is the end of a service."""
    weak = Path(__file__).parents[1] / "live_run" / "weak.yaml"
    out = tmp_path / "out"
    words = ["--kinds", "node_crash", "--seeds", "2", "--recheck", "5", "--workers", "1", "--confirm"]
    assert main(["falsify", str(weak), *words, "--out", str(out)]) == 1
    found = json.loads((out / "falsify.json").read_text())
    assert found["judged"]["verdict"] == "fail" and found["confirmed"]["breaks"] is True
    assert json.loads((out / "live" / "summary.json").read_text())["world"] == "live"
