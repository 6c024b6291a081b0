"""From inside a service: what it may not do, tried for real; the kernel refuses each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from testbed.world.live.docker_hosts import Limits
from testbed.world.live.pod import PAUSE as OWN
from testbed.world.live.pod import UID, USER
from tests.world.live import hosts_kit
from tests.world.live.hosts_kit import PAUSE

pytestmark = pytest.mark.live

#: Each attempt by name → "done", or the errno it was refused with. The last one forks until it can't.
ATTEMPTS = r"""
import ctypes, json, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)

def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")

def connect(address, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(2)
    s.connect(address)

def fork():
    made = []
    try:
        for _ in range(400):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            made.append(pid)
    finally:
        for pid in made:
            os.kill(pid, 9)

tries = {
    "write the root": lambda: open("/app/made", "w"),
    "write the run's folder": lambda: open("/run/shaketable/made", "w"),
    "write a kernel setting": lambda: open("/proc/sys/kernel/hostname", "w").write("x"),
    "mount": lambda: call(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "remount the root": lambda: call(libc.mount(None, b"/", None, 32, None)),
    "another namespace": lambda: call(libc.unshare(0x20000)),
    "another network namespace": lambda: call(libc.unshare(0x40000000)),
    "the host's namespace": lambda: call(libc.setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0)),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "a device": lambda: os.mknod("/dev/shm/d" if os.path.isdir("/dev/shm") else "/d", 0o20600, os.makedev(1, 1)),
    "another user": lambda: os.setuid(12345),
    "root": lambda: os.setuid(0),
    "chroot": lambda: os.chroot("/run"),
    "the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "Docker's socket": lambda: connect("/var/run/docker.sock", socket.AF_UNIX),
    "the world outside": lambda: connect(("192.0.2.1", 80)),
    "the host's loopback": lambda: connect(("127.0.0.1", PORT)),
    "too many processes": fork,
}
out = {}
for name, attempt in tries.items():
    try:
        attempt()
        out[name] = "done"
    except OSError as error:
        out[name] = error.errno
with open("/run/shaketable/node/said.new", "w") as file:
    json.dump(out, file)
os.rename("/run/shaketable/node/said.new", "/run/shaketable/node/said")
"""


def test_nothing_gets_out_of_a_service() -> None:
    import socket

    with hosts_kit.run() as hosts, socket.create_server(("127.0.0.1", 0)) as ours:
        code = ATTEMPTS.replace("PORT", str(ours.getsockname()[1]))
        hosts.start_pods({"n1": Limits(1.0, 2**28)}, PAUSE)
        host = Path("/proc/sys/kernel/hostname").read_text()
        started = hosts.start_service("a", "n1", ("python3", "-c", code))
        said, end = hosts.containers.node_folder("n1") / "said", time.monotonic() + 60
        while not said.exists():
            assert time.monotonic() < end and os.path.exists(f"/proc/{started.pid}"), hosts.logs("a")
            time.sleep(0.05)
        found = json.loads(said.read_text())
        assert [name for name, became in found.items() if became == "done"] == []
        assert Path("/proc/sys/kernel/hostname").read_text() == host
        ours.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            ours.accept()


def test_nobody_in_a_container_is_root() -> None:
    """Users and groups as the kernel has them; services also as Docker says. A pause has become another by itself."""
    with hosts_kit.run() as hosts:
        pods = hosts.start_pods({"n1": Limits()}, OWN)
        started = hosts.start_service("a", "n1", PAUSE)
        for pid in (pods["n1"].pid, started.pid):
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == status["Gid"].split() == [str(UID)] * 4
            assert status["Groups"].split() in ([], [str(UID)])
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        said = hosts.containers.client.api.inspect_container(started.container)
        assert said["Config"]["User"] == USER and said["HostConfig"]["CapDrop"] == ["ALL"]
        assert said["HostConfig"]["ReadonlyRootfs"] and not said["HostConfig"]["Privileged"]
        assert hosts.containers.folder.stat().st_mode & 0o777 == 0o700, (
            "what the user may write lies below what is root's alone"
        )
