"""A machine that can't: `run` ends with 4, says what is missing and what mends it, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.kit import ROOT, Command, python, tree
from tests.scenario.small import GOOD, written

RUNS = Path("/run/shaketable")
NOBODY = 65534


@pytest.fixture
def anybody(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user can write to, and reach."""
    folder = Path(tempfile.mkdtemp(prefix="anybody-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def runs() -> set[str]:
    return {f.name for f in RUNS.iterdir()} if RUNS.is_dir() else set()


def test_without_root(anybody: Path) -> None:
    path = written(anybody)
    path.chmod(0o644)
    under = []
    if os.geteuid() == 0:
        under = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if python("-c", "import testbed.cli", under=under).returncode != 0:
            pytest.skip("nobody may not read this checkout or its environment")
    before = runs()
    done = python("-m", "testbed.cli", "run", str(path), "--out", str(anybody / "records"), under=under)
    assert done.returncode == 4, done.stderr
    assert "testbed: root: a live run makes namespaces, containers and bridges → sudo ./shaketable demo" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(anybody) == ["scenario.yaml"]
    assert runs() == before


def test_clean_without_root(anybody: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming nobody needs root")
    under = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if python("-c", "import testbed.cli", under=under).returncode != 0:
        pytest.skip("nobody may not read this checkout or its environment")
    done = python("-m", "testbed.cli", "clean", under=under)
    assert (done.returncode, done.stderr) == (
        4,
        "testbed: removing containers, bridges and interfaces needs root: `sudo testbed clean`\n",
    )


NO_DOCKER = "Docker: nodes are containers; "
NO_SWITCH = "Open vSwitch: switches are its bridges; ovs-vswitchd does not answer → sudo ./shaketable demo"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DOCKER_HOST", "unix:///nonexistent", (f"{NO_DOCKER}not running → sudo", f"{NO_DOCKER}not installed → ./sh")),
        (
            "DOCKER_HOST",
            "tcp://192.0.2.1:2375",
            (f"{NO_DOCKER}DOCKER_HOST is tcp://192.0.2.1:2375: the daemon must be on this machine → unset",),
        ),
        ("OVS_RUNDIR", "/nonexistent", (NO_SWITCH, "ovs-vsctl: a live run calls `ovs-vsctl` → ./shaketable setup")),
    ],
)
def test_without_docker_or_open_vswitch(
    testbed: Command, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: tuple[str, ...]
) -> None:
    if variable == "OVS_RUNDIR" and os.geteuid() != 0:
        pytest.skip("only root can tell whether Open vSwitch runs")
    monkeypatch.setenv(variable, value)
    before = runs()
    assert testbed("run", written(testbed.folder), "--out", "records") == 4
    assert any(sentence in testbed.err for sentence in says), testbed.err
    assert tree(testbed.folder) == ["scenario.yaml"], "a run that never began left a folder"
    assert runs() == before


def test_a_folder_that_was_there_stays(testbed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    (testbed.folder / "records").mkdir()
    assert testbed("run", written(testbed.folder), "--out", "records") == 4
    assert tree(testbed.folder) == ["records", "scenario.yaml"]


def test_a_question_with_brackets_does_not_upset_the_table(testbed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    path = written(testbed.folder, GOOD, ("Does it work?", '"does [/b] hold [red]?"'))
    assert testbed("run", path) == 4
    assert "does [/b] hold [red]?" in testbed.err


def test_doctor_says_that_live_runs_are_not_possible(testbed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    assert testbed("doctor") == 4
    assert "live runs: not possible here" in testbed.out
    assert testbed("doctor", "--json") == 4
    assert '"live": false' in testbed.out


def test_more_hosts_than_one_machine_wires(testbed: Command) -> None:
    """`check` says so, and `run` does not begin."""
    crowd = ("topology: metro9", "topology: {generator: line, sites: 210}")
    path = written(testbed.folder, GOOD, crowd, ("target: s1--s2", "target: any trunk"))
    assert testbed("check", path) == 0
    assert "the live world can't: 420 hosts: at most 200" in testbed.out
    assert testbed("run", path, "--policy", "nearest") == 4
    assert "the live world can't run this scenario:\n  420 hosts: at most 200" in testbed.err
    assert tree(testbed.folder) == ["scenario.yaml"]


def test_a_defect_is_not_taken_for_a_failed_claim(testbed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback's own exit code would be 1, which says that a claim failed."""
    from testbed.run import prepare

    def broken(*_: object) -> None:
        raise ZeroDivisionError("as if")

    monkeypatch.setattr(prepare, "resolve", broken)
    assert testbed("plan", ROOT / "scenarios" / "demo.yaml") == 4
    assert "ZeroDivisionError: as if" in testbed.err and "this is a defect of testbed" in testbed.err
