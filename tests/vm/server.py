"""An SSH server of the test's own, in a network and a mount namespace of its own; the client sits in another one.

No interface of the machine is touched: the two are joined by a veth pair that is made between them. The server's
machine is this one with another /run, a user `walker` who may do nothing, and a folder without room.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE, THERE, PORT = "10.79.0.1", "10.79.0.2", 2222
SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin")
CONFIG = """Port {port}
ListenAddress {there}
HostKey {folder}/host_key
AuthorizedKeysFile /run/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""
#: /run/sshd is compiled into it, and the users it knows are those of /etc/passwd.
BEGIN = """set -e
mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && mkdir -m 777 /run/walker
cp {folder}/user_key.pub /run/authorized_keys
{{ cat /etc/passwd; echo 'walker:*:65533:65533::/run/walker:/bin/sh'; }} >{folder}/passwd
mount --bind {folder}/passwd /etc/passwd
mount -t tmpfs -o size=1m tmpfs {folder}/small
exec {sshd} -D -e -f {folder}/config
"""


@dataclass
class Server:
    """folder: keys and configuration. client: what puts a command into the client's namespace."""

    folder: Path
    client: list[str]

    def command(self, verb: str, *words: str | Path, user: str = "root", port: int = PORT) -> list[str]:
        host = ["--host", f"{user}@{THERE}:{port}", "--known-hosts", str(self.folder / "known_hosts")]
        key = [] if "--key" in words else ["--key", str(self.folder / "user_key")]
        testbed = [sys.executable, "-m", "testbed.cli", "vm", verb, *host, *key]
        return [*self.client, *testbed, *map(str, words)]

    def vm(self, verb: str, *words: str | Path, user: str = "root", port: int = PORT, cwd: Path | None = None) -> Done:
        """`testbed vm VERB …` from the client's namespace."""
        return subprocess.run(
            self.command(verb, *words, user=user, port=port), capture_output=True, text=True, timeout=120, check=False,
            cwd=cwd or self.folder, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
        )  # fmt: skip


Done = subprocess.CompletedProcess[str]


@contextmanager
def _namespace(*options: str, then: str = "sleep infinity") -> Iterator[subprocess.Popen[str]]:
    """A process that holds new namespaces, once it does."""
    process = subprocess.Popen(
        ["unshare", "--net", *options, "sh", "-c", f"echo held; read go; {then}"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def keys(folder: Path, *names: str) -> None:
    for name in names:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)


def let_listen(machine: subprocess.Popen[str]) -> None:
    """Its network is there now: its SSH server may start, and is awaited."""
    assert machine.stdin is not None and machine.stderr is not None
    machine.stdin.write("go\n")
    machine.stdin.flush()
    said = []
    while "listening" not in (line := machine.stderr.readline()).lower():
        said.append(line)
        assert line, "".join(said)


def known(public: Path, address: str = THERE) -> str:
    """The line of a file of known hosts."""
    kind, blob = public.read_text().split()[:2]
    return f"[{address}]:{PORT} {kind} {blob}\n"


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    (folder / "small").mkdir()
    keys(folder, "host_key", "user_key", "other_key")
    (folder / "known_hosts").write_text(known(folder / "host_key.pub"))
    (folder / "changed_hosts").write_text(known(folder / "other_key.pub"))
    (folder / "empty_hosts").touch()
    (folder / "config").write_text(CONFIG.format(port=PORT, there=THERE, folder=folder))
    begin = BEGIN.format(folder=folder, sshd=SSHD)
    with _namespace() as client, _namespace("--mount", then=begin) as machine:
        enter = ["nsenter", f"--net=/proc/{client.pid}/ns/net"]
        far = ["nsenter", f"--net=/proc/{machine.pid}/ns/net"]
        for command in (
            [*enter, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(machine.pid)],
            [*enter, "ip", "addr", "add", f"{HERE}/24", "dev", "v0"],
            [*enter, "ip", "link", "set", "v0", "up"],
            [*far, "ip", "addr", "add", f"{THERE}/24", "dev", "v1"],
            [*far, "ip", "link", "set", "v1", "up"],
        ):
            subprocess.run(command, check=True)
        let_listen(machine)
        yield Server(folder, enter)


def set_up(folder: Path) -> None:
    """`folder` as a copy of ours is after its set-up: with an environment that has our packages, made from this one.

    Only the copy's own modules are found under their names, ours are not: no editable install is followed.
    """
    packages = next(p for p in map(Path, sys.path) if p.name == "site-packages")
    venv = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    inside = next(venv.glob("lib/python*/site-packages"))
    (inside / "borrowed.pth").write_text(f"{folder}\n{packages}\n")
    # compiling its twin would take the copy half a minute; in plain Python it is the same, byte for byte
    (inside / "numba.py").write_text("raise ImportError\n")
    (venv / "bin" / "testbed").write_text(
        f"#!{venv}/bin/python\nimport sys\nfrom testbed.cli import main\nsys.exit(main())\n"
    )
    (venv / "bin" / "testbed").chmod(0o755)
    (venv / ".shaketable").touch()
    made_from = (
        b"".join((ROOT / n).read_bytes() for n in ("requirements.lock", "pyproject.toml")) + str(folder).encode()
    )
    (venv / ".stamp").write_text(hashlib.sha256(made_from).hexdigest() + "\n")
    (folder / ".shaketable-vm").touch()
