"""A name that somebody else holds: the run says so and goes, and theirs stays as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.world.live.names import Names
from tests.live_run.kit import CALM, Run, docker, ready
from tests.world.live.hosts_kit import image

pytestmark = pytest.mark.live


@pytest.fixture
def undo() -> Iterator[list[Callable[[], object]]]:
    steps: list[Callable[[], object]] = []
    yield steps
    for step in reversed(steps):
        step()


def shell(*words: str) -> str:
    return subprocess.check_output(words, text=True, timeout=20).strip()


def test_a_container_s_name(tmp_path: Path, undo: list[Callable[[], object]]) -> None:
    run = Run(ready(*CALM), tmp_path / "run")
    name = run.container("n3")
    theirs = docker("create", "--name", name, "--network", "none", image(), "python3", "-c", "pass")
    undo.append(lambda: docker("rm", theirs))
    with pytest.raises(CannotRun, match=f"the container name {name} is held by a container that is not ours"):
        run()
    assert docker("inspect", "-f", "{{.Id}} {{.State.Status}}", name) == f"{theirs} created"
    assert not run.folder.exists()


def test_a_bridge_s_name(tmp_path: Path, undo: list[Callable[[], object]]) -> None:
    run = Run(ready(*CALM), tmp_path / "run")
    name = run.names.bridge(1)
    shell("ovs-vsctl", "--timeout=10", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev",
          "external_ids:owner=somebody")  # fmt: skip
    undo.append(lambda: shell("ovs-vsctl", "--timeout=10", "del-br", name))
    uuid = shell("ovs-vsctl", "get", "bridge", name, "_uuid")
    with pytest.raises(CannotRun, match=name):
        run()
    assert shell("ovs-vsctl", "get", "bridge", name, "_uuid") == uuid
    assert shell("ovs-vsctl", "get", "bridge", name, "external_ids:owner") == "somebody"
    assert not run.folder.exists()


def test_an_interface_s_name(tmp_path: Path, undo: list[Callable[[], object]]) -> None:
    """Without our mark, with an address of theirs."""
    run = Run(ready(*CALM), tmp_path / "run")
    name = run.names.port(0, "a")
    shell("ip", "tuntap", "add", "dev", name, "mode", "tap")
    undo.append(lambda: shell("ip", "tuntap", "del", "dev", name, "mode", "tap"))
    shell("ip", "link", "set", name, "alias", "somebody's")
    index = Path(f"/sys/class/net/{name}/ifindex").read_text()
    with pytest.raises(CannotRun, match=name):
        run()
    assert Path(f"/sys/class/net/{name}/ifindex").read_text() == index
    assert Path(f"/sys/class/net/{name}/ifalias").read_text().strip() == "somebody's"


def test_the_folder_of_a_run_with_the_same_number(tmp_path: Path, undo: list[Callable[[], object]]) -> None:
    run = Run(ready(*CALM), tmp_path / "run")
    folder = Path(Names(run.run_id).folder)
    folder.mkdir(parents=True)
    (folder / "theirs").write_text("precious")
    undo.append(lambda: [(folder / "theirs").unlink(), folder.rmdir()])
    with pytest.raises(CannotRun, match=str(folder)):
        run()
    assert (folder / "theirs").read_text() == "precious"
