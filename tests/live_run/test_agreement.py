"""A live run against the twin: the same tasks in both, and a table of what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.campaign.differences import MEASURES
from testbed.cli import main
from testbed.record.folder import ask, read
from tests.live_run.conftest import Recorded
from tests.live_run.kit import SCENARIO

pytestmark = pytest.mark.live

DRAWN = "select id, ingress, type, at_s, deadline_s from tasks order by id"


def test_the_twin_sees_the_tasks_of_a_live_run_and_every_difference_is_in_the_table(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["agree", str(SCENARIO), "--against", str(recorded.folder), "--out", str(out), "--json"]
    code = main(words)
    found = json.loads(capsys.readouterr().out)
    assert code == {"pass": 0, "fail": 1, "unknown": 3}[found["verdict"]]
    assert found == json.loads((out / "agreement.json").read_text())
    assert found["runs"] == {"live": [str(recorded.folder)], "twin": [str(out / "twin" / "s1")]}
    assert ask(recorded.folder, DRAWN) == ask(out / "twin" / "s1", DRAWN) != []
    assert len({d["measure"] for d in found["differences"]}) == len(MEASURES)
    rate = next(d for d in found["differences"] if d["measure"] == "on-time rate")
    twin = read(out / "twin" / "s1")[0]
    assert rate["live"] == pytest.approx(recorded.summary["on_time_rate"])
    assert rate["twin"] == pytest.approx(twin["on_time_rate"])
    assert rate["difference"] == pytest.approx(100 * (rate["twin"] - rate["live"]))
    faults = [f["name"] for f in recorded.summary["faults"]]
    assert [d["of"] for d in found["differences"] if d["measure"] == "dip depth"] == faults
    assert [f["name"] for f in twin["faults"]] == faults and all(f["verified"] for f in twin["faults"])
