"""The figures of a comparison: which lines they have, and that their legend stays within them."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree

import pytest

from testbed.report.comparison import MOST, figures
from testbed.report.figures import LETTER, WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def comparison(grid: dict[str, list[Any]], policies: tuple[str, ...] = ("two_tier", "nearest")) -> dict[str, Any]:
    """As a campaign has it: of policy i at point k of the grid (9 − i − k) / 10 of the tasks are on time."""
    rows = []
    for k, chosen in enumerate(itertools.product(*grid.values())):
        settings = dict(zip(grid, chosen, strict=True))
        label = str(chosen[0]) if len(chosen) == 1 else ", ".join(f"{p}={v}" for p, v in settings.items())
        for i, policy in enumerate(policies):
            share = (9 - i - k) / 10
            on_time = {"mean": share, "lower": share - 0.02, "upper": share + 0.02}
            row = {"policy": policy, "value": label, "settings": settings, "on_time": on_time, "bound": None}
            rows.append(row | {"cost": {"mean": 30.0 + i + k}})
    return {"plan": {"sweep": {"path": ", ".join(grid)}}, "rows": rows}


def labels(svg: str) -> list[tuple[str, float, str]]:
    """(words, x, where they hang)."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [(t.text or "", float(t.attrib["x"]), t.attrib["text-anchor"]) for t in found]


def test_a_grid_over_one_path_has_a_line_for_each_policy() -> None:
    svg = figures(comparison({"load": [1, 2, 3]}))["sweep.svg"]
    words = [w for w, _, _ in labels(svg)]
    assert {"two_tier", "nearest", "load, a factor", "tasks on time"} <= set(words)
    assert svg.count("<polyline") == 2 and svg.count("<circle") == 2 * 3 + 2


def test_a_grid_over_two_has_one_for_each_policy_and_other_setting() -> None:
    svg = figures(comparison({"run.slot": ["1 s", "2 s"], "load": [3, 1]}))["sweep.svg"]
    words = [w for w, _, _ in labels(svg)]
    assert {"two_tier, run.slot=1 s", "nearest, run.slot=2 s", "load, a factor"} <= set(words)
    assert svg.count("<polyline") == 4
    for line in svg.split("<polyline points='")[1:]:
        xs = [float(pair.split(",")[0]) for pair in line.partition("'")[0].split()]
        assert xs == sorted(xs), "a line goes along its axis, however the grid was written"


@pytest.mark.parametrize(
    "grid",
    [{"run.slot": ["1 s", "2 s"]}, {"load": [1], "run.slot": ["1 s", "2 s"]}, {"load": [1, 2], "a": list(range(MOST))}],
    ids=["no numbers", "one number", "too many lines"],
)
def test_where_no_axis_has_numbers_or_there_are_too_many_lines_cost_is_drawn_alone(grid: dict[str, list[Any]]) -> None:
    assert set(figures(comparison(grid))) == {"cost.svg"}


def test_a_long_legend_takes_more_rows_and_stays_within() -> None:
    policies = ("two_tier", "reactive_fast", "least_loaded", "round_robin", "static_peak", "monolithic", "prop_avg")
    one, many = (figures(comparison({"load": [1, 2]}, p))["sweep.svg"] for p in (policies[:1], policies))
    height = [float(ElementTree.fromstring(s).attrib["viewBox"].split()[3]) for s in (one, many)]
    assert height[1] > height[0]
    names = [(w, x) for w, x, hang in labels(many) if hang == "start"]
    assert len(names) == len(policies) and all(x + LETTER * len(w) <= WIDTH for w, x in names)
