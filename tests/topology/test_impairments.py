"""Impairments of links in topology files and generators: taken over whole, and refused where they contradict."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.topology import files
from testbed.topology.build import build
from testbed.topology.model import Shape

HEAD = "name: two\nsites: {a: {cluster: x}, b: {cluster: y}}\n"
TRUNK = HEAD + "links: {trunks: [{between: [a, b], rate: 50 Mbit/s, delay: 5 ms, %s}]}\n"


def read(folder: Path, text: str) -> Shape:
    path = folder / "net.yaml"
    path.write_text(text)
    return files.load(path, ["big"]).link("a--b").ab


def test_every_impairment_reaches_the_shape(tmp_path: Path) -> None:
    more = (
        "jitter: 1 ms, jitter_law: pareto, jitter_correlation: 0.3, loss: 0.1, loss_burst: 4, loss_bad: 0.9, "
        "loss_good: 0.01, duplicate: 0.02, reorder: 0.03, corrupt: 0.04, queue: 50 kB"
    )
    assert read(tmp_path, TRUNK % more) == Shape(
        50e6, 0.005, 0.001, 0.1, 50e3, "pareto", 0.3, 4.0, 0.9, 0.01, 0.02, 0.03, 0.04
    )
    generated = build({"generator": "line", "sites": 2, "trunks": {"loss": 0.1, "loss_burst": 4}}, ["big"], 1)
    assert (generated.link("s1--s2").ab.loss, generated.link("s1--s2").ba.loss_burst) == (0.1, 4.0)


def test_one_direction_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TRUNK % "corrupt: 0.1, backward: {corrupt: 0.2}")
    link = files.load(path, ["big"]).link("a--b")
    assert (link.ab.corrupt, link.ba.corrupt) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("jitter_law: gauss", "normal"),
        ("loss_burst: 4", "needs a mean loss"),
        ("loss: 0.9, loss_burst: 1", "too short"),
        ("loss: 0.1, loss_burst: 0.5", "at least 1"),
        ("loss: 0.1, loss_burst: 5, loss_bad: 0.05", "lies between"),
        ("forward: {loss_burst: 4}", "needs a mean loss"),
        ("corrupt: 1.5", "less than 1"),
        ("delay: 0 s, reorder: 0.1", "skips the delay"),
        ("jitter_correlation: 1", "less than 1"),
    ],
)
def test_a_contradiction_is_located(tmp_path: Path, more: str, message: str) -> None:
    text = TRUNK % more if "delay" not in more else (TRUNK % more).replace("delay: 5 ms, ", "")
    with pytest.raises(InputError, match=r"net\.yaml:3:") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_defaults_of_host_links_and_generators_are_checked_too(tmp_path: Path) -> None:
    trunks = "trunks: [{between: [a, b]}]"
    with pytest.raises(InputError, match=r"defaults\.node"):
        read(tmp_path, HEAD + f"links: {{defaults: {{node: {{loss_burst: 3}}}}, {trunks}}}\n")
    with pytest.raises(InputError, match=r"topology\.trunks: .* too short"):
        build({"generator": "line", "sites": 2, "trunks": {"loss": 0.9, "loss_burst": 1}}, ["big"], 1)
