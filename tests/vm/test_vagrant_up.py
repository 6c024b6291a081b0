"""`vagrant up` with a box of our own, and a run in it, where a box is named: minutes, emulated twenty.

sudo .venv/bin/python -m testbed.vm.box /tmp/shaketable.box
sudo SHAKETABLE_BOX=/tmp/shaketable.box .venv/bin/pytest --long tests/vm/test_vagrant_up.py
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.vm.project import ROOT

BOX = os.environ.get("SHAKETABLE_BOX", "")
EMULATED = os.environ.get("SHAKETABLE_EMULATED") == "1"
DILATION = 30 if EMULATED else 4
#: Of our own, and isolated: a machine from our box needs no network.
HOME = """Vagrant.configure("2") do |config|
  config.vm.provider "libvirt" do |machine|
    machine.default_prefix = "shaketable-test-"
    machine.management_network_name = "shaketable-test"
    machine.management_network_address = "192.168.231.0/24"
    machine.management_network_mode = "none"
  end
end
"""


def lacking() -> str:
    """The first thing that is not here."""
    if not Path(BOX).is_file():
        return "SHAKETABLE_BOX names no box file (python -m testbed.vm.box OUT.box)"
    if shutil.which("vagrant") is None:
        return "no vagrant here"
    plugins = subprocess.run(["vagrant", "plugin", "list"], capture_output=True, text=True, check=False).stdout
    if "vagrant-libvirt" not in plugins:
        return "vagrant has no vagrant-libvirt"
    if shutil.which("virsh") is None:
        return "no virsh here"
    return "" if virsh("version").returncode == 0 else "libvirtd does not answer"


def virsh(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["virsh", "-c", "qemu:///system", *words], capture_output=True, text=True, check=False)


def boxes() -> set[str]:
    """libvirt's copies of boxes of our name, which outlive machine and box."""
    names = [line.split()[0] for line in virsh("vol-list", "default").stdout.splitlines() if line.split()]
    return {name for name in names if name.startswith("shaketable-local_vagrant_box_image_")}


class Vagrant:
    """Vagrant with a home and a machine of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            self.page: int = door.getsockname()[1]
        (home / "home").mkdir()
        (home / "home" / "Vagrantfile").write_text(HOME)
        self._environment = {
            **os.environ, "VAGRANT_HOME": str(home / "home"), "VAGRANT_DOTFILE_PATH": str(home / "machine"),
            "VAGRANT_CWD": str(ROOT), "VAGRANT_CHECKPOINT_DISABLE": "1", "SHAKETABLE_PAGE_PORT": str(self.page),
        }  # fmt: skip

    def __call__(self, *words: str, code: int | None = 0) -> str:
        done = subprocess.run(
            ["vagrant", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=self._environment,
            check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ssh(self, command: str, code: int | None = 0) -> str:
        return self("ssh", "--no-tty", "-c", f"cd /vagrant && {command}", code=code)


@pytest.fixture
def vagrant() -> Iterator[Vagrant]:
    if why := lacking():
        pytest.skip(f"capability: {why}")
    with tempfile.TemporaryDirectory(prefix="shaketable-vagrant-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)  # libvirt's own user reads the box's kernel, which it can't below tmp_path
        v, before = Vagrant(Path(name)), boxes()
        try:
            v("up", "--provider", "libvirt")
            yield v
        finally:
            v("destroy", "-f", code=None)
            for made in boxes() - before:
                virsh("vol-delete", made, "--pool", "default")


@pytest.mark.long
def test_vagrant_up_ends_with_a_machine_that_runs(vagrant: Vagrant) -> None:
    facts = json.loads(vagrant.ssh("sudo ./shaketable doctor --json"))
    assert facts["live"], facts["problems"]

    status: list[bytes] = []
    ended = threading.Event()

    def watch() -> None:
        """The page, on this machine's loopback; without its token it refuses, and so it is there."""
        while not status and not ended.wait(1):
            try:
                with socket.create_connection(("127.0.0.1", vagrant.page), timeout=10) as door:
                    door.settimeout(30)
                    door.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                    if said := door.recv(13):
                        status.append(said)
            except OSError:
                time.sleep(1)  # not up yet

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        page = f"--page --page-port {vagrant.page}"
        run = f"sudo ./shaketable run scenarios/machine/parts.yaml --dilate {DILATION} {page} --out results/parts"
        vagrant.ssh(run, code=None)  # a verdict needs a processor that keeps up
    finally:
        ended.set()
        watcher.join()
    summary = json.loads(vagrant.ssh("cat results/parts/summary.json"))
    assert summary["link_backend"] == "netem" and summary["datapath"] in ("system", "kernel")
    assert all(fault["verified"] for fault in summary["faults"])
    assert summary["tasks"]["completed"] > 0
    assert status and status[0].startswith(b"HTTP/1.") and b" 40" in status[0]
    assert vagrant.ssh("sudo docker ps -aq --filter label=shaketable.run; sudo ovs-vsctl list-br").split() == []
