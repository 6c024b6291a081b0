"""Campaigns on three machines over SSH (tests/campaign/machines.py): cuts, kills, keys; and host lists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.campaign.hosts import Machine, read_hosts
from testbed.cli import main
from testbed.errors import InputError
from testbed.vm.host import Host
from tests.campaign.machines import Machines, address, machines
from tests.campaign.test_campaign import CAMPAIGN, PRODUCTS, SHORT
from tests.vm.server import PORT, SSHD

RUNS = 16
TEXT = CAMPAIGN.replace("count: 3", f"count: {RUNS // 4}")
#: The scheduler gives up a silent worker after 5 s (Dask: 5 min), a connection is lost after 11 s, the least (30 s).
NOTICED = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s", "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}


def laid(folder: Path) -> Path:
    for name in ("short.yaml", "triangle.yaml"):
        shutil.copy(SHORT.parent / name, folder / name)
    (folder / "small.yaml").write_text(TEXT)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return laid(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """On one worker of this machine, nobody interfering."""
    folder = laid(tmp_path_factory.mktemp("undisturbed"))
    assert main(["campaign", str(folder / "small.yaml"), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return products(folder)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("capability: no SSH server here (Debian: openssh-server)")
    with machines(tmp_path_factory.mktemp("machines")) as made:
        yield made


def products(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in PRODUCTS}


def finished(folder: Path) -> int:
    return len(list((folder / "out" / "runs").rglob("complete")))


def campaign(three: Machines, folder: Path, *more: str, hosts: Path | None = None) -> subprocess.Popen[str]:
    words = ["-m", "testbed.cli", "campaign", str(folder / "small.yaml"), "--out", str(folder / "out")]
    return three.python(*words, *three.words(hosts or three.hosts("workers=0", "", "")), *more, **NOTICED)


def wait(until: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    while not until():
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)


def scratches() -> set[str]:
    return {p.name for p in Path("/tmp").iterdir() if re.fullmatch("shaketable-[0-9a-f]{16}", p.name)}


def gone(three: Machines) -> None:
    """Nothing of ours stays on the machines. The kernel sends again after a cut, at growing intervals."""
    until = time.monotonic() + 60
    while left := three.left():
        assert time.monotonic() < until, left
        time.sleep(0.1)


@pytest.mark.live
def test_a_machine_cut_off_until_the_end(three: Machines, folder: Path, undisturbed: dict[str, bytes]) -> None:
    before = scratches()
    process = campaign(three, folder)
    wait(lambda: finished(folder), process)
    three.cut(2)
    at_cut = finished(folder)
    wait(lambda: finished(folder) == RUNS, process)
    three.heal(2)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert at_cut < RUNS, "cut too late to mean anything"
    counted = [line for line in said.splitlines() if line.startswith("[") and ": done" in line]
    assert len(counted) == RUNS, "no run is counted twice"
    assert products(folder) == undisturbed
    gone(three)
    assert scratches() <= before, "keys and folders are gone too"


@pytest.mark.live
@pytest.mark.long
def test_the_scheduler_s_machine_cut_off_and_the_client_killed(
    three: Machines, folder: Path, undisturbed: dict[str, bytes]
) -> None:
    process = campaign(three, folder)
    wait(lambda: finished(folder), process)
    three.cut(0)
    said, _ = process.communicate(timeout=120)
    three.heal(0)
    assert process.returncode == 4 and "--resume carries on" in said
    gone(three)
    there = finished(folder)
    assert 0 < there < RUNS
    process = campaign(three, folder, "--resume")
    wait(lambda: finished(folder) > there, process)
    process.kill()
    process.wait()
    gone(three)
    assert finished(folder) < RUNS
    process = campaign(three, folder, "--resume")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert products(folder) == undisturbed


@pytest.mark.live
def test_a_machine_nobody_vouches_for(three: Machines, folder: Path) -> None:
    process = campaign(three, folder, "--known-hosts", str(three.folder / "changed_hosts"))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 4 and "its host key is not the one known_hosts has" in said
    assert not (folder / "out" / "runs").exists()
    gone(three)


@pytest.mark.live
def test_a_machine_without_us(three: Machines, folder: Path) -> None:
    hosts = three.hosts("workers=0", "", f"dir={folder}")
    process = campaign(three, folder, hosts=hosts)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"testbed vm up --host root@{address(2)}:{PORT} --dir {folder} --in twin" in said


def test_a_host_list(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(
        "me@10.0.0.1 workers=0  # the scheduler alone\n\nme@10.0.0.2:2222 workers=4 dir=/opt/us\nroot@c live\n"
    )
    assert read_hosts(file) == (
        Machine(Host("me", "10.0.0.1", 22), 0),
        Machine(Host("me", "10.0.0.2", 2222), 4, folder="/opt/us"),
        Machine(Host("root", "c", 22), 1, live=True),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("me@a worker=2\n", "hosts:1: 'worker=2' means nothing here. Did you mean 'workers'?"),
        ("\nme@a workers=two\n", "hosts:2: workers=two: a whole number from 0 to 256"),
        ("me@a live workers=2\n", "a machine for live runs has one worker"),
        ("me@a live=1\n", "'live=1' means nothing here"),
        ("me@a\nme@a\n", "hosts:2: me@a stands there twice; workers=2 makes two"),
        ("me@a b c@:x\n", "hosts:1: 'b' means nothing here"),
        ("me@-oops:x\n", "hosts:1: 'me@-oops:x': write user@host[:port]"),
        ("# nobody\n", "names no machine with a worker"),
        ("me@a workers=0\n", "names no machine with a worker"),
        ("me@a dir=\n", "dir= names no folder"),
    ],
)
def test_a_bad_host_list(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(InputError) as error:
        read_hosts(tmp_path / "hosts")
    assert said in str(error.value)


def test_words_that_do_not_go_with_hosts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["campaign", str(folder / "small.yaml"), "--out", str(folder / "out")]
    (folder / "hosts").write_text("me@a\n")
    assert main([*words, "--hosts", str(folder / "hosts"), "--workers", "2"]) == 2
    assert "--hosts says who works" in capsys.readouterr().err
    assert main([*words, "--key", str(folder / "k")]) == 2 and "of --hosts FILE" in capsys.readouterr().err
    assert main([*words, "--hosts", str(folder / "nowhere")]) == 2 and "can't be read" in capsys.readouterr().err
    assert not (folder / "out").exists() and os.listdir(folder)
