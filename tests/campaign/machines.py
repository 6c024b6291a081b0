"""Three machines of the test's own: namespaces with an SSH server each, on a bridge, without a way out.

The client sits in a fourth namespace, where the bridge is; a machine is cut off by taking its port of the bridge down.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.server import BEGIN, CONFIG, PORT, ROOT, SSHD, _namespace, keys, known, let_listen

NET = "10.79.1"
COUNT = 3


@dataclass(frozen=True)
class Machines:
    """folder: keys, known_hosts, and `there`, what a set-up machine has. enter: a command into the client's place."""

    folder: Path
    enter: list[str]
    pids: list[int]

    def ip(self, *words: str) -> None:
        subprocess.run([*self.enter, "ip", *words], check=True)

    def cut(self, i: int) -> None:
        self.ip("link", "set", f"p{i}", "down")

    def heal(self, i: int) -> None:
        self.ip("link", "set", f"p{i}", "up")

    def hosts(self, *words: str) -> Path:
        """A host list; words: what stands behind each machine."""
        file = self.folder / "hosts"
        lines = [f"root@{address(i)}:{PORT} dir={self.folder / 'there'} {words[i]}" for i in range(COUNT)]
        file.write_text("# three machines\n" + "\n".join(lines) + "\n")
        return file

    def words(self, hosts: Path) -> list[str]:
        return ["--hosts", str(hosts), "--key", str(self.folder / "user_key"),
                "--known-hosts", str(self.folder / "known_hosts")]  # fmt: skip

    def python(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A Python of ours where the client is."""
        return subprocess.Popen(
            [*self.enter, sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip

    def left(self) -> list[str]:
        """Command lines of Dask's that are still alive on the machines."""
        ours = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in self.pids}
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.stat(entry / "ns/net").st_ino in ours:
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile
        return [line for line in found if "distributed" in line or "spawn_main" in line]


def address(i: int) -> str:
    return f"{NET}.{i + 2}"


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    there = folder / "there" / ".venv" / "bin"
    there.mkdir(parents=True)
    (there / "python").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    (there / "python").chmod(0o755)
    keys(folder, "user_key", "other_key")
    with ExitStack() as stack:
        client = stack.enter_context(_namespace())
        enter = ["nsenter", f"--net=/proc/{client.pid}/ns/net"]

        def at_client(*words: str) -> None:
            subprocess.run([*enter, "ip", *words], check=True)

        at_client("link", "add", "b0", "type", "bridge")
        at_client("addr", "add", f"{NET}.1/24", "dev", "b0")
        at_client("link", "set", "b0", "up")
        pids, hosts = [], []
        for i in range(COUNT):
            own = folder / f"machine{i}"
            (own / "small").mkdir(parents=True)
            keys(own, "host_key")
            (own / "user_key.pub").write_text((folder / "user_key.pub").read_text())
            (own / "config").write_text(CONFIG.format(port=PORT, there=address(i), folder=own))
            machine = stack.enter_context(_namespace("--mount", then=BEGIN.format(folder=own, sshd=SSHD)))
            at_client("link", "add", f"p{i}", "type", "veth", "peer", "name", "v1", "netns", str(machine.pid))
            at_client("link", "set", f"p{i}", "master", "b0", "up")
            far = ["nsenter", f"--net=/proc/{machine.pid}/ns/net", "ip"]
            subprocess.run([*far, "link", "set", "lo", "up"], check=True)
            subprocess.run([*far, "addr", "add", f"{address(i)}/24", "dev", "v1"], check=True)
            subprocess.run([*far, "link", "set", "v1", "up"], check=True)
            let_listen(machine)
            hosts.append(known(own / "host_key.pub", address(i)))
            pids.append(machine.pid)
        (folder / "known_hosts").write_text("".join(hosts))
        (folder / "changed_hosts").write_text("".join([*hosts[:2], known(folder / "other_key.pub", address(2))]))
        yield Machines(folder, enter, pids)
