"""What a policy was shown is shown to it again: the same decisions, and a difference is found where one was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.errors import InputError
from testbed.run.replay import FILE, replay
from tests.scenario.small import GOOD, written

SETS = ["--set", "run.warmup=2 s", "--set", "run.duration=28 s", "--set", "arrivals.rate=60 /s"]
CRASH = "  - {name: crash, kind: node_crash, target: n2, at: 5 s, for: 6 s}\nclaims:\n"


def recorded(folder: Path, policy: str, *words: str) -> Path:
    scenario = written(folder, GOOD, ("claims:\n", CRASH))
    out = folder / policy
    code = main(["run", str(scenario), "--in", "twin", "--policy", policy, *SETS, "--out", str(out), *words])
    assert code == 0
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("replay"), "two_tier", "--observations")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def change(folder: Path, number: int, old: str, new: str) -> None:
    lines = (folder / FILE).read_text().splitlines()
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    (folder / FILE).write_text("\n".join(lines) + "\n")


def test_the_same_decisions(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = replay(run)
    assert found.differences == () and found.decisions > 30, "some between slots, when the crash was detected"
    assert main(["replay", str(run)]) == 0
    assert "every one as recorded" in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["nearest", "static", "nothing"])
def test_of_other_policies_too(tmp_path: Path, policy: str) -> None:
    assert replay(recorded(tmp_path, policy, "--observations")).differences == ()


def test_another_observation_is_another_decision(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (copy / FILE).read_text().splitlines()
    for number in range(12, 16):
        line = json.loads(lines[number])
        line["observation"]["arrivals"] = [[key, 50 * n] for key, n in line["observation"]["arrivals"]]
        lines[number] = json.dumps(line)
    (copy / FILE).write_text("\n".join(lines) + "\n")
    found = replay(copy)
    assert found.differences and found.differences[0].startswith("slot 1")
    assert main(["replay", str(copy)]) == 1
    assert "not all as recorded" in capsys.readouterr().out


def test_a_missing_observation_is_said(copy: Path) -> None:
    lines = (copy / FILE).read_text().splitlines()
    (copy / FILE).write_text("\n".join(lines[:-1]) + "\n")
    assert "decisions were recorded" in replay(copy).differences[-1]


def test_damage_is_named_with_its_line(copy: Path) -> None:
    change(copy, 3, '"now":', '"then":')
    with pytest.raises(InputError, match=rf"{FILE}:4: can't be replayed \(no Observation"):
        replay(copy)
    (copy / FILE).write_text("no json\n")
    with pytest.raises(InputError, match=f"{FILE}:1"):
        replay(copy)


def test_a_run_that_kept_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--observations"):
        replay(recorded(tmp_path, "nothing"))
