"""Meaning: what types cannot say, each mistake with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.scenario.checks_tasks import find_cycle, topological
from testbed.scenario.model import Task
from tests.scenario.small import only, problems, scenario

SEE = "see: {inputs: {cut: 1 MB}}"


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        (SEE, "sea: {inputs: {cut: 1 MB}}", "tasks.photo.stages.sea", "there is no service 'sea'. Did you mean 'see'?"),
        (SEE, "z: {service: sea, inputs: {cut: 1 MB}}", "tasks.photo.stages.z.service", "Did you mean 'see'?"),
        (SEE, "see: {inputs: {cutt: 1 MB}}", "tasks.photo.stages.see.inputs.cutt", "Did you mean 'cut'?"),
        (SEE, "see: {inputs: {}}", "tasks.photo.stages.see.inputs", "at least 1 entry"),
        (SEE, "see: {inputs: {see: 1 MB}}", "tasks.photo.stages.see", "see → see"),
        (SEE, "ingress: {service: see, inputs: {cut: 1 MB}}", "tasks.photo.stages.ingress", "the task's own gateway"),
        ("share: 1", "share: 0", "tasks", "all shares are 0"),
        ("cpu: 4, memory: 4 GB}", "cpu: 4, memory: 4 kB}", "nodes.small", "can host nothing: it has 4 cores and 4 kB"),
        (
            "cpu: 4, memory: 4 GB, streams: 2",
            "cpu: 40, memory: 4 GB",
            "services.see",
            "fits on no node kind: it needs 40 cores",
        ),
        ("memory: 1 GB}", "memory: 1 GB, streams: 2}", "services.cut.streams", "belongs to the tier core"),
        ("streams: 2", "costs: {parallel: 1}", "services.see.costs.parallel", "belongs to the tier light"),
        ("streams: 2", "rate: {law: gamma, cv: 1}", "services.see.rate.cv", "belongs to the law lognormal"),
        ("  small:", "  tiny:", "nodes.n3.kind", "has no node kind 'small'"),
        ("rate: 5 /s", "rate: 5 /s, ramp_to: 2", "arrivals.ramp_to", "belongs to the law ramp"),
        ("rate: 5 /s", "law: trace", "arrivals", "needs the key 'trace'"),
        ("rate: 5 /s", "weights: {gw9: 1}", "arrivals.weights.gw9", "there is no ingress 'gw9'"),
        ("rate: 5 /s", "weights: {gw1: 0}", "arrivals.weights", "all weights are 0"),
        ("rate: 5 /s", "weights: {gw1: 1}, dirichlet: 2", "arrivals.dirichlet", "keep one"),
        ("rate: 5 /s", "law: spike, spike_at: 45 s, spike_for: 9 s", "arrivals.spike_at", "after the run"),
        ("faults:", "bandwidth: [{links: s1--s4}]\nfaults:", "bandwidth.0.links", "Did you mean 's1--s3'?"),
        ("faults:", "bandwidth: [{law: trace}]\nfaults:", "bandwidth.0", "needs the key 'file'"),
        ("faults:", "bandwidth: [{levels: [1]}]\nfaults:", "bandwidth.0.levels", "belongs to the law markov"),
        (
            "kind: link_down",
            "kind: link_dwon",
            "faults.0.kind",
            "there is no fault 'link_dwon'. Did you mean 'link_down'?",
        ),
        ("target: s1--s2", "target: s1--s4", "faults.0.target", "there is no link 's1--s4'"),
        ("target: s1--s2", "target: gw1", "faults.0.target", "'gw1' is an ingress, no target"),
        ("target: s1--s2", "target: any node", "faults.0.target", "no target of this kind"),
        (
            "kind: link_down, target: s1--s2",
            "kind: load_spike, target: gw1, with: {factor: 99}",
            "faults.0.with.factor",
            "at most 20",
        ),
        (
            "kind: link_down, target: s1--s2",
            "kind: load_spike, target: gw1, with: {factr: 9}",
            "faults.0.with.factr",
            "'factor'",
        ),
        ("at: 10 s", "at: 46 s", "faults.0.at", "it ends at 51 s, the run at 50 s"),
        ("for: 5 s", "for: 0 s", "faults.0.for", "more than 0"),
        ("at_least: 0.5", "runs: 1", "claims.0", "neither of at_least and at_most"),
        ("at_least: 0.5", "at_least: 0.5, at_most: 1", "claims.0", "both of at_least and at_most"),
        (
            "metric: on_time_rate",
            "metric: latency_s.foto.p95",
            "claims.0.metric",
            "there is no task 'foto'. Did you mean 'photo'?",
        ),
        ("metric: on_time_rate", "metric: latency.p95", "claims.0.metric", "there is no measure"),
        ("access:", "policy: {name: two_teir}\naccess:", "policy.name", "there is no policy 'two_teir'"),
        ("topology: metro9", "topology: {generator: mtro}", "topology.generator", "Did you mean 'metro'?"),
        ("topology: metro9", "topology: {generator: metro}", "topology", "the key 'clusters' is missing"),
        (
            "topology: metro9",
            "topology: {generator: line, sites: 3, nodes: [hug]}",
            "topology.nodes.0",
            "no node kind 'hug'",
        ),
    ],
)
def test_one_mistake_is_named(tmp_path: Path, old: str, new: str, path: str, says: str) -> None:
    found = [p for p in problems(tmp_path, (old, new)) if p.path == path]
    assert says in only(found).message


def test_a_deadline_below_the_bare_path_says_both_numbers(tmp_path: Path) -> None:
    """1 MB at 100 Mbit/s is 80 ms; (10 + 40) ms of work at speed 2 is 25 ms."""
    message = only(problems(tmp_path, ("500 ms", "104 ms"))).message
    assert "104 ms is shorter than the bare path, 105 ms: 80 ms on the access channel" in message
    assert "25 ms of work at speed 2" in message
    assert scenario(tmp_path, ("500 ms", "105 ms")).tasks["photo"].deadline == pytest.approx(0.105)


def test_the_bare_path_follows_the_longest_branch(tmp_path: Path) -> None:
    """Two branches of 10 and 40 ms into a join of 10 ms: 50 ms of work, not 60; both inputs cross the channel."""
    dag = "a: {service: cut, inputs: {ingress: 1 MB}}\n      b: {service: see, inputs: {ingress: 1 MB}}\n      "
    join = "c: {service: cut, inputs: {a: 1 B, b: 1 B}}"
    changes = (("cut: {inputs: {ingress: 1 MB}}\n      " + SEE, dag + join), ("500 ms", "1 ms"))
    assert "185 ms: 160 ms on the access" in only(problems(tmp_path, *changes)).message


@pytest.mark.parametrize(
    ("sets", "path", "says"),
    [
        (["run.duration=1e300 s"], "run.duration", "24 h is the most"),
        (["run.warmup=25 h"], "run.warmup", "is 25 h; 24 h is the most"),
        (["run.slot=1 us"], "run.slot", "is too short for a run of 50 s: at least 5 us"),
        (["run.view_interval=1 us"], "run.view_interval", "is too short for a run of 50 s: at least 5 us"),
        (["load=1e308"], "load", "a run has 10,000,000 at most"),
        (["arrivals.rate=1e6 /s"], "arrivals.rate", "up to 5e+07 tasks; a run has 10,000,000 at most"),
        (["arrivals.law=ramp", "arrivals.ramp_to=1e5"], "arrivals.rate", "at the law's peak"),
    ],
)
def test_a_run_that_would_not_end_or_find_no_room(tmp_path: Path, sets: list[str], path: str, says: str) -> None:
    found = only(problems(tmp_path, sets=sets))
    assert found.path == path and says in found.message


def test_a_run_of_a_day(tmp_path: Path) -> None:
    assert scenario(tmp_path, sets=["run.duration=24 h"]).run.duration == 86400.0


def test_a_cycle_is_named_in_the_direction_of_the_data(tmp_path: Path) -> None:
    stages = "a: {service: cut, inputs: {ingress: 1 MB, c: 1 MB}}\n      b: {service: cut, inputs: {a: 1 MB}}\n      "
    change = ("cut: {inputs: {ingress: 1 MB}}\n      " + SEE, stages + "c: {service: cut, inputs: {b: 1 MB}}")
    assert "a → b → c → a" in only(problems(tmp_path, change)).message


def test_overlapping_faults_on_one_target_and_equal_names(tmp_path: Path) -> None:
    second = ("claims:", "  - {name: cut, kind: link_down, target: s2--s1, at: 14 s, for: 5 s}\nclaims:")
    found = problems(tmp_path, second)
    assert [p.path for p in found] == ["faults.1", "faults.1.name"]
    assert "overlaps fault 0 (link_down, 10 s to 15 s)" in found[0].message
    after = ("claims:", "  - {kind: link_down, target: s2--s1, at: 15 s, for: 5 s}\nclaims:")
    assert len(scenario(tmp_path, after).faults) == 2


def test_a_topology_in_two_parts_and_an_ingress_cut_off(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "name: parts\nsites: {a: {cluster: x}, b: {cluster: y}}\nnodes: {n: {site: a, kind: big}}\n"
        "ingresses: {g: {site: a}, h: {site: b}}\nlinks: {trunks: []}\n"
    )
    found = problems(tmp_path, ("topology: metro9", "topology: net.yaml"))
    said = {p.path: p.message for p in found if p.file.endswith("net.yaml")}
    assert "no node can be reached from 'b'" in said["ingresses.h"]
    assert "no trunk joins b with a" in said["sites.b"]


def test_steering_by_the_switch_is_a_scenario_worlds_may_decline(tmp_path: Path) -> None:
    assert scenario(tmp_path, sets=["run.steering=switch"]).run.steering == "switch"


def _task(**inputs: list[str]) -> Task:
    stages = {s: {"inputs": {i: "1 B" for i in sources}} for s, sources in inputs.items()}
    return Task.model_validate({"share": 1, "deadline": "1 s", "output": "1 B", "stages": stages})


def test_topological_order_keeps_the_file_order_where_it_may() -> None:
    assert topological(_task(d=["b", "c"], b=["ingress"], c=["ingress"])) == ["b", "c", "d"]
    assert find_cycle(_task(a=["ingress"], b=["a"])) == []
    assert find_cycle(_task(a=["ingress"], b=["d", "a"], c=["b"], d=["c"], e=["d"])) == ["b", "c", "d"]
