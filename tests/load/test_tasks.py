"""Tasks: every draw keyed by name, so nothing a policy or a window does can change another draw."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from testbed.load import draws, tasks
from testbed.load.shapes import Intensity
from testbed.load.tasks import TaskSource
from testbed.load.trace import TraceWindow
from testbed.world.base import TaskBatch
from tests.load.builders import model


def source(seed: int = 1, rate: float = 20.0, horizon: float = 50.0, **kwargs) -> TaskSource:
    shapes = {"gw1": Intensity([(0.0, rate / 2, rate / 2)]), "gw2": Intensity([(0.0, rate / 2, rate / 2)])}
    return TaskSource(model(**kwargs), {"gw1": 0.5, "gw2": 0.5}, seed, horizon, shapes)


def columns(batches):
    """Name → the column through all batches."""
    return {f.name: np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(TaskBatch)}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_windows_do_not_matter():
    whole, pieces = columns([source().until(50.0)]), source()
    assert same(whole, columns([pieces.until(end) for end in (0.5, 3.0, 3.0, 17.0, 17.1, 50.0, 60.0)]))
    assert whole["id"].tolist() == list(range(1, len(whole["id"]) + 1))
    assert np.all(np.diff(whole["at"]) >= 0)


def test_the_size_of_a_block_does_not_matter(monkeypatch):
    whole = columns([source(rate=400.0).until(10.0)])
    assert len(whole["id"]) > 3000
    for module in (draws, tasks):
        monkeypatch.setattr(module, "BLOCK", 64)
    assert same(whole, columns([source(rate=400.0).until(10.0)]))


def test_a_task_does_not_depend_on_how_many_came_before_it_elsewhere():
    """The k-th task of an ingress is the same under another load: only its time moves."""
    one, three = source(rate=20.0).until(50.0), source(rate=60.0).until(50.0)
    for o in (0, 1):
        a, b = np.flatnonzero(one.ingress == o), np.flatnonzero(three.ingress == o)
        assert len(b) > len(a) > 300
        for name in ("type", "work", "access", "deadline"):
            assert np.array_equal(getattr(one, name)[a], getattr(three, name)[b[: len(a)]])


def test_tasks_of_one_ingress_are_not_those_of_another():
    t = source().until(50.0)
    assert not set(t.access[t.ingress == 0]) & set(t.access[t.ingress == 1])


def test_access_and_work_follow_their_laws_and_each_other_not_at_all():
    t = source(rate=400.0).until(50.0)
    gain, rate = 8 * 2e6 / 150e6 / t.access, 0.03 / t.work[:, 0]
    assert stats.kstest(gain, stats.gamma(3, scale=1 / 3).cdf).pvalue > 1e-3
    floored = stats.gamma(2, scale=1 / 2)
    assert (
        stats.kstest(rate[rate > 0.1001], lambda x: (floored.cdf(x) - floored.cdf(0.1)) / floored.sf(0.1)).pvalue > 1e-3
    )
    assert abs(np.corrcoef(gain, rate)[0, 1]) < 4 / len(t) ** 0.5
    assert abs(np.corrcoef(gain, t.type)[0, 1]) < 4 / len(t) ** 0.5


def test_a_trace_scales_bytes_light_and_core_work_by_its_rows():
    times, scales = [0.0, 0.5, 0.5, 2.0, 9.0], [(0.5, 0.5, 4.0), (2.0, 2.0, 1.0), (1.0, 1.0, 1.0), (3.0, 3.0, 0.1)]
    window = TraceWindow(times, [*scales, (1.0, 1.0, 1.0)], {"gw2": 0.5, "gw1": 0.5}, 1)
    found = TaskSource(model(), {"gw1": 0.5, "gw2": 0.5}, 1, 50.0, {}, window)
    flat = TraceWindow(times, [(1.0, 1.0, 1.0)] * 5, {"gw2": 0.5, "gw1": 0.5}, 1)
    plain = TaskSource(model(), {"gw1": 0.5, "gw2": 0.5}, 1, 50.0, {}, flat)
    a, b = columns([found.until(0.4), found.until(5.0)]), columns([plain.until(5.0)])
    assert a["at"].tolist() == [0.0, 0.5, 0.5, 2.0]
    assert sorted(zip(a["at"], a["size"], strict=True)) == [(0.0, 0.5), (0.5, 1.0), (0.5, 2.0), (2.0, 3.0)]
    assert np.array_equal(a["ingress"], b["ingress"])
    assert a["access"] == pytest.approx(b["access"] * a["size"])
    assert a["work"][:, 0] == pytest.approx(b["work"][:, 0] * a["size"]), "image is a light service"
    core = {0.5: 4.0, 2.0: 1.0, 1.0: 1.0, 3.0: 0.1}
    assert a["work"][:, 1] == pytest.approx(b["work"][:, 1] * [core[x] for x in a["size"]]), "llm a core one"
    assert found.count("gw1", 0, 5) + found.count("gw2", 0, 5) == 4
    assert found.expected("gw1", 0, 5) == found.count("gw1", 0, 5)


def test_seeds_differ_and_repeat():
    one, again, other = (columns([source(seed).until(50.0)]) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)


def test_a_spike_at_one_ingress_changes_nothing_at_the_other():
    calm, shaken = source(), source()
    shaken.set_factor("gw1", 4.0, 10.0)
    a, b = calm.until(50.0), shaken.until(50.0)
    for name in ("at", "type", "work", "access", "deadline"):
        assert np.array_equal(getattr(a, name)[a.ingress == 1], getattr(b, name)[b.ingress == 1])


def test_counts_follow_the_intensity():
    s = source(horizon=400.0)
    s.set_factor("gw1", 3.0, 100.0)
    s.until(400.0)
    assert s.expected("gw1", 100.0, 400.0) == pytest.approx(9000.0)
    assert abs(s.count("gw1", 100.0, 400.0) - 9000) < 5 * 9000**0.5
    assert abs(s.count("gw2", 0.0, 400.0) - 4000) < 5 * 4000**0.5


def test_what_is_forgotten_is_before_the_time_and_counts_after_it_stay():
    whole, some = source(horizon=400.0), source(horizon=400.0)
    for k in range(401):
        whole.until(k)
        some.until(k)
        some.forget(k - 10.0)
        assert sum(map(len, some._log.values())) < 20.0 * 12.0 + 5 * 240**0.5
    for start, end in ((390.0, 400.0), (395.5, 397.25)):
        assert some.count("gw1", start, end) == whole.count("gw1", start, end) > 0


def test_types_come_by_share_and_access_by_its_rate():
    tasks = source(rate=100.0, m=0.0).until(50.0)
    share = np.mean(tasks.type == 0)
    assert share == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / len(tasks)) ** 0.5)
    assert tasks.access == pytest.approx(8 * 2e6 / 150e6)


def test_a_task_has_work_for_each_stage_of_its_type_and_no_more():
    tasks = source().until(50.0)
    assert np.all(tasks.work[:, 0] > 0)
    assert np.array_equal(tasks.work[:, 1] > 0, tasks.type == 0)
    assert tasks.deadline == pytest.approx(np.where(tasks.type == 0, 0.7, 0.5))
