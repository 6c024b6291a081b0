"""verify and compare from end to end in the twin: folders, resumption, refusal, bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from testbed.cli import main

SHORT = Path(__file__).parents[1] / "live_run" / "short.yaml"
CLAIMS = """
extends: short.yaml
name: claims
question: Does it hold?
faults: []
run: {warmup: 500 ms, duration: 3 s}
claims:
  - {id: holds, metric: on_time_rate, at_least: 0.3, runs: 3}
  - {id: breaks, metric: on_time_rate, at_least: 0.999, set: {load: 30}, runs: 3}
  - {id: single, metric: tasks.lost, at_most: 100000}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("short.yaml", "triangle.yaml"):
        shutil.copy(SHORT.parent / name, tmp_path / name)
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    return tmp_path


def verify(folder: Path, *more: str, out: str = "out") -> int:
    return main(["verify", str(folder / "claims.yaml"), "--in", "twin", "--out", str(folder / out), *more])


def compare(folder: Path, *more: str, out: str = "out") -> int:
    file = str(folder / "claims.yaml")
    words = [
        "compare",
        file,
        "--policies",
        "two_tier,static",
        "--seeds",
        "2",
        "--in",
        "twin",
        "--out",
        str(folder / out),
    ]
    return main([*words, *more])


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def test_verify(folder: Path, capsys: Any) -> None:
    assert verify(folder) == 1, "one of the claims fails"
    found = json.loads((folder / "out" / "verdicts.json").read_text())
    assert {c["id"]: c["verdict"] for c in found["claims"]} == {"holds": "pass", "breaks": "fail", "single": "pass"}
    assert found["family"] == 2 and found["verdict"] == "fail"
    runs = sorted(p.name for p in (folder / "out" / "runs" / "claims").iterdir())
    assert len(runs) == 6 and all((folder / "out" / "runs" / "claims" / r / "complete").is_file() for r in runs)
    for c in found["claims"]:
        assert all((folder / "out" / r / "report.html").is_file() for r in c["runs_in"]), (
            "every figure leads to its run"
        )
    suite = ElementTree.parse(folder / "out" / "verdicts.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    said = capsys.readouterr()
    assert "[6/6]" in said.err and "[6/6]" not in said.out, "progress is no result"
    assert "FAIL    claims breaks" in said.out and "corrected for 2 claims" in said.out


def test_again_in_two_processes_gives_the_same_bytes(folder: Path) -> None:
    pages = ("plan.json", "verdicts.json", "verdicts.xml", "index.html")
    verify(folder, "--workers", "1")
    verify(folder, "--workers", "2", out="again")
    assert contents(folder / "out", *pages) == contents(folder / "again", *pages)


def test_it_carries_on_where_it_was_stopped(folder: Path) -> None:
    verify(folder)
    pages = contents(folder / "out", "verdicts.json", "index.html")
    runs = sorted((folder / "out" / "runs" / "claims").iterdir())
    times = {r: (r / "complete").stat().st_mtime_ns for r in runs}
    (runs[0] / "complete").unlink()  # as if it had been killed there
    (runs[1] / "summary.json").write_text("{")
    verify(folder)
    again = {r for r in runs if (r / "complete").stat().st_mtime_ns != times[r]}
    assert again == {runs[0], runs[1]}
    assert contents(folder / "out", "verdicts.json", "index.html") == pages


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_workers_end_with_the_client_however_it_ends(folder: Path, number: int, code: int) -> None:
    words = ["compare", "claims.yaml", "--policies", "two_tier", "--seeds", "60", "--in", "twin", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed.cli", *words, "--out", "out"], cwd=folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(SHORT.parents[2])},
    )  # fmt: skip
    while not list((folder / "out").rglob("complete")):
        assert process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait() == code
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    assert 0 < len(list((folder / "out").rglob("complete"))) < 60


def test_a_changed_plan_is_a_new_experiment(folder: Path, capsys: Any) -> None:
    verify(folder)
    before = contents(folder / "out", "plan.json", "verdicts.json")
    assert verify(folder, "--runs", "4") == 2
    assert "A changed plan is a new experiment" in capsys.readouterr().err
    (folder / "claims.yaml").write_text(CLAIMS.replace("at_least: 0.3", "at_least: 0.2"))
    assert verify(folder) == 2
    assert contents(folder / "out", "plan.json", "verdicts.json") == before


def test_a_foreign_folder_is_left_alone(folder: Path, capsys: Any) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("mine")
    assert verify(folder) == 2 and "is not empty and holds no plan.json" in capsys.readouterr().err
    assert [p.name for p in (folder / "out").iterdir()] == ["thesis.tex"]


def test_a_bad_setting_is_told_before_anything_runs(folder: Path, capsys: Any) -> None:
    (folder / "claims.yaml").write_text(CLAIMS.replace("set: {load: 30}", "set: {laod: 30}"))
    assert verify(folder) == 2
    assert "there is no key 'laod'. Did you mean 'load'?" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_no_claim_no_verdict(folder: Path, capsys: Any) -> None:
    (folder / "claims.yaml").write_text(CLAIMS[: CLAIMS.index("claims:\n")] + "claims: []\n")
    assert verify(folder) == 2 and "makes no claim" in capsys.readouterr().err


def test_compare(folder: Path, capsys: Any) -> None:
    assert compare(folder, "--sweep", "load=1,2") == 0
    found = json.loads((folder / "out" / "comparison.json").read_text())
    assert [(r["policy"], r["value"], r["runs"]) for r in found["rows"]] == [
        ("two_tier", "1", 2), ("static", "1", 2), ("two_tier", "2", 2), ("static", "2", 2)
    ]  # fmt: skip
    first, other = found["rows"][:2]
    assert first["against_first"] is None
    pairs = [other["by_seed"][s]["on_time"] - first["by_seed"][s]["on_time"] for s in ("1", "2")]
    assert other["against_first"]["mean"] == pytest.approx(sum(pairs) / 2, abs=1e-8)
    assert all(r["on_time"]["mean"] <= r["bound"] for r in found["rows"]), "no policy beats the fluid bound"
    page = (folder / "out" / "index.html").read_text()
    assert page.count("<svg") == 2 and "<script" not in page
    lines = (folder / "out" / "comparison.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[0].startswith("policy,load,runs,on_time")
    assert ElementTree.fromstring((folder / "out" / "sweep.svg").read_text()).tag.endswith("svg")


def test_one_run_has_no_interval(folder: Path, capsys: Any) -> None:
    assert compare(folder, "--seeds", "1") == 0
    found = json.loads((folder / "out" / "comparison.json").read_text())
    for row in found["rows"]:
        assert (
            (row["on_time"]["lower"], row["on_time"]["upper"])
            == (None, None)
            == (row["cost"]["lower"], row["cost"]["upper"])
        )
    assert "[" not in capsys.readouterr().out


def test_more_seeds_than_there_are(folder: Path, capsys: Any) -> None:
    assert verify(folder, "--set", "run.seed=4294967294") == 2
    assert "claim holds: runs 3: from run.seed 4294967294 on there are 2 seeds" in capsys.readouterr().err
    assert verify(folder, "--runs", "123456789") == 2
    assert "runs 123456789: more than 100000 seeds" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--sweep", "load"), "expected PATH=VALUE,VALUE"),
        (("--sweep", "load=1,-2"), "load"),
        (("--policies", "two_tier,sttic"), "there is no policy 'sttic'. Did you mean 'static'?"),
        (("--policies", ","), "names no policy"),
        (("--sweep", "run.seed=1,2"), "--sweep run.seed: the seeds are --seeds N"),
        (("--sweep", "policy.name=static,nearest"), "--sweep policy.name: the policies are --policies A,B"),
        (("--seeds", "1000000000"), "--seeds 1000000000: more than 100000 seeds"),
        (("--set", "run.seed=4294967295"), "--seeds 2: from run.seed 4294967295 on there are 1 seeds"),
        (("--set", "run.seed=4294967296"), "4294967296 is out of bounds: it must be at most 4294967295"),
    ],
)
def test_bad_comparisons(folder: Path, capsys: Any, more: tuple[str, ...], said: str) -> None:
    assert compare(folder, *more) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()
