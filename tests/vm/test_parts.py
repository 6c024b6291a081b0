"""What is written for a machine, what is sent to it, and what comes back: without a machine."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from testbed.errors import CannotRun, InputError
from testbed.vm import project
from testbed.vm.fetch import Incoming
from testbed.vm.host import parse
from tests.cli.kit import Command


@pytest.mark.parametrize(
    ("text", "user", "name", "port", "known_as"),
    [
        ("me@host", "me", "host", 22, "host"),
        ("me@host.example.org:2222", "me", "host.example.org", 2222, "[host.example.org]:2222"),
        ("root@10.0.0.2:22", "root", "10.0.0.2", 22, "10.0.0.2"),
        ("me@[fd00::2]:2222", "me", "fd00::2", 2222, "[fd00::2]:2222"),
    ],
)
def test_machines_as_they_are_written(text: str, user: str, name: str, port: int, known_as: str) -> None:
    host = parse(text)
    assert (host.user, host.name, host.port, host.known_as) == (user, name, port, known_as)
    assert parse(str(host)) == host


@pytest.mark.parametrize("text", ["", "me@", "me@host:0", "me@host:99999", "me@-oProxyCommand=x", "a b", "me@fd00::2"])
def test_what_is_no_machine_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--host"):
        parse(text)


def test_no_machine_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    testbed = Command(tmp_path, capsys)
    assert testbed("vm", "up", "--host", "") == 2
    assert "SHAKETABLE_HOST" in testbed.err


def test_history_environment_and_results_stay_here(tmp_path: Path) -> None:
    for name in (".git/x", ".venv/x", "results/r/x", "a/__pycache__/x", "shaketable", "a/results/x", ".ci/run"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "out").symlink_to("/etc/passwd")
    assert [str(p) for p in project.files(tmp_path)] == [".ci/run", "a/results/x", "shaketable"]


def test_a_topology_from_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").touch()
    with pytest.raises(InputError, match="put it into topologies"):
        project.setting(f"topology={tmp_path / 'net.yaml'}")
    assert project.setting(f"topology={project.ROOT / 'topologies/metro9.yaml'}") == "topology=topologies/metro9.yaml"
    assert project.setting("load=2") == "load=2"


def archive(*entries: tuple[str, bytes, bytes]) -> io.BytesIO:
    """Of (name, type, contents)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, kind, contents in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(contents), "/etc/passwd"
            tar.addfile(entry, io.BytesIO(contents))
    return io.BytesIO(raw.getvalue())


def test_records_arrive_whole(tmp_path: Path) -> None:
    with Incoming(tmp_path / "r") as incoming:
        got = incoming.unpack(archive(("./", tarfile.DIRTYPE, b""), ("./a/b", tarfile.REGTYPE, b"text")))
        assert got == 4 and not (tmp_path / "r").exists()
        incoming.settle()
    assert (tmp_path / "r" / "a" / "b").read_bytes() == b"text"
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("../x", tarfile.REGTYPE), ("/x", tarfile.REGTYPE), ("x", tarfile.SYMTYPE), ("x", tarfile.FIFOTYPE)],
)
def test_what_does_not_belong_into_records_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    with pytest.raises(CannotRun), Incoming(tmp_path / "r") as incoming:
        incoming.unpack(archive((name, kind, b"")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_records_cut_short_are_absent(tmp_path: Path, share: float) -> None:
    whole = archive(("a", tarfile.REGTYPE, bytes(range(256)) * 400)).getvalue()
    with pytest.raises(CannotRun, match="not whole"), Incoming(tmp_path / "r") as incoming:
        incoming.unpack(io.BytesIO(whole[: int(share * len(whole))]))
    assert list(tmp_path.iterdir()) == []


def test_what_is_here_already_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").touch()
    with pytest.raises(InputError, match="not overwritten"):
        Incoming(tmp_path / "r")
