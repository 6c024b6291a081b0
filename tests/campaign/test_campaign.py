"""Campaigns in the twin on real workers of `distributed`, over loopback: bytes, kills, refusals."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet
import pytest

from testbed.campaign.campaign_file import read_plan
from testbed.campaign.parcel import Bundle, Made, Order, carry_out, put
from testbed.cli import main
from testbed.errors import CannotRun
from testbed.verdict.cells import Cell

SHORT = Path(__file__).parents[1] / "live_run" / "short.yaml"
ROOT = Path(__file__).parents[2]
CAMPAIGN = """
name: small
question: Does a small campaign come to its end?
scenario: short.yaml
set: {run.duration: 3 s, run.warmup: 500 ms}
grid:
  load: [1, 2]
policies: [two_tier, static]
seeds: {count: 3}
"""
RUNS = 12
PRODUCTS = ("plan.json", "results.parquet", "twin/comparison.json", "twin/comparison.csv", "twin/index.html")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("short.yaml", "triangle.yaml"):
        shutil.copy(SHORT.parent / name, tmp_path / name)
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the campaign gives on one worker, nobody interfering."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name in ("short.yaml", "triangle.yaml"):
        shutil.copy(SHORT.parent / name, folder / name)
    (folder / "small.yaml").write_text(CAMPAIGN)
    assert campaign(folder, "--workers", "1") == 0
    return products(folder)


def campaign(folder: Path, *more: str) -> int:
    return main(["campaign", str(folder / "small.yaml"), "--out", str(folder / "out"), *more])


def products(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in PRODUCTS}


def finished(folder: Path) -> list[Path]:
    return sorted((folder / "out" / "runs").rglob("complete"))


@contextlib.contextmanager
def running(*words: str, **options: bool) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, ended at the end of the block, by its id."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def words(folder: Path, *more: str) -> list[str]:
    return ["-m", "testbed.cli", "campaign", str(folder / "small.yaml"), "--out", str(folder / "out"), *more]


def wait(until: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    while not until():
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)


def test_two_workers_give_the_bytes_of_one(folder: Path, undisturbed: dict[str, bytes], capsys: Any) -> None:
    assert campaign(folder, "--workers", "2") == 0
    assert products(folder) == undisturbed
    said = capsys.readouterr()
    assert f"[{RUNS}/{RUNS}]" in said.err and "[" not in said.out, "progress is no result"
    assert len(finished(folder)) == RUNS and all((f.parent / "report.html").is_file() for f in finished(folder))
    table = pyarrow.parquet.read_table(folder / "out" / "results.parquet")
    assert table.num_rows == RUNS and set(table["error"].to_pylist()) == {None}
    assert table["set.load"].to_pylist() == [1] * 6 + [2] * 6 and table["seed"].to_pylist() == [1, 2, 3] * 4
    assert table["policy"].to_pylist() == (["two_tier"] * 3 + ["static"] * 3) * 2
    offered = table["tasks.offered"].to_pylist()
    parts = [table[f"tasks.{p}"].to_pylist() for p in ("on_time", "late", "lost")]
    assert offered == [sum(row) for row in zip(*parts, strict=True)]
    assert not [name for name in table.column_names if "seconds" in name and "migrations" not in name]
    assert not [name for name in table.column_names if name.startswith("controller")], "what a clock measured"


def test_the_client_killed_and_resumed(folder: Path, undisturbed: dict[str, bytes], capsys: Any) -> None:
    with running(*words(folder, "--workers", "1")) as process:
        wait(lambda: finished(folder), process)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        psutil.wait_procs(workers)  # they end by themselves
    before = {f: f.stat().st_mtime_ns for f in finished(folder)}
    assert 0 < len(before) < RUNS, "killed too late to mean anything"
    (next(iter(before)).parent / "summary.json").write_text("{")  # one damaged on top: made again
    assert campaign(folder) == 2 and "--resume carries it on" in capsys.readouterr().err
    assert campaign(folder, "--resume", "--workers", "1") == 0
    assert products(folder) == undisturbed
    again = [f for f, at in before.items() if f.stat().st_mtime_ns != at]
    assert again == [next(iter(before))], "what was there is not made twice"


def test_ctrl_c_ends_client_and_workers_without_tracebacks(folder: Path) -> None:
    with running(*words(folder, "--workers", "2"), start_new_session=True) as process:
        wait(lambda: finished(folder), process)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait() == 130
        psutil.wait_procs(workers)
    assert "testbed: interrupted" in said and "Traceback" not in said


def test_a_worker_killed(folder: Path, undisturbed: dict[str, bytes]) -> None:
    with running(*words(folder, "--workers", "2")) as process:
        wait(lambda: finished(folder), process)
        spawned = [p for p in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in str(p.cmdline())]
        spawned[-1].send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        assert process.returncode == 0, said
    counted = [line for line in said.splitlines() if line.startswith("[") and ": done" in line]  # others: it goes on
    assert len(counted) == RUNS, "no run is counted twice"
    assert products(folder) == undisturbed


def test_a_scheduler_of_ones_own(folder: Path, undisturbed: dict[str, bytes], capsys: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = ["-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    worker += ["--local-directory", str(folder)]
    with running(*scheduler) as first:
        assert campaign(folder, "--scheduler", address) == 4, "no worker yet"
        assert "has no worker; start some" in capsys.readouterr().err
        with running(*worker):
            (folder / "live.yaml").write_text(CAMPAIGN + "worlds: [live]\n")
            while (code := main(["campaign", str(folder / "live.yaml"), "--out", str(folder / "live"),
                                 "--scheduler", address, "--resume"])) == 4:  # fmt: skip
                if "takes any; start one" in capsys.readouterr().err:
                    break
            assert code == 4, "a live plan needs a worker with LIVE=1"
            assert campaign(folder, "--scheduler", address, "--resume") == 0
            assert products(folder) == undisturbed
            shutil.rmtree(folder / "out")
            with running(*words(folder, "--scheduler", address)) as process:
                wait(lambda: finished(folder), process)
                first.kill()
                said, _ = process.communicate()
                assert process.returncode == 4 and "--resume carries on" in said
    assert campaign(folder, "--resume", "--workers", "1") == 0
    assert products(folder) == undisturbed


def test_a_live_worker_that_can_t_make_live_runs_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (folder / "small.yaml").write_text(CAMPAIGN + "worlds: [live]\n")
    monkeypatch.setenv("PATH", str(folder))
    assert campaign(folder) == 4
    said = capsys.readouterr().err
    assert "workers that declare live runs can't make any" in said and "ovs-vsctl is missing" in said
    assert not finished(folder) and not (folder / "out" / "runs").exists(), "told before the first run"


@pytest.mark.live
@pytest.mark.long
def test_ten_live_runs_on_one_worker(tmp_path: Path, capsys: Any) -> None:
    """tests/live_run/ten.yaml, its client killed once on the way."""
    file = ROOT / "tests" / "live_run" / "ten.yaml"
    words = ["campaign", str(file), "--out", str(tmp_path / "out")]
    with running("-m", "testbed.cli", *words) as process:
        wait(lambda: finished(tmp_path), process)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        psutil.wait_procs(workers)
    before = {f: f.stat().st_mtime_ns for f in finished(tmp_path)}
    assert main([*words, "--resume"]) == 0
    assert len(finished(tmp_path)) == 10 and all(f.stat().st_mtime_ns == at for f, at in before.items())
    table = pyarrow.parquet.read_table(tmp_path / "out" / "results.parquet")
    assert table["world"].to_pylist() == ["live"] * 10 and set(table["error"].to_pylist()) == {None}
    offered = table["tasks.offered"].to_pylist()
    parts = [table[f"tasks.{p}"].to_pylist() for p in ("on_time", "late", "lost")]
    assert offered == [sum(row) for row in zip(*parts, strict=True)]


def test_a_changed_plan_is_refused(folder: Path, capsys: Any) -> None:
    tiny = CAMPAIGN.replace("count: 3", "count: 1")
    (folder / "small.yaml").write_text(tiny)
    assert campaign(folder, "--workers", "1") == 0
    before = products(folder)
    for old, new in (("count: 1", "count: 2"), ("[1, 2]", "[1, 3]"), ("duration: 3 s", "duration: 4 s")):
        (folder / "small.yaml").write_text(tiny.replace(old, new))
        assert campaign(folder, "--resume") == 2
        assert "holds another experiment" in capsys.readouterr().err
    (folder / "small.yaml").write_text(tiny)
    short = (folder / "short.yaml").read_text()
    (folder / "short.yaml").write_text(short.replace("rate: 16 /s", "rate: 17 /s"))
    assert campaign(folder, "--resume") == 2 and "holds another experiment" in capsys.readouterr().err
    assert products(folder) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "policies: [two_tier, static]",
            "policies: [two_tier, statik]",
            "8:22: policies.1: there is no policy 'statik'",
        ),
        ("load: [1, 2]", "load: [1, -2]", "7:13: grid.load.1:"),
        ("load: [1, 2]", "laod: [1, 2]", "7:10: grid.laod.0: there is no key 'laod'. Did you mean 'load'?"),
        ("load: [1, 2]", "run.seed: [1, 2]", "the seeds are `seeds: {first: 1, count: 10}`"),
        ("load: [1, 2]", "load: [1, 1]", "stands there twice"),
        ("load: [1, 2]", "load: []", "7:3: grid.load: needs at least 1 entry"),
        ("seeds: {count: 3}", "seeds: {count: 0}", "9:9: seeds.count:"),
        ("seeds: {count: 3}", "seed: {count: 3}", "9:1: seed: there is no key 'seed'. Did you mean 'seeds'?"),
        ("seeds: {count: 3}", "worlds: [moon]", "9:10: worlds.0: 'moon' is not allowed here"),
        ("seeds: {count: 3}", "settings: [{load: 3}]", "9:1: settings: stands beside a grid"),
        ("short.yaml", "shrot.yaml", "4:1: scenario: there is no file 'shrot.yaml'"),
        ("short.yaml", "dmeo", "4:1: scenario: there is no shipped scenario 'dmeo'. Did you mean 'demo'?"),
        ("short.yaml", "../short.yaml", "4:1: scenario: there is no shipped scenario"),
        ("run.duration: 3 s", "run.duration: 3 m", "5:7: set.run.duration:"),
    ],
)
def test_a_bad_file(folder: Path, old: str, new: str, said: str, capsys: Any) -> None:
    assert old in CAMPAIGN
    (folder / "small.yaml").write_text(CAMPAIGN.replace(old, new))
    assert campaign(folder) == 2
    err = capsys.readouterr().err
    assert f"{folder / 'small.yaml'}:" in err and said in err
    assert not (folder / "out").exists(), "nothing is made before the plan is right"


def test_what_can_t_be_made_is_told_and_tried_again(folder: Path, capsys: Any) -> None:
    """The twin emulates no CPU; the rest of the campaign goes on."""
    text = CAMPAIGN.replace("load: [1, 2]", "run.mode: [idle, busy]").replace("count: 3", "count: 1")
    (folder / "small.yaml").write_text(text)
    assert campaign(folder, "--workers", "1") == 3
    assert "2 of 4 runs could not be made" in capsys.readouterr().err
    errors = pyarrow.parquet.read_table(folder / "out" / "results.parquet")["error"].to_pylist()
    assert [e is None for e in errors] == [True, True, False, False]
    assert all("run.mode 'busy'" in e for e in errors[2:])


def test_a_worker_that_is_another_build_works_for_nobody(folder: Path) -> None:
    plan = read_plan(folder / "small.yaml", "")
    order = Order(Bundle.of(plan.file, [plan.base]), "twin", (("r0", Cell(plan.base, 1)),), {"build": "another"})
    with pytest.raises(CannotRun, match="build another here"):
        carry_out(order)


@pytest.mark.parametrize("files", [{}, {"complete": b"", "../../x": b""}, {"complete": b"no zlib"}])
def test_what_a_worker_sends_is_not_trusted(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(CannotRun):
        put(Made("r0", None, files), tmp_path / "runs" / "s1")
    assert not (tmp_path / "runs" / "s1").exists() and not (tmp_path / "x").exists()
