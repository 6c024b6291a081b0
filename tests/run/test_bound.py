"""From a scenario to the fluid bound: what the network and the tasks become, and where the figure is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from testbed.record.tables import Names
from testbed.run import bound
from testbed.run.execute import execute
from testbed.run.prepare import prepare
from testbed.topology.model import Topology
from testbed.world.base import Track
from tests.run.ideal import IdealWorld
from tests.scenario.small import written

ROOT = Path(__file__).parents[2]


def topology(folder: Path) -> Topology:
    return prepare(written(folder), ["policy.name=nothing"], "plan").resolved.topology


def test_every_link_is_two_pipes_and_hosts_have_ports(tmp_path: Path) -> None:
    t = topology(tmp_path)
    found = bound.network(t, [], 0.0, 10.0)
    assert set(found.ports) == {h.name for h in (*t.nodes, *t.ingresses)}
    assert len(found.trunks) == 2 * sum(k.role == "trunk" for k in t.links)
    for k in t.links:
        if k.role == "trunk":
            (there,) = [x for x in found.trunks if (x.source, x.target) == (k.a, k.b)]
            assert (there.pipe.delay, there.pipe.rate, there.pipe.peak) == (k.ab.delay, k.ab.rate, k.ab.rate)
        else:
            host = k.a if k.a in found.ports else k.b
            out, into = (k.ab, k.ba) if host == k.a else (k.ba, k.ab)
            port = found.ports[host]
            assert (port.out.rate, port.into.rate, port.out.delay) == (out.rate, into.rate, out.delay)


def test_fluctuating_bandwidth_counts_with_its_mean_and_its_best_in_the_window(tmp_path: Path) -> None:
    t = topology(tmp_path)
    k = next(k for k in t.links if k.role == "trunk")
    track = Track(f"{k.a}->{k.b}", (0.0, 4.0, 8.0, 20.0), (1e6, 3e6, 2e6, 9e6))
    found = {(x.source, x.target): x.pipe for x in bound.network(t, [track], 2.0, 12.0).trunks}
    assert found[k.a, k.b].rate == pytest.approx((2 * 1e6 + 4 * 3e6 + 4 * 2e6) / 10)
    assert found[k.a, k.b].peak == 3e6  # what is played after the window is not in it
    assert found[k.b, k.a].rate == k.ba.rate
    both = bound.network(t, [Track(k.name, (5.0,), (1.0,))], 0.0, 10.0)
    pipe = next(x.pipe for x in both.trunks if x.source == k.b)
    assert (
        pipe.rate == pytest.approx((k.ba.rate + 1.0) / 2) and pipe.peak == k.ba.rate
    )  # before its first time: nominal


def test_tasks_become_crowds_with_their_own_draws() -> None:
    p = prepare(ROOT / "scenarios" / "demo.yaml", ["run.duration=10 s"], "plan")
    model, names, source = p.resolved.model, Names.of(p.resolved.model), p.source()
    batches = [source.until(4.0), source.until(p.horizon)]
    found = bound.crowds(model, names, batches, (2.0, 9.0), 8.0)
    at = np.concatenate([b.at for b in batches])
    assert sum(c.rate for c in found) * 8.0 == pytest.approx(np.count_nonzero((at >= 2.0) & (at < 9.0)))
    kind = next(n for n in model.tasks if n.name == found[0].type)
    assert found[0].work.shape == (len(kind.stages), len(found[0].access))
    assert found[0].size is None and found[0].work.min() > 0


def test_the_plan_and_the_summary_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from testbed.cli import main

    assert main(["plan", str(ROOT / "scenarios" / "e12.yaml"), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["fluid_bound"]
    assert 0.95 < planned < 1.0
    p = prepare(written(tmp_path), ["policy.name=static", "faults=[]"], "live")
    summary = execute(p, IdealWorld(), tmp_path / "run", lambda f: ([], []), lambda s: None, lambda s: None, "r1")
    assert 0.0 < summary["fluid_bound"] <= 1.0


def test_more_load_than_the_core_services_can_carry_shows(tmp_path: Path) -> None:
    """Eight streams of 40 ms at speed 2 or less: at 4,000 tasks a second most are lost, whoever decides."""
    p = prepare(written(tmp_path), ["policy.name=static", "faults=[]", "arrivals.rate=4000 /s", "run.duration=2 s",
                                    "run.warmup=100 ms"], "plan")  # fmt: skip
    source = p.source()
    tasks = source.until(p.horizon)
    expected = bound.of_scenario(p, source, tasks, [])
    counted = bound.of_tasks(p, Names.of(p.resolved.model), [tasks], p.placement.instances, [])
    assert expected is not None and counted is not None
    core = p.resolved.model.core[0]
    speed = {v.name: v.speed for v in p.resolved.model.nodes}
    capacity = sum(core.streams * speed[v] / core.work for v in p.placement.instances[core.name])
    seconds = p.scenario.run.duration
    longest = max(n.deadline for n in p.resolved.model.tasks)
    most = capacity * (seconds + longest) / (4000 * seconds)
    assert expected.on_time_rate <= most * 1.02 and counted.on_time_rate <= most * 1.08
    assert expected.on_time_rate < expected.physics
