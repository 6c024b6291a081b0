"""What a fault does to a whole run of the twin: kinds whose effect is in decisions, instances and times of reaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.cli import main
from testbed.record.folder import read

SCENARIO = Path(__file__).parents[1] / "live_run" / "short.yaml"


def run(out: Path, faults: str, *sets: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary, and the events."""
    every = ("bandwidth=[]", f"faults=[{faults}]", "run.duration=14 s", "claims=[]", *sets)
    words = [word for value in every for word in ("--set", value)]
    assert main(["run", str(SCENARIO), "--in", "twin", *words, "--out", str(out)]) == 0
    summary, _, events = read(out)
    assert all(f["verified"] for f in summary["faults"]), summary["faults"]
    return summary, events


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [e for e in events if e["kind"] == kind]


@pytest.mark.parametrize("policy", ["two_tier", "reactive", "static"])
def test_a_node_restarts_with_what_it_had(tmp_path: Path, policy: str) -> None:
    summary, events = run(
        tmp_path / "run",
        "{name: re, kind: node_restart, target: busiest node, at: 4 s, for: 2 s}",
        f"policy.name={policy}",
    )
    (fault,) = summary["faults"]
    node = fault["target"]
    lost = {e["id"] for e in of(events, "instance_died") if e["node"] == node}
    again = {e["id"]: e for e in of(events, "started") if e["id"].endswith(".r1")}
    assert lost and {id.removesuffix(".r1") for id in again} == lost
    assert all(e["node"] == node and e["actual_s"] > fault["reverted_at_s"] for e in again.values())
    used = [e for e in of(events, "slot") if e["actual_s"] > 9 and {i["id"] for i in e["instances"]} & set(again)]
    assert used, "what came back is seen by the policy"
    tasks = summary["tasks"]
    assert tasks["on_time"] > 0.75 * tasks["offered"]


def test_a_squeezed_node_takes_nothing_more(tmp_path: Path) -> None:
    """Every node squeezed while a service is lost: what the policy orders is refused until there is room again."""
    crash = "{name: crash, kind: service_kill, target: cut, at: 4 s, for: 1 s, with: {all: true}}"
    squeeze = "{name: full, kind: memory_squeeze, target: all nodes, at: 3 s, for: 4 s, with: {keep: 0.01}}"
    _, events = run(tmp_path / "run", f"{squeeze}, {crash}")
    refused = of(events, "action_failed")
    assert refused and all("is out of memory" in e["error"] and 4 < e["actual_s"] < 7.5 for e in refused)
    begun = [e["actual_s"] for e in of(events, "started") if e["service"] == "cut"]
    assert begun and min(begun) > 7.0, "afterwards there is room again"
    _, free = run(tmp_path / "free", crash)
    assert min(e["actual_s"] for e in of(free, "started") if e["service"] == "cut") < 6.0
    assert not of(free, "action_failed")


def test_a_slow_controller_leads_round_later(tmp_path: Path) -> None:
    cut = "{name: cut, kind: link_down, target: s1--s2, at: 4 s, for: 5 s}"
    slow = "{name: slow, kind: controller_slow, target: control, at: 3 s, for: 4 s, with: {delay: 1500 ms}}"
    took = []
    for name, faults in (("usual", cut), ("slow", f"{slow}, {cut}")):
        summary, events = run(tmp_path / name, faults)
        took.append([e["took_s"] for e in of(events, "network_link_down") + of(events, "network_link_up")])
        assert summary["recovery"]["cut"]["reroute_s"] == pytest.approx(took[-1][0], abs=0.01)
    detection = took[0][0]
    assert took[0] == pytest.approx([detection, detection])
    assert took[1] == pytest.approx([detection + 1.5, detection]), "later while it is slow, as usual afterwards"


def test_a_controller_that_is_quick_again_reacts_at_once(tmp_path: Path) -> None:
    cut = "{name: cut, kind: link_down, target: s1--s2, at: 4 s, for: 5 s}"
    slow = "{name: slow, kind: controller_slow, target: control, at: 3 s, for: 3 s, with: {delay: 30 s}}"
    _, events = run(tmp_path / "run", f"{slow}, {cut}")
    assert of(events, "network_link_down")[0]["actual_s"] == pytest.approx(6.0, abs=0.01)


def test_a_wrong_profile_changes_what_is_decided_and_nothing_that_is(tmp_path: Path) -> None:
    """The same decisions before, others while the policy is told four times the service times."""
    wrong = "{name: wrong, kind: wrong_profile, target: control, at: 3 s, for: 5 s, with: {factor: 4}}"
    summary, events = run(tmp_path / "wrong", wrong, "policy.name=two_tier")
    right, other = run(tmp_path / "right", "", "policy.name=two_tier")
    assert "the policy is told see 20 ms as 80 ms" in summary["faults"][0]["evidence"]
    assert "reverted: the policy is told the truth" in summary["faults"][0]["evidence"]
    assert summary["tasks"]["offered"] == right["tasks"]["offered"]

    def decided(found: list[dict[str, Any]], since: float, to: float) -> list[Any]:
        return [(e["actions"], e["diagnostics"]) for e in of(found, "slot") if since <= e["actual_s"] < to]

    assert decided(events, 0.0, 2.9) == decided(other, 0.0, 2.9)
    assert decided(events, 3.1, 8.0) != decided(other, 3.1, 8.0)


def test_safety_counts_every_target_of_a_fault(tmp_path: Path) -> None:
    """Half of four nodes may be held: two are, three are not."""
    for count, withheld in ((2, 0), (3, 1)):
        pause = f"{{name: still, kind: node_pause, target: {count} of nodes, at: 3 s, for: 1 s}}"
        summary, events = run(tmp_path / str(count), pause, "safety.nodes=0.5")
        assert len(of(events, "fault_withheld")) == withheld
        assert len({f["target"] for f in summary["faults"]}) == (0 if withheld else count)


def test_the_core_survives_by_diversity_and_a_node_that_returns_is_used_again(tmp_path: Path) -> None:
    """The node with most core work dies: core instances elsewhere carry on; when it is back, it is used."""
    crash = "{name: crash, kind: node_crash, target: busiest node, at: 4 s, for: 3 s}"
    heavy = ("arrivals.rate=40 /s", "policy.parameters.move_horizon=40")
    summary, events = run(tmp_path / "run", crash, *heavy)
    node = summary["faults"][0]["target"]
    core = summary["placement"]["instances"]["see"]
    assert len(set(core)) > 1 and node in core, "placed on several nodes"
    during = [e for e in of(events, "slot") if 5.0 < e["actual_s"] < 7.0]
    assert during and all(any(i["service"] == "see" for i in e["instances"]) for e in during)
    assert not [i for e in during for i in e["instances"] if i["node"] == node]
    assert summary["recovery"]["crash"]["first_on_time_s"] < 1.5
    back = [e for e in of(events, "started") if e["node"] == node and e["actual_s"] > 7.0]
    assert back, "a decision put something there again"
