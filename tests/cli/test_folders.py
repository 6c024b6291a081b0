"""A folder in place of files: what of it is taken, what is passed over, and what is said of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.kit import ROOT, Command, tree
from tests.scenario.small import GOOD

QUICK = ("--in", "twin", "--workers", "1", "--set", "run.warmup=1 s", "--set", "run.duration=3 s", "--set", "faults=[]")
CLAIM = "claims:\n  - {id: ok, metric: on_time_rate, at_least: 0.5}\n"


@pytest.fixture
def mixed(testbed: Command) -> Path:
    """Two scenarios with a claim and one without, a network, a campaign, a folder and a note."""
    folder = testbed.folder / "mixed"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "third.yaml").write_text("name: wrong\n")
    (folder / "b.yaml").write_text(GOOD)
    (folder / "a.yml").write_text("extends: base.yaml\nname: a\n" + CLAIM)
    (folder / "base.yaml").write_text(GOOD.replace(CLAIM, ""))
    (folder / "net.yaml").write_text((ROOT / "topologies" / "metro9.yaml").read_text())
    (folder / "load.yaml").write_text((ROOT / "scenarios" / "campaigns" / "load.yaml").read_text())
    (folder / "note.txt").write_text("no YAML: {")
    return folder


def test_verify_takes_the_scenarios_of_a_folder_that_make_a_claim(testbed: Command, mixed: Path) -> None:
    assert testbed("verify", "mixed", *QUICK, "--out", "out") == 0
    assert "mixed: passed over, no scenario (neither `topology` nor `extends`): load.yaml, net.yaml" in testbed.err
    assert "mixed: passed over, no claim: base.yaml" in testbed.err
    plan = json.loads((testbed.folder / "out" / "plan.json").read_text())
    assert [f["name"] for f in plan["files"]] == ["a", "b"]
    assert "2 claims, 2 runs" in testbed.err


def test_a_file_that_is_named_is_not_passed_over(testbed: Command, mixed: Path) -> None:
    assert testbed("verify", mixed / "base.yaml", *QUICK) == 2
    assert "makes no claim" in testbed.err


def test_check_takes_every_scenario_of_a_folder_and_what_can_t_be_read(testbed: Command, mixed: Path) -> None:
    assert testbed("check", "mixed") == 0
    assert [line.partition(":")[0] for line in testbed.out.splitlines()] == [
        "mixed/a.yml",
        "mixed/b.yaml",
        "mixed/base.yaml",
    ]
    (mixed / "torn.yaml").write_text("name: [\n")
    assert testbed("check", "mixed") == 2
    assert "mixed/torn.yaml:2:1: (document): is not YAML" in testbed.err


@pytest.mark.parametrize("word", ["check", "verify", "margins"])
def test_a_folder_without_scenarios(testbed: Command, mixed: Path, word: str) -> None:
    def said(folder: Path) -> str:
        before = tree(testbed.folder)
        assert testbed(word, folder, *(["--out", "out"] if word == "margins" else [])) == 2
        assert tree(testbed.folder) == before
        return testbed.err

    empty = testbed.folder / "empty"
    empty.mkdir()
    assert "empty: no scenario in this folder (no *.yaml or *.yml)" in said(empty)
    assert "(no *.yaml or *.yml); perhaps in one of its folders: mixed" in said(testbed.folder)
    for name in ("a.yml", "b.yaml", "base.yaml"):
        (mixed / name).unlink()
    assert "load.yaml, net.yaml: neither `topology` nor `extends` in any" in said(mixed)


def test_a_folder_whose_scenarios_make_no_claim(testbed: Command, mixed: Path) -> None:
    for name in ("a.yml", "b.yaml"):
        (mixed / name).unlink()
    assert testbed("verify", mixed, *QUICK) == 2
    assert "no scenario in this folder makes a claim" in testbed.err


def test_the_shipped_claims_are_all_taken(testbed: Command) -> None:
    assert testbed("check", ROOT / "scenarios" / "claims") == 0
    assert len(testbed.out.splitlines()) >= len(list((ROOT / "scenarios" / "claims").glob("*.yaml")))
    assert "passed over" not in testbed.err
