"""Tasks: every draw keyed by name, so nothing a policy or a window does can change another draw."""

from dataclasses import fields

import numpy as np
import pytest

from controller.model import Law
from testbed.load.shapes import Intensity
from testbed.load.tasks import TaskSource, factor
from testbed.scenario.streams import stream
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


@pytest.mark.parametrize(
    "law",
    [Law(), Law("uniform", spread=0.3), Law("exponential"), Law("lognormal", cv=0.8)],
)
def test_laws_have_mean_one(law):
    draws = np.array([factor(law, stream(3, "law", law.kind, k)) for k in range(6000)])
    assert draws.mean() == pytest.approx(1.0, abs=5 * max(draws.std(), 1e-9) / len(draws) ** 0.5 + 1e-9)


def test_a_gamma_rate_is_floored():
    draws = [factor(Law("gamma", shape=1.0, floor=0.1), stream(3, "floor", k)) for k in range(3000)]
    assert max(draws) == pytest.approx(10.0)
    assert np.mean([1 / d for d in draws]) == pytest.approx(1.0, abs=0.1)


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
