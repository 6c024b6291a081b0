"""`testbed vm` against a real SSH server (tests/vm/server.py): what it does, and what it says where it can't."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.server import PORT, ROOT, SSHD, Server, server, set_up

pytestmark = pytest.mark.live
SCENARIO = ROOT / "tests" / "live_run" / "short.yaml"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("capability: no SSH server here (Debian: openssh-server)")
    with server(tmp_path_factory.mktemp("ssh")) as made:
        yield made


@pytest.fixture(scope="module")
def there(far: Server) -> Path:
    """Our folder on the other machine, set up before."""
    folder = far.folder / "there"
    folder.mkdir()
    set_up(folder)
    return folder


def test_a_run_there_is_the_run_here_with_its_progress_and_whole_records(
    far: Server, there: Path, tmp_path: Path
) -> None:
    (there / "gone.py").write_text("of an earlier copy")
    done = far.vm("run", SCENARIO, "--in", "twin", "--seed", "7", "--out", tmp_path / "far", "--dir", there)
    assert done.returncode == 0, done.stderr
    assert "t " in done.stdout and "seed 7" in done.stdout, "progress and summary are shown here"
    assert f"records: {tmp_path / 'far'}" in done.stderr
    assert not [p for p in (there / "results").iterdir() if p.is_dir()], "the records moved"
    assert not (there / "gone.py").exists(), "the copy is what is here now"
    testbed = [sys.executable, "-m", "testbed.cli"]
    here = subprocess.run(
        [*testbed, "run", SCENARIO, "--in", "twin", "--seed", "7", "--out", tmp_path / "here"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert here.returncode == 0, here.stderr
    names = {p.name for p in (tmp_path / "here").iterdir()}
    assert {p.name for p in (tmp_path / "far").iterdir()} == names
    for name in ("tasks.sqlite", "events.jsonl"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


def test_the_exit_code_of_the_run_comes_back(far: Server, there: Path, tmp_path: Path) -> None:
    words = ("--in", "twin", "--dir", there, "--out", tmp_path / "out")
    done = far.vm("run", SCENARIO, *words, "--set", "claims.0.at_least=0.99", "--set", "load=9")
    assert done.returncode == 1, done.stdout + done.stderr
    assert (tmp_path / "out" / "summary.json").is_file()
    done = far.vm("run", SCENARIO, *words[:-1], tmp_path / "bad", "--set", "run.durations=3")
    assert done.returncode == 2
    assert "run.duration" in done.stdout and not (tmp_path / "bad").exists()


def test_a_scenario_from_elsewhere_goes_with_its_folder(far: Server, there: Path, tmp_path: Path) -> None:
    shutil.copy(SCENARIO, tmp_path / "mine.yaml")
    shutil.copy(SCENARIO.with_name("triangle.yaml"), tmp_path / "triangle.yaml")
    done = far.vm("run", tmp_path / "mine.yaml", "--in", "twin", "--dir", there, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (records,) = (tmp_path / "results").iterdir()
    assert json.loads((records / "summary.json").read_text())["world"] == "twin"
    assert (there / "sent" / "triangle.yaml").is_file()


def test_records_left_there_are_fetched_by_name_or_all(far: Server, there: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (there / "results" / name).mkdir(parents=True)
        (there / "results" / name / "summary.json").write_text(name)
        (there / "results" / name / "inside").mkdir()
        (there / "results" / name / "latest").symlink_to("/etc/passwd")
    assert far.vm("fetch", "two", "--dir", there, "--out", tmp_path).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["two"]
    done = far.vm("fetch", "--dir", there, "--out", tmp_path)
    assert done.returncode == 0 and "two is here already" in done.stderr
    assert (tmp_path / "one" / "summary.json").read_text() == "one"
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["inside", "summary.json"], "links stay there"
    done = far.vm("fetch", "three", "--dir", there, "--out", tmp_path)
    assert done.returncode == 2 and "there are: one, two" in done.stderr


def test_ctrl_c_here_is_ctrl_c_there(far: Server, there: Path) -> None:
    script = "trap 'echo heard; exit 130' INT; echo up; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        far.command("ssh", "--dir", there, "--", "sh", "-c", script), stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert "heard" in said and process.returncode == 130


@pytest.mark.parametrize(
    ("hosts", "says"),
    [("empty_hosts", "nobody vouches for this machine"), ("changed_hosts", "is not the one known_hosts has")],
)
def test_a_host_key_is_never_taken_on_trust(far: Server, there: Path, hosts: str, says: str) -> None:
    done = far.vm("ssh", "--known-hosts", far.folder / hosts, "--dir", there, "--", "touch", "touched")
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", far.folder / "host_key.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert done.returncode == 4
    assert says in done.stderr and fingerprint in done.stderr
    assert not (there / "touched").exists()


def test_the_line_that_is_offered_for_known_hosts_is_the_right_one(far: Server) -> None:
    done = far.vm("ssh", "--known-hosts", far.folder / "empty_hosts", "--", "true")
    (far.folder / "grown_hosts").write_text(done.stderr.strip().splitlines()[-1].strip() + "\n")
    done = far.vm("ssh", "--known-hosts", far.folder / "grown_hosts", "--dir", ".", "--", "echo", "let in")
    assert (done.returncode, done.stdout) == (0, "let in\n"), done.stderr


def test_what_keeps_us_out_is_said(far: Server) -> None:
    done = far.vm("up", "--key", far.folder / "other_key")
    assert done.returncode == 4 and "refused the key" in done.stderr and "authorized_keys" in done.stderr
    done = far.vm("up", port=PORT + 1)
    assert done.returncode == 4 and "no SSH connection" in done.stderr and "is the port right?" in done.stderr


def test_a_user_without_root_is_told_before_anything_is_installed(far: Server) -> None:
    done = far.vm("up", user="walker")
    assert done.returncode == 4
    assert "can't use sudo without being asked" in done.stderr


def test_a_machine_without_room_is_told_before_anything_is_copied(far: Server) -> None:
    done = far.vm("up", "--dir", far.folder / "small" / "ours")
    assert done.returncode == 4
    assert "GB are free" in done.stderr and "--dir" in done.stderr


def test_down_takes_our_folder_and_no_other(far: Server) -> None:
    theirs, ours = far.folder / "theirs", far.folder / "ours"
    theirs.mkdir()
    ours.mkdir()
    (theirs / "precious").touch()
    (ours / ".shaketable-vm").touch()
    for folder in (theirs, ours):
        assert far.vm("down", "--dir", folder).returncode == 0
    assert (theirs / "precious").is_file() and not ours.exists()
    done = far.vm("up", "--dir", theirs)
    assert done.returncode == 4 and "was not made by us" in done.stderr
    assert (theirs / "precious").is_file()
