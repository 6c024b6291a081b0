"""Schedules of faults that can't be, each with its place and a way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.faults.base import catalogue_of_faults
from testbed.scenario.loader import load
from testbed.topology.located import parse


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ("{every: 500 ms}", "make `every` at least as long as `for`"),
        ("{times: 3}", "give `every` too"),
        ("{every: 2 s, times: 90}", "lies outside the run"),
        ("{after: nobody}", "there is no fault called 'nobody'"),
        ("{name: a, after: a}", "waits for itself"),
        ("{after: other, every: 2 s}", "neither `after` nor `when`"),
        ("{when: {metric: on_time}}", "has neither of above and below"),
        ("{when: {metric: on_time, above: 1, below: 1}}", "has both of above and below"),
        ("{when: {metric: backlog, above: 1}, target: s2--s3}", "this one's time is known only then"),
        ("{at: 1 s, every: 2 s, target: s2--s3}", "overlaps fault 0 (link_down, 5 s to 6 s)"),
        ("{kind: flash_crowd, target: gw1, with: {on: [gw9]}}", "there is no ingress 'gw9'"),
        ("{kind: burst_train, target: gw1, with: {period: 1 ms}}", "period"),
    ],
)
def test_schedules_that_can_not_be(tmp_path: Path, faults: str, said: str) -> None:
    short = Path(__file__).parents[1] / "live_run"
    first = "{name: other, kind: link_down, target: s2--s3, at: 5 s, for: 1 s}"
    second = {"kind": "link_down", "target": "s1--s2", "for": "1 s"} | parse(faults, "fault").data
    (tmp_path / "triangle.yaml").write_text((short / "triangle.yaml").read_text())
    (tmp_path / "short.yaml").write_text((short / "short.yaml").read_text())
    path = tmp_path / "own.yaml"
    path.write_text(
        f"extends: short.yaml\nname: own\nquestion: Which?\nfaults:\n  - {first}\n  - {json.dumps(second)}\n"
    )
    with pytest.raises(InputError) as error:
        load(path, (), catalogue_of_faults())
    assert said in str(error.value) and "own.yaml:6" in str(error.value)
