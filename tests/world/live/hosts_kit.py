"""What the live tests of containers share: a run of their own, and an image with a Python and stand-in programs."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.world.live import cgroups, engine, images, ledger, reaper, undo
from testbed.world.live.docker_hosts import DockerHosts
from testbed.world.live.names import Names

#: Ends on SIGTERM, as every program of ours does; holds the namespace otherwise.
PAUSE = ("python3", "-c", "import signal, sys; signal.signal(15, lambda *a: sys.exit(0)); signal.pause()")
BURN = ("python3", "-c", "while True: pass")


def image() -> str:
    return images.ensure(engine.connect())


def new_run_id() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


@contextmanager
def run() -> Iterator[DockerHosts]:
    """Hosts of a fresh run with ledger and reaper; everything is gone afterwards, and that is asserted."""
    names = Names(new_run_id())
    folder = Path(names.folder)
    book = ledger.Ledger(names.run_id, folder)
    watcher = reaper.spawn(folder)
    hosts = None
    try:
        hosts = DockerHosts(names, book, image(), folder)
        yield hosts
    finally:
        if hosts is not None:
            hosts.close()
        book.close()
        reaper.leave(watcher)
    assert traces(names.run_id) == []


def traces(run_id: str) -> list[str]:
    """What is left of a run on this machine, asked of ip, docker, the cgroup folders and the file system."""
    names = Names(run_id)
    docker = ["docker", "ps", "-aq", "--filter", f"label=shaketable.run={run_id}"]
    left = [f"container {c}" for c in subprocess.check_output(docker, text=True).split()]
    links = subprocess.check_output(["ip", "-o", "link"], text=True)
    left += [f"interface {line}" for line in links.splitlines() if names.prefix in line]
    bridges = subprocess.check_output(["ovs-vsctl", "--timeout=5", "list-br"], text=True).split()
    left += [f"bridge {b}" for b in bridges if b.startswith(names.prefix)]
    tops = {mount / names.cgroup.lstrip("/") for mount in cgroups.mounts().values()}
    left += [f"cgroup {top}" for top in tops if top.exists()]
    left += [f"process {f.name}" for f in undo.find_processes(run_id)]
    return left + ([names.folder] if os.path.exists(names.folder) else [])
