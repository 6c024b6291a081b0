"""The guides to adding, followed: their files written where they say, found by name, run by their commands."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.topology.build import build
from tests.documents.shown import ROOT, blocks

PACKAGES = ("testbed.faults", "testbed.topology.generators")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose packages of the same paths are looked into beside our own."""
    for package in PACKAGES:
        folder = tmp_path.joinpath(*package.split("."))
        folder.mkdir(parents=True)
        ours = importlib.import_module(package)
        monkeypatch.setattr(ours, "__path__", [*ours.__path__, str(folder)])
    for name in ("scenarios", "topologies"):
        (tmp_path / name).mkdir()
        for file in (ROOT / name).glob("*.yaml"):
            (tmp_path / name / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for package in PACKAGES:
        for file in tmp_path.joinpath(*package.split(".")).glob("*.py"):
            sys.modules.pop(f"{package}.{file.stem}", None)


@pytest.mark.parametrize(
    ("guide", "files", "says"),
    [
        ("fault", {"testbed/faults/dim.py", "dimmed.yaml"}, "3.0 to 7.0 s, verified"),
        ("topology", {"topologies/pair.yaml", "testbed/topology/generators/star.py", "starry.yaml"}, "s1--s6: "),
    ],
)
def test_what_a_guide_shows_works_as_written(
    tree: Path, guide: str, files: set[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = set()
    for block in blocks(ROOT / "docs" / "adding" / f"{guide}.md"):
        first, _, rest = block.text.partition("\n")
        if block.language in ("python", "yaml") and first.startswith("# ") and first.endswith((".py", ".yaml")):
            (tree / first[2:]).write_text(rest)
            written.add(first[2:])
        if block.language == "console":
            for command in block.commands:
                assert main(command) == 0, capsys.readouterr().err
    assert written == files
    assert says in capsys.readouterr().out


def test_the_smallest_network_of_the_guide_is_whole(tree: Path) -> None:
    pair = next(b for b in blocks(ROOT / "docs" / "adding" / "topology.md") if "name: pair" in b.text)
    (tree / "pair.yaml").write_text(pair.text)
    network = build(tree / "pair.yaml", ["big", "small"], 1)
    assert [n.name for n in network.nodes] == ["n-s1", "n-s2"]
    assert [(k.name, k.ab.delay) for k in network.links if k.role == "trunk"] == [("s1--s2", 0.005)]


def test_wrong_parameters_of_the_new_fault_are_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault, scenario = (b for b in blocks(ROOT / "docs" / "adding" / "fault.md") if b.text.startswith("# "))
    (tree / "testbed" / "faults" / "dim.py").write_text(fault.text)
    (tree / "dimmed.yaml").write_text(scenario.text.replace("keep: 0.2", "keeps: 0.2"))
    assert main(["check", "dimmed.yaml"]) == 2
    assert "there is no key 'keeps'. Did you mean 'keep'?" in capsys.readouterr().err
