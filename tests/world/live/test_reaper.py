"""Runs that die, by SIGKILL and in the middle: nothing of theirs stays, nothing of anybody else's goes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.world.live import ledger, reaper, undo
from testbed.world.live.clean import clean
from testbed.world.live.names import LABEL, Names
from tests.world.live import hosts_kit

pytestmark = pytest.mark.live

#: A run's owner. It makes an interface pair and a bridge, says so, then pods, and then waits for its end.
OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from testbed.world.live import ledger, reaper
from testbed.world.live.docker_hosts import DockerHosts, Limits
from testbed.world.live.clean import clean
from testbed.world.live.names import LABEL, Names
from tests.world.live import hosts_kit

names, image, pods, watched = Names(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "watched"
folder = Path(names.folder)
book = ledger.Ledger(names.run_id, folder)
if watched:
    reaper.spawn(folder)
book.add_all([("interface", {"name": names.port(0, "a")}), ("bridge", {"name": names.bridge(0)})])
subprocess.run(["ip", "link", "add", names.port(0, "a"), "type", "veth", "peer", names.port(0, "b")], check=True)
subprocess.run(["ovs-vsctl", "--timeout=10", "add-br", names.bridge(0), "--", "set", "bridge", names.bridge(0),
                "datapath_type=netdev", f"external_ids:{LABEL}={names.run_id}"], check=True)
book.add("process", what="sleeper")
subprocess.Popen(["sleep", "600"], env=ledger.marked_environment(names.run_id), start_new_session=True)
print("wired", flush=True)
hosts = DockerHosts(names, book, image, folder)
hosts.start_pods({f"n{i}": Limits(0.5, 128 * 2**20) for i in range(pods)}, hosts_kit.PAUSE)
print("up", flush=True)
signal.pause()
"""


@contextmanager
def owner(run_id: str, *, pods: int, watched: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OWNER, run_id, hosts_kit.image(), str(pods), "watched" if watched else "alone"]
    root = str(Path(__file__).resolve().parents[3])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        await_that(lambda: gone(run_id))


def gone(run_id: str) -> bool:
    """Nothing is left; what is left although no reaper lives is removed here, so that a failure harms no other test."""
    if hosts_kit.traces(run_id) and not reaper_lives(run_id):
        pending = ledger.read(Path(Names(run_id).folder)).pending
        undo.entries(run_id, pending)
        undo.everything(run_id, [str(e.fields["name"]) for e in pending if e.kind == "interface"])
        shutil.rmtree(Names(run_id).folder, ignore_errors=True)
    return hosts_kit.traces(run_id) == []


def reaper_lives(run_id: str) -> bool:
    return any(
        b"testbed.world.live.reaper" in words and Names(run_id).folder.encode() in words
        for words in map(command_line, Path("/proc").glob("[0-9]*"))
    )


def command_line(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def await_that(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def containers(run_id: str) -> list[str]:
    return [t for t in hosts_kit.traces(run_id) if t.startswith("container")]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_sigkill_in_the_middle_of_creating_pods_leaves_nothing() -> None:
    run_id = hosts_kit.new_run_id()
    with owner(run_id, pods=12, watched=True) as process:
        assert read_line(process) == "wired"
        await_that(lambda: bool(containers(run_id)))
        process.kill()
        assert 0 < len(containers(run_id)) < 12  # really in the middle
        await_that(lambda: not reaper_lives(run_id))
        assert hosts_kit.traces(run_id) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_owner_and_reaper_alike_leaves_nothing(number: signal.Signals) -> None:
    """A closed terminal or a service manager signals both: the reaper stays and does its work."""
    run_id = hosts_kit.new_run_id()
    with owner(run_id, pods=1, watched=True) as process:
        assert [read_line(process), read_line(process)] == ["wired", "up"]
        watcher = next(p for p in Path("/proc").glob("[0-9]*") if b"testbed.world.live.reaper" in command_line(p)
                       and Names(run_id).folder.encode() in command_line(p))  # fmt: skip
        os.kill(int(watcher.name), number)
        process.send_signal(number)
        process.wait()
        await_that(lambda: not reaper_lives(run_id))
        assert hosts_kit.traces(run_id) == []


def test_clean_skips_the_living_removes_the_dead_and_can_be_run_twice() -> None:
    dead, living = hosts_kit.new_run_id(), hosts_kit.new_run_id()
    with owner(dead, pods=2, watched=False) as victim, owner(living, pods=1, watched=True) as other:
        for process in (victim, other):
            assert [read_line(process), read_line(process)] == ["wired", "up"]
        victim.kill()
        victim.wait()
        before = hosts_kit.traces(living)

        planned = clean(dead, plan=True)
        assert len(containers(dead)) == 2  # a plan touches nothing
        assert f"run {dead}: would remove bridge {Names(dead).bridge(0)}" in planned
        said = clean(dead)
        assert sum("container" in line for line in said) == 2 and hosts_kit.traces(dead) == []
        assert clean(dead) == []

        assert clean(living) == [f"run {living}: process {other.pid} is alive, left alone (`testbed down` ends it)"]
        assert hosts_kit.traces(living) == before


def test_labelled_things_without_a_ledger_are_a_dead_run() -> None:
    run_id = hosts_kit.new_run_id()
    names = Names(run_id)
    subprocess.run(["ip", "link", "add", names.port(1, "a"), "type", "dummy"], check=False)
    if not Path(f"/sys/class/net/{names.port(1, 'a')}").exists():
        subprocess.run(["ip", "tuntap", "add", "dev", names.port(1, "a"), "mode", "tap"], check=True)
    subprocess.run(["ip", "link", "set", names.port(1, "a"), "alias", f"{LABEL}={run_id}"], check=True)
    assert clean(run_id) == [f"run {run_id}: interface {names.port(1, 'a')}"]
    assert hosts_kit.traces(run_id) == []


def test_nothing_of_others_is_touched() -> None:
    """A container, a bridge and an interface that only look like ours, even with the run's own names."""
    run_id = hosts_kit.new_run_id()
    names = Names(run_id)
    stranger, bridge, link = names.container("n0"), f"x{names.tag}-s0", f"x{names.tag}-0a"
    docker = ["docker", "run", "-d", "--network=none", "--name", stranger, hosts_kit.image(), *hosts_kit.PAUSE]
    subprocess.run(docker, check=True, capture_output=True)
    subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", f"x{names.tag}-0b"], check=True)
    userspace = ["set", "bridge", bridge, "datapath_type=netdev"]
    subprocess.run(["ovs-vsctl", "--timeout=10", "add-br", bridge, "--", *userspace], check=True)
    try:
        folder = Path(names.folder)
        book = ledger.Ledger(run_id, folder)
        book.add_all([("container", {"name": stranger}), ("bridge", {"name": bridge}), ("interface", {"name": link})])
        book.add("folder", path="/var/tmp")
        book.add("cgroup", path="/")
        assert reaper.sweep(folder, lambda line: None, 5.0) == []
        shown = subprocess.check_output(["docker", "ps", "--format", "{{.Names}}"], text=True).split()
        assert stranger in shown and Path("/var/tmp").is_dir() and Path(f"/sys/class/net/{link}").exists()
        assert bridge in subprocess.check_output(["ovs-vsctl", "list-br"], text=True).split()
        shutil.rmtree(folder)
    finally:
        subprocess.run(["docker", "rm", "-f", stranger], check=True, capture_output=True)
        subprocess.run(["ip", "link", "del", link], check=True)
        subprocess.run(["ovs-vsctl", "--timeout=10", "del-br", bridge], check=True)


def test_a_recycled_pid_is_not_killed() -> None:
    """Same pid, another start time: another process."""
    sleeper = subprocess.Popen(["sleep", "60"], env=ledger.marked_environment("r1"))
    started = ledger.start_time(sleeper.pid)
    assert started is not None
    # for a moment after exec the kernel shows an empty environment; a reaper looks again, this test looks once
    end = time.monotonic() + 10.0
    while not undo.find_processes("r1") and time.monotonic() < end:
        time.sleep(0.01)
    try:
        assert undo.remove_processes("r1", [(sleeper.pid, started + 1)]) == []
        assert sleeper.poll() is None
        assert undo.remove_processes("r2", [(sleeper.pid, started)]) == []  # another run's, whatever a ledger says
        assert undo.remove_processes("r1", [(sleeper.pid, started)]) == [f"process {sleeper.pid}"]
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_reaper_leaves_when_the_ledger_is_closed() -> None:
    names = Names(hosts_kit.new_run_id())
    book = ledger.Ledger(names.run_id, Path(names.folder))
    watcher = reaper.spawn(Path(names.folder))
    assert book.close() == []
    reaper.leave(watcher)
    assert watcher.returncode == 0 and not Path(names.folder).exists()
    reaper.leave(watcher)  # twice is once


def test_clean_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="sudo testbed clean"):
        clean()
