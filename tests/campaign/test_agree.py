"""agree: pairs, measures and verdicts on recorded runs whose differences are made by hand. No live run is made here."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.campaign import agree, differences
from testbed.cli import main
from testbed.errors import InputError
from tests.scenario.small import written

SETS = ["run.warmup=2 s", "run.duration=28 s", "arrivals.rate=40 /s"]


def twin_run(scenario: Path, out: Path, seed: int) -> Path:
    words = [w for s in (*SETS, f"run.seed={seed}") for w in ("--set", s)]
    assert main(["run", str(scenario), "--in", "twin", *words, "--out", str(out)]) == 0
    return out


def as_live(twin: Path, live: Path, change: Callable[[dict[str, Any]], None] = lambda s: None) -> Path:
    """A copy that says it was live, its summary changed: a known difference to find again."""
    shutil.copytree(twin, live)
    summary = json.loads((live / "summary.json").read_text())
    summary["world"] = "live"
    change(summary)
    (live / "summary.json").write_text(json.dumps(summary))
    return live


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("twins")
    scenario = written(folder)
    return [twin_run(scenario, folder / f"s{seed}", seed) for seed in (1, 2)]


def compared(twins: list[Path], folder: Path, *changes: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    lives = [as_live(t, folder / t.name, c) for t, c in zip(twins, changes, strict=True)]
    (pairs,) = agree.pairs_of(agree.runs_in([*twins, *lives]))
    return agree.agreement(pairs)


def row(found: dict[str, Any], measure: str, of: str = "") -> dict[str, Any]:
    return next(d for d in found["differences"] if (d["measure"], d["of"]) == (measure, of))


def nothing(summary: dict[str, Any]) -> None:
    """No change."""


def test_a_run_agrees_with_itself(twins: list[Path], tmp_path: Path) -> None:
    found = compared(twins, tmp_path, nothing, nothing)
    assert found["verdict"] == "pass" and found["seeds"] == [1, 2] and found["invalid_because"] == {}
    assert {d["difference"] for d in found["differences"]} <= {0.0, None}
    bounds = {d["measure"]: d["bound"] for d in found["differences"]}
    assert bounds == {
        "on-time rate": 3.0, "median latency": 10.0, "p95 latency": 15.0, "dip depth": None, "recovery time": None,
        "cost per slot": None, "migrations": None,
    }  # fmt: skip
    assert row(found, "dip depth", "cut")["live"] is not None
    assert len(differences.MEASURES) == len(bounds)


def test_differences_are_twin_minus_live_of_means_over_seeds(twins: list[Path], tmp_path: Path) -> None:
    def worse(summary: dict[str, Any]) -> None:
        summary["on_time_rate"] -= 0.05
        summary["latency_s"]["photo"]["p50"] *= 1.25

    found = compared(twins, tmp_path, worse, nothing)
    rate = row(found, "on-time rate")
    assert rate["difference"] == pytest.approx(2.5) and rate["met"] is True
    assert rate["by_seed"] == pytest.approx([5.0, 0.0])
    median = row(found, "median latency", "photo")
    assert median["by_seed"] == pytest.approx([-20.0, 0.0])
    assert median["difference"] == pytest.approx(100 * (median["twin"] / median["live"] - 1)) and median["met"] is False
    assert found["verdict"] == "fail"


def test_an_invalid_run_makes_it_unknown_and_says_why(twins: list[Path], tmp_path: Path) -> None:
    def doubtful(summary: dict[str, Any]) -> None:
        summary["valid"], summary["invalid_because"] = False, ["the machine was overloaded"]

    found = compared(twins, tmp_path, doubtful, nothing)
    assert found["verdict"] == "unknown"
    assert list(found["invalid_because"].values()) == [["the machine was overloaded"]]


def test_a_dip_that_only_the_live_world_shows(twins: list[Path], tmp_path: Path) -> None:
    live = as_live(twins[0], tmp_path / "live")
    base = sqlite3.connect(live / "tasks.sqlite")
    base.execute("update tasks set outcome = 'late' where at_s between 10.5 and 14.5 and id % 2 = 0")
    base.commit()
    base.close()
    (pairs,) = agree.pairs_of(agree.runs_in([twins[0], live]))
    found = agree.agreement(pairs)
    depth, back = row(found, "dip depth", "cut"), row(found, "recovery time", "cut")
    assert depth["live"] > 0.4 and depth["difference"] < -30 and depth["met"] is None
    assert 4.0 < back["live"] < 5.5


def test_a_run_without_its_other_half_is_named(twins: list[Path], tmp_path: Path) -> None:
    live = as_live(twins[0], tmp_path / "live")
    with pytest.raises(InputError, match="seed 2: only twin"):
        agree.pairs_of(agree.runs_in([*twins, live]))
    with pytest.raises(InputError, match="the same seed in the same world"):
        agree.pairs_of(agree.runs_in([twins[0], twins[0], live]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no finished run in it"):
        agree.runs_in([tmp_path / "empty"])


def test_the_command_makes_the_table_again_from_records(
    twins: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lives = [as_live(t, tmp_path / t.name) for t in twins]
    words = ["agree", "--against", *map(str, (*twins, *lives))]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "on-time rate" in out and "± 3 points" in out and "verdict     PASS" in out
    written = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert main([*words, "--markdown"]) == 0
    assert "| on-time rate |" in capsys.readouterr().out


def test_known_live_runs_are_used_and_the_twin_is_run(
    twins: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = written(tmp_path)
    for t in twins:
        as_live(t, tmp_path / "before" / t.name)
    words = [w for s in SETS for w in ("--set", s)]
    code = main(
        ["agree", str(scenario), *words, "--seeds", "2", "--against", str(tmp_path / "before"), "--out",
         str(tmp_path / "out"), "--json"]
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and found["seeds"] == [1, 2]
    assert {Path(f).parent.name for f in found["runs"]["live"]} == {"before"}
    assert {Path(f).parent.name for f in found["runs"]["twin"]} == {"twin"}
    assert {d["difference"] for d in found["differences"]} <= {0.0, None}, "the same twin as before"


def test_words_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agree"]) == 2 and "--against" in capsys.readouterr().err
    assert main(["agree", "--against", str(tmp_path), "--set", "load=2"]) == 2
    assert "nothing is run" in capsys.readouterr().err
