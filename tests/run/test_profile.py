"""A latency profile: given, measured, wrong on purpose, and refused."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.model import Profile
from controller.placement import PlacementParameters, place
from controller.placement.tables import tables
from testbed.errors import InputError
from testbed.run.prepare import prepare
from testbed.run.profile import read, told
from testbed.scenario.model import CorePlacement
from tests.controller.instances import small

ROOT = Path(__file__).resolve().parents[2]
SERVICE = {"service": "llm", "node": "n3", "seconds": 0.5}
LATENCY = {"service": "vision", "ingress": "gw2", "node": "n1", "seconds": 0.25}


def written(folder: Path, **changes: Any) -> Path:
    content = {"format": "latency-profile", "version": 1, "service": [SERVICE], "latency": [LATENCY]} | changes
    file = folder / "profile.json"
    file.write_text(json.dumps(content))
    return file


def test_what_is_given_stands_in_place_of_the_equation(tmp_path: Path) -> None:
    plain = tables(small(), PlacementParameters())
    model = replace(small(), profile=read(written(tmp_path), small()))
    told_to = tables(model, PlacementParameters())
    net = plain.late[1, 0, 2] - 1.05 * 0.060
    assert told_to.late[1, 0, 2] == pytest.approx(net + 0.5)
    assert told_to.late[0, 1, 0] == 0.25
    same = np.ones(plain.late.shape, bool)
    same[1, :, 2] = same[0, 1, 0] = False
    assert (told_to.late[same] == plain.late[same]).all()


def test_a_slow_node_in_the_profile_is_not_chosen() -> None:
    """A third instance of llm goes where it is quick, unless the profile says that it is not."""
    model = small()
    slow = Profile(service={("vision", "n1"): 10.0, ("vision", "n2"): 10.0})
    parameters = PlacementParameters(alpha=4000.0)
    served = place(replace(model, profile=slow), parameters).flows
    usual = place(model, parameters).flows

    def share(flows: dict) -> float:
        return sum(z for (m, _, v), z in flows.items() if m == "vision" and v == "n3")

    assert share(served) > share(usual)


def test_an_error_is_within_its_bounds_and_the_same_for_a_seed() -> None:
    model, wrong = small(), CorePlacement(profile_error=0.3)
    first, again, other = (told(wrong, model, seed) for seed in (1, 1, 2))
    assert first == again != other
    plain = tables(model, PlacementParameters()).late
    ratio = tables(replace(model, profile=first), PlacementParameters()).late / plain
    assert ratio.min() >= 0.7
    assert ratio.max() <= 1.3
    assert len(np.unique(ratio)) == ratio.size
    assert told(CorePlacement(), model, 1) == Profile()


def test_means_are_taken_from_the_records_of_a_run(tmp_path: Path) -> None:
    file = tmp_path / "tasks.sqlite"
    with sqlite3.connect(file) as base:
        base.execute("create table stages (service text, node text, started_s real, finished_s real)")
        rows = [("llm", "n1", 1.0, 1.1), ("llm", "n1", 2.0, 2.3), ("format", "n1", 0.0, 9.0), ("llm", "gone", 0, 1)]
        base.executemany("insert into stages values (?, ?, ?, ?)", [*rows, ("llm", "n2", 3.0, None)])
    base.close()
    found = read(file, small())
    assert found.service == pytest.approx({("llm", "n1"): 0.2})
    assert not found.latency


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, '"version": 1'),
        ({"format": "x"}, "latency-profile"),
        ({"more": []}, "unknown key 'more'"),
        ({"service": {}}, "service: expected a list"),
        ({"service": [{"service": "llm"}]}, "service.0: expected an object of service, node and seconds"),
        ({"service": [SERVICE | {"node": "n9"}]}, "there is no node 'n9'"),
        ({"latency": [LATENCY | {"ingress": 3}]}, "there is no ingress 3"),
        ({"latency": [LATENCY | {"seconds": 0}]}, "seconds: found 0"),
        ({"latency": [LATENCY | {"seconds": float("nan")}]}, "seconds: found nan"),
        ({"latency": [LATENCY | {"seconds": True}]}, "seconds: found True"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_place(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"profile\.json") as caught:
        read(written(tmp_path, **changes), small())
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"[]"])
def test_what_is_no_profile_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    for name in ("profile.json", "tasks.sqlite"):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(InputError, match=name):
            read(file, small())


def test_plan_takes_an_error_of_the_profile() -> None:
    right = prepare(ROOT / "scenarios" / "e12.yaml", [], "plan")
    wrong = prepare(ROOT / "scenarios" / "e12.yaml", ["placement.profile_error=0.5"], "plan")
    assert len(wrong.resolved.model.profile.factor) == 15
    assert wrong.placement.objective != right.placement.objective
