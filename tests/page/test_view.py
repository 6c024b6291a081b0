"""What the page makes of a run's statuses and events, held against the run's own records."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from testbed.dashboard.page import view as views
from testbed.dashboard.page.feed import Wanted
from testbed.dashboard.page.ground import ground_of
from testbed.dashboard.page.openmetrics import exposition
from testbed.dashboard.page.view import View
from testbed.dashboard.page.words import told
from testbed.faults.base import catalogue_of_faults
from testbed.record.folder import plain
from tests.live_run.kit import ROOT
from tests.page.kit import Shown, shown


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    with shown(tmp_path_factory.mktemp("page") / "run", Wanted(port=0)) as found:
        yield found


def events(run: Shown) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.page._events.read_text().splitlines()]


def seen(run: Shown) -> View:
    """All of it, in the order of time."""
    view = View(plain(ground_of(run.prepared, "r")))
    heard = [(e["actual_s"] or 0.0, "E", e) for e in events(run)] + [(s["now"], "S", s) for s in run.said]
    for _, letter, value in sorted(heard, key=lambda x: x[0]):
        view.take_event(value) if letter == "E" else view.take_status(plain(value))
    return view


def test_faults_are_followed_as_the_summary_has_them(run: Shown) -> None:
    view = seen(run)
    assert view.faults == {}
    bands = {(b["name"], round(b["from"], 6), round(b["to"], 6)) for b in view.bands}
    assert bands == {
        (f["name"], round(f["applied_at_s"], 6), round(f["reverted_at_s"], 6)) for f in run.summary["faults"]
    }
    half = View(plain(ground_of(run.prepared, "r")))
    for e in events(run):
        if (e["actual_s"] or 0.0) < 5.0:
            half.take_event(e)
    (fault,) = half.faults.values()
    assert (fault["name"], fault["kind"], fault["target"]) == ("cut_trunk", "link_down", "s1--s2")
    assert fault["ends_s"] == 5.5


def test_the_rate_is_that_of_the_last_five_seconds(run: Shown) -> None:
    view = seen(run)
    at = {s["now"]: (s["resolved"], s["on_time"]) for s in run.said}
    slots = {s["slot"]: s["now"] for s in reversed(run.said)}.values()  # one between slots keeps the pulse of the last
    for t, recent, whole in view.points:
        n, good = at[t]
        assert whole == (good / n if n else None)
        if t not in slots:
            continue
        then = max((k for k in at if k <= t - 5.0 + 1e-9), default=None)
        n0, good0 = at[then] if then is not None else (0, 0)
        assert recent == (pytest.approx((good - good0) / (n - n0), abs=1e-8) if n > n0 else None)  # told rounded


def test_a_long_run_keeps_so_many_points_and_its_ends(run: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_POINTS", 10)
    view = View(plain(ground_of(run.prepared, "r")))
    for k in range(1000):
        view.take_status({**run.said[-1], "now": float(k)})
    times = [t for t, *_ in view.points]
    assert 5 <= len(times) <= 10 and times == sorted(times)
    assert times[0] < 10 and times[-1] > 800


def test_what_a_link_carried_is_bytes_over_time(run: Shown) -> None:
    view, status = View(plain(ground_of(run.prepared, "r"))), run.said[0]
    view.take_status({**status, "now": 1.0, "carried_bytes": {"s1->s2": 1000.0}})
    later = view.take_status({**status, "now": 3.0, "carried_bytes": {"s1->s2": 5000.0}})
    assert later["carried_bps"] == {"s1->s2": 8 * 4000.0 / 2.0}


def test_a_nodes_load_is_the_cores_that_requests_in_service_hold(run: Shown) -> None:
    view = View(plain(ground_of(run.prepared, "r")))
    one = {"id": "x", "service": "cut", "node": "n2", "workers": 2, "backlog": 5, "state": "ready"}
    status = view.take_status({**run.said[0], "instances": [one]})
    services = {m.name: m for m in run.prepared.resolved.model.services()}
    assert math.isclose(status["load"]["n2"], 2 * services["cut"].cpu / 8)  # of eight cores; three wait
    assert status["load"]["n1"] == 0.0


def test_everything_is_told_in_words(run: Shown) -> None:
    lines = [line for e in events(run) for line in told(e)]
    assert {"fault", "good", "path"} <= {line["mark"] for line in lines}
    assert any(line["text"] == "paths lead round s1--s2" for line in lines)
    (odd,) = told({"kind": "of_tomorrow", "actual_s": 1.0, "planned_s": None, "what": 3})
    assert odd == {"t": 1.0, "mark": "note", "text": "of tomorrow: what 3"}
    (torn,) = told({"kind": "resized", "actual_s": 1.0, "planned_s": None})
    assert torn["text"] == "resized"


def test_the_form_knows_every_fault(run: Shown) -> None:
    ground = ground_of(run.prepared, "r")
    assert ground["kinds"].keys() == catalogue_of_faults().keys()
    assert ground["kinds"]["bandwidth_drop"]["fields"] == [{"name": "keep", "default": "0.3"}]
    assert all(ground["targets"][role] for kind in ground["kinds"].values() for role in kind["targets"])
    json.dumps(plain(ground), allow_nan=False)


# -- OpenMetrics, read by the parser of Prometheus' own client


def families(view: View) -> dict[str, Any]:
    text = exposition(view)
    assert text.endswith("# EOF\n")
    return {f.name: f for f in text_string_to_metric_families(text)}


def value(found: dict[str, Any], family: str, **labels: str) -> float:
    (sample,) = [s for s in found[family].samples if s.labels == labels]
    return float(sample.value)


def test_metrics_say_what_the_summary_says(run: Shown) -> None:
    found, last = families(seen(run)), run.said[-1]
    assert value(found, "shaketable_tasks_offered") == last["offered"]
    assert value(found, "shaketable_tasks_on_time") == last["on_time"]
    assert value(found, "shaketable_faults_applied") == len(run.summary["faults"])
    assert value(found, "shaketable_link_up", link="s1--s2") == 1.0
    assert value(found, "shaketable_link_configured_bits_per_second", link="s1--s2") == 500e6
    assert found["shaketable_fault_in_force"].samples == []
    assert {s.labels["instance"] for s in found["shaketable_instance_workers"].samples} == {
        i["id"] for i in last["instances"]
    }


def test_metrics_are_valid_before_anything_is_known_and_whatever_things_are_called(run: Shown) -> None:
    ground = plain(ground_of(run.prepared, "r"))
    assert value(families(View(ground)), "shaketable_run_ended") == 0.0
    odd = 'a"b\\c\nd'
    view = View({**ground, "scenario": odd})
    (info,) = families(view)["shaketable_run"].samples
    assert info.labels["scenario"] == odd
    assert all(f.documentation for f in families(view).values())


def test_every_metric_is_documented_and_every_documented_one_is_there(run: Shown) -> None:
    text = (ROOT / "docs" / "live-page.md").read_text()
    documented = set(re.findall(r"^\| `(shaketable_\w+)`", text, re.MULTILINE))
    suffixes = {"counter": "_total", "info": "_info"}
    assert documented == {f.name + suffixes.get(f.type, "") for f in families(seen(run)).values()}
