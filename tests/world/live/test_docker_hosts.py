"""Pods and services as the kernel and Docker see them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from testbed.errors import CannotRun
from testbed.world.live import containers, engine, ledger
from testbed.world.live.docker_hosts import DockerHosts, Limits
from tests.world.live import hosts_kit
from tests.world.live.hosts_kit import BURN, PAUSE

pytestmark = pytest.mark.live


@pytest.fixture
def hosts() -> Iterator[DockerHosts]:
    with hosts_kit.run() as made:
        yield made


def until_ended(pid: int) -> None:
    """Wait in the kernel for the end of a process that is not our child."""
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)


def test_services_share_the_namespace_and_the_cgroup_of_their_node(hosts: DockerHosts) -> None:
    pods = hosts.start_pods({"n1": Limits(1.0, 2**28), "n2": Limits(None, None)}, PAUSE)
    here = os.readlink("/proc/self/ns/net")
    first, second = (hosts.start_service(id, "n1", PAUSE) for id in ("a", "b"))
    other = hosts.start_service("c", "n2", PAUSE)
    spaces = [os.readlink(f"/proc/{p}/ns/net") for p in (pods["n1"].pid, first.pid, second.pid)]
    assert len({*spaces, here}) == 2 and len(set(spaces)) == 1
    assert os.readlink(f"/proc/{other.pid}/ns/net") == os.readlink(f"/proc/{pods['n2'].pid}/ns/net") != spaces[0]
    for pid in (pods["n1"].pid, first.pid, second.pid):
        assert f"{hosts.names.cgroup}/n1/" in Path(f"/proc/{pid}/cgroup").read_text()
    assert hosts.verify({"a": "n1", "b": "n1", "c": "n2"}) == []


def test_a_quota_on_the_node_holds_two_busy_services_together(hosts: DockerHosts) -> None:
    """20 % of a core on the node, two services that never pause: 20 % by the kernel's own count over 2 s."""
    hosts.start_pods({"n1": Limits(0.2, None)}, PAUSE)
    for id in ("a", "b"):
        hosts.start_service(id, "n1", BURN)
    path = hosts.containers.cgroup("n1")
    begin, used = time.monotonic(), hosts.cgroups.cpu_seconds(path)
    time.sleep(2.0)  # the span that is measured
    share = (hosts.cgroups.cpu_seconds(path) - used) / (time.monotonic() - begin)
    assert 0.17 <= share <= 0.23


def test_memory_over_the_nodes_limit_ends_the_service_and_says_why(hosts: DockerHosts) -> None:
    pods = hosts.start_pods({"n1": Limits(None, 128 * 2**20)}, PAUSE)
    grow = (
        "import os, time\nwhile not os.path.exists('/run/shaketable/node/go'): time.sleep(0.01)\nbytearray(400 << 20)"
    )
    hog = hosts.start_service("hog", "n1", ("python3", "-c", grow))
    (hosts.containers.node_folder("n1") / "go").touch()
    until_ended(hog.pid)
    assert hosts.died() == ["hog"]
    assert hosts.died() == []  # told once
    assert "out of memory" in hosts.why("hog") or "exit 137" in hosts.why("hog")
    assert os.path.exists(f"/proc/{pods['n1'].pid}")


def test_inside_is_what_the_wire_promises(hosts: DockerHosts) -> None:
    """The hub's socket, the node's busy counter shared by its services, a read-only root, no capability."""
    hosts.start_pods({"n1": Limits()}, PAUSE)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(hosts.containers.ctl / "hub.sock"))
    (hosts.containers.ctl / "hub.sock").chmod(0o666)  # as the hub does
    door.listen()
    door.settimeout(30)
    code = """
import mmap, os, socket, sys
with open("/run/shaketable/node/busy", "r+b") as file:
    counter = mmap.mmap(file.fileno(), 0)
    counter[4:8] = (1500).to_bytes(4, "little")
try:
    open("/made", "w")
except OSError as error:
    refused = error.errno
status = open("/proc/self/status").read()
rights = [line for line in status.splitlines() if line.startswith(("CapEff", "NoNewPrivs"))]
hub = socket.socket(socket.AF_UNIX)
hub.connect("/run/shaketable/hub.sock")
hub.sendall(f"{len(counter)} {refused} {rights} {os.environ['GREETING']} {open('/extra').read()}".encode())
"""
    extra = hosts.containers.folder / "extra"
    extra.write_text("mounted")
    hosts.start_service("a", "n1", ("python3", "-c", code), {"GREETING": "hello"}, {str(extra): "/extra"})
    connection, _ = door.accept()
    with connection, door:
        said = connection.makefile().read()
    assert said == "1024 30 ['CapEff:\\t0000000000000000', 'NoNewPrivs:\\t1'] hello mounted"
    assert (hosts.containers.node_folder("n1") / "busy").read_bytes()[4:8] == (1500).to_bytes(4, "little")


def test_ledger_precedes_creation(hosts: DockerHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """When Docker is asked for a container, its entry and its node's cgroup are in the ledger on disk."""
    seen: list[tuple[str, set[str]]] = []
    create = hosts.api.create_container

    def spy(*args: object, **kwargs: object) -> object:
        kept = ledger.read(hosts.containers.folder).pending
        seen.append((str(kwargs["name"]), {str(e.fields.get("name", e.fields.get("path"))) for e in kept}))
        return create(*args, **kwargs)

    monkeypatch.setattr(hosts.api, "create_container", spy)
    hosts.start_pods({"n1": Limits(), "n2": Limits()}, PAUSE)
    hosts.start_service("a", "n2", PAUSE)
    assert len(seen) == 3
    for name, promised in seen:
        assert {name, hosts.containers.cgroup("n1"), hosts.containers.cgroup("n2"), hosts.names.cgroup} <= promised
    hosts.remove(["a"])
    assert not any("n2.a" in str(e.fields) for e in ledger.read(hosts.containers.folder).pending)


def test_stop_is_no_death_and_remove_removes(hosts: DockerHosts) -> None:
    hosts.start_pods({"n1": Limits()}, PAUSE)
    listens = PAUSE[2].replace("signal.pause", "open('/run/shaketable/node/ready', 'w'); signal.pause")
    started = hosts.start_service("a", "n1", ("python3", "-c", listens))
    while not (hosts.containers.node_folder("n1") / "ready").exists():
        time.sleep(0.01)
    hosts.stop_service("a", 30.0)
    assert hosts.died() == [] and not os.path.exists(f"/proc/{started.pid}")
    assert hosts.verify({"a": "n1"}) == [
        f"service a: container {hosts.names.container('n1.a')} is exited, should be running"
    ]
    hosts.remove(["a"])
    assert hosts.verify({}) == []
    assert hosts.verify({"a": "n1"}) == ["service a should run on n1, but was never started"]


def test_a_service_that_ends_at_once_is_an_error_with_its_last_words(hosts: DockerHosts) -> None:
    hosts.start_pods({"n1": Limits()}, PAUSE)
    with pytest.raises(CannotRun, match=r"did not start|ended at once"):
        hosts.start_service("a", "n1", ("/no/such/program",))
    assert hosts.verify({}) == []


def test_a_name_held_by_another_is_told_and_nothing_half_built_stays(hosts: DockerHosts) -> None:
    held = hosts.names.container("n2")
    command = ["docker", "create", "--network=none", "--name", held, hosts.containers.image, *PAUSE]
    subprocess.run(command, check=True, capture_output=True)
    try:
        with pytest.raises(CannotRun, match=f"{held} is held by a container that is not ours: rename or remove it"):
            hosts.start_pods({"n1": Limits(), "n2": Limits(), "n3": Limits()}, PAUSE)
        assert [t for t in hosts_kit.traces(hosts.names.run_id) if not t.startswith("/run/")] == []
        assert ledger.read(hosts.containers.folder).pending == ()
        hosts.close()
        subprocess.run(["docker", "inspect", held], check=True, capture_output=True)  # still there
    finally:
        subprocess.run(["docker", "rm", held], check=True, capture_output=True)


def test_verify_names_what_differs(hosts: DockerHosts) -> None:
    hosts.start_pods({"n1": Limits(0.5, None)}, PAUSE)
    started = hosts.start_service("a", "n1", PAUSE)
    hosts.cgroups.limit(hosts.containers.cgroup("n1"), Limits(0.7, None))
    hosts.api.kill(started.container)
    until_ended(started.pid)
    hosts.api.wait(started.container)
    differences = hosts.verify({})
    assert any("limits are Limits(cpu=0.7" in d for d in differences)
    assert any("n1.a (exited) is not expected" in d for d in differences)
    assert hosts.died() == ["a"]


@pytest.mark.parametrize(
    ("where", "match"),
    [
        ("unix:///nowhere/docker.sock", "Docker is not running.*sudo ./shaketable demo"),
        ("tcp://10.0.0.1:2375", "must be local"),
    ],
)
def test_no_daemon_is_told(monkeypatch: pytest.MonkeyPatch, where: str, match: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", where)
    with pytest.raises(CannotRun, match=match):
        engine.connect()


def test_whatever_the_sdk_raises_is_a_line_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that dies in the middle: no traceback. A defect of ours stays one."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    answer = requests.Response()
    answer.status_code = 500
    for raised, said in (
        (requests.exceptions.ConnectionError("Connection aborted."), "Docker was lost while x. Docker is not running"),
        (docker.errors.APIError("500", answer, "no space left on device"), "Docker refused while x: no space left"),
    ):
        with pytest.raises(CannotRun, match=said), engine.refusals("x"):
            raise raised
    for ours in (CannotRun("why"), KeyError("k"), OSError(28, "full")):
        with pytest.raises(type(ours)) as found, engine.refusals("x"):
            raise ours
        assert found.value is ours


def test_names_are_made_safe_for_docker() -> None:
    assert containers.safe("São Paulo/1") == "S_o_Paulo_1"
