"""`testbed vm up|run|ssh|fetch|down`: this project on another machine, over SSH.

There, everything lies in one folder, which carries a mark; a folder without it is never touched.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from testbed.errors import CannotRun, InputError
from testbed.vm import project
from testbed.vm.connection import Connection, Done, connect
from testbed.vm.fetch import Incoming, free
from testbed.vm.host import Host, Keys

MARK = ".shaketable-vm"
ROOM_KB = 2_000_000  # an environment and an image of ours
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
KEPT = (MARK, ".venv", ".venv.lock", "results")
Say = Callable[[str], None]


@dataclass
class Machine:
    """An open connection and our folder there. sudo: what makes a command root's, "" for root itself."""

    host: Host
    ssh: Connection
    folder: str
    sudo: str
    say: Say

    def shell(self, command: str) -> str:
        """`command` in our folder."""
        return f"cd {shlex.quote(self.folder)} && {command}"

    def follow(self, command: str) -> int:
        """A long command of ours, seen here as it goes on."""
        out = sys.stdout.buffer
        sys.stdout.flush()

        def write(block: bytes) -> None:
            out.write(block)
            out.flush()

        return self.ssh.follow(self.shell(command), write, terminal=sys.stdout.isatty())

    def checked(self, done: Done, what: str) -> Done:
        if done.code != 0:
            last = done.err.strip().splitlines()[-1:] or [f"exit code {done.code}"]
            raise CannotRun(f"{self.host}: {what} did not work: {last[0]}")
        return done


@contextmanager
def machine(host: Host, keys: Keys, folder: str, say: Say) -> Iterator[Machine]:
    """Connected, and our folder's whole path known."""
    with connect(host, keys) as ssh:
        told = ssh.ask("id -u && pwd && uname -sm")
        lines = told.out.split("\n")
        if told.code != 0 or len(lines) < 3 or not lines[0].isdigit():
            raise CannotRun(f"{host}: has no POSIX shell for {host.user} ({(told.err or told.out).strip()[:200]})")
        if not lines[2].startswith("Linux"):
            raise CannotRun(f"{host}: runs {lines[2]}; the testbed needs Linux")
        whole = folder if folder.startswith("/") else f"{lines[1].rstrip('/')}/{folder}"
        yield Machine(host, ssh, whole, "" if lines[0] == "0" else "sudo -n ", say)


def copy(m: Machine, scenario: Path | None = None) -> None:
    """Send the project, and the folder of a scenario from outside; what was sent before is replaced."""
    names = project.files()
    size = sum((project.ROOT / n).stat().st_size for n in names)
    kept = " ".join(f"! -name {shlex.quote(k)}" for k in KEPT)
    folder = shlex.quote(m.folder)
    _room(m)
    m.checked(
        m.ssh.ask(
            f"set -e; f={folder}; if [ -e $f ] && [ ! -e $f/{MARK} ] && [ -n \"$(ls -A $f)\" ]; then"
            f" echo \"$f is there already and was not made by us; name another folder with --dir\" >&2; exit 1; fi;"
            f" mkdir -p $f; : >$f/{MARK}; find $f -mindepth 1 -maxdepth 1 {kept} -exec rm -rf {{}} +"
        ),
        "making room for the copy",
    )  # fmt: skip
    m.say(f"copying {len(names)} files ({size / 1e6:.1f} MB) to {m.host}:{m.folder}")
    unpack = "tar -xzf - --no-same-owner"
    done = m.ssh.send(m.shell(unpack), lambda stream: project.write(stream, project.ROOT, names))
    m.checked(done, "copying the project")
    if scenario is not None and project.there(scenario).startswith(f"{project.SENT}/"):
        m.say(f"copying the folder of {scenario}")
        others, origin = project.beside(scenario), scenario.resolve().parent
        done = m.ssh.send(
            m.shell(f"mkdir -p {project.SENT} && cd {project.SENT} && {unpack}"),
            lambda stream: project.write(stream, origin, others),
        )
        m.checked(done, "copying the scenario")


def _room(m: Machine) -> None:
    """CannotRun where an environment would not fit; one that is there already has what it needs."""
    folder = shlex.quote(m.folder)
    told = m.ssh.ask(
        f"[ -e {folder}/.venv/.stamp ] || {{ d={folder}; while [ ! -d \"$d\" ]; do d=$(dirname -- \"$d\"); done;"
        " df -Pk -- \"$d\" | awk 'NR == 2 { print $4 }'; }"
    )  # fmt: skip
    free_kb = told.out.strip()
    if free_kb.isdigit() and int(free_kb) < ROOM_KB:
        raise CannotRun(
            f"{m.host}: {int(free_kb) / 1e6:.1f} GB are free where {m.folder} lies, {ROOM_KB / 1e6:.0f} are needed;"
            " make room, or name another folder with --dir"
        )


def set_up(m: Machine, world: str) -> int:
    """The product's own set-up there; its exit code. The twin needs no root."""
    if world == "twin":
        m.say("setting up what the twin needs (once)")
        return m.follow("./shaketable completion bash >/dev/null")
    if m.sudo and m.ssh.ask("sudo -n true").code != 0:
        raise CannotRun(
            f"{m.host}: a live run needs root there, and {m.host.user} can't use sudo without being asked for a"
            " password. Log in as root, or let that user (/etc/sudoers.d: NOPASSWD: ALL); `--in twin` needs no root"
        )
    m.say("setting up what a live run needs (once)")
    return m.follow(f"{m.sudo}./shaketable setup")


def run(m: Machine, file: Path, words: Sequence[str], world: str, sets: Sequence[str], out: Path | None) -> int:
    """One run there, its progress here, its records here; its exit code."""
    path = project.there(file)
    name = f"{file.stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}-vm"
    target = out or Path("results") / name
    free(target)
    settings = [w for s in sets for w in ("--set", project.setting(s))]
    copy(m, file)
    code = set_up(m, world)
    if code == 0:
        code = m.follow(shlex.join(["./shaketable", "check", path, *settings]))
    if code != 0:
        m.say(f"nothing was run on {m.host}")
        return code
    root = m.sudo if world == "live" else ""
    m.say(f"running {path} on {m.host}, {world}")
    code = m.follow(
        root + shlex.join(["./shaketable", "run", path, "--in", world, "--out", f"results/{name}", *words, *settings])
    )
    if not exists(m, f"results/{name}"):
        m.say(f"{m.host}: ended with exit code {code} before there were records")
        return code
    bring(m, name, target)
    m.checked(m.ssh.ask(m.shell(f"{root}rm -rf -- results/{name}")), "removing the records there")
    return code


def exists(m: Machine, path: str) -> bool:
    return m.ssh.ask(m.shell(f"test -e {shlex.quote(path)}")).code == 0


def bring(m: Machine, name: str, target: Path) -> None:
    """results/NAME from there to `target`."""
    with Incoming(target) as incoming:
        readable = m.sudo if m.ssh.ask("sudo -n true").code == 0 else ""
        place = shlex.quote("results/" + name)
        # links stay there: `latest` says nothing here
        listed = f"find {place} -mindepth 1 \\( -type f -o -type d \\) -printf '%P\\0'"
        packed = shlex.quote(f"{listed} | tar -C {place} --null --no-recursion -T - -czf -")
        command = m.shell(f"{readable}sh -c {packed}")
        with m.ssh.reading(command) as (stream, done):
            size = incoming.unpack(stream)
            m.checked(done(), "reading the records")
        incoming.settle()
    m.say(f"records: {target} ({size / 1e6:.1f} MB)")


def fetch(m: Machine, names: Sequence[str], out: Path) -> int:
    """Every folder of results there, or those named, into `out`; what is here already is left alone."""
    listed = m.ssh.ask(m.shell("find results -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort")).out.split("\n")
    found = [path.removeprefix("results/") for path in listed]
    there = [name for name in found if NAME.fullmatch(name)]  # what comes from there is untrusted
    for name in names or there:
        if name not in there:
            raise InputError(f"{m.host}: has no results/{name}; there are: {', '.join(there) or 'none'}")
        if not names and (out / name).exists():
            m.say(f"{out / name} is here already")
        else:
            bring(m, name, out / name)
    if not there:
        m.say(f"{m.host}: no results in {m.folder}")
    return 0


def down(m: Machine) -> int:
    """What dead runs left is removed, then the folder goes. Daemons stay: others may have work on them."""
    if not exists(m, MARK):
        m.say(f"{m.host}: nothing of ours in {m.folder}")
        return 0
    root = not m.sudo or m.ssh.ask("sudo -n true").code == 0
    if root and exists(m, ".venv/.stamp"):
        code = m.follow(f"{m.sudo}./shaketable clean")
        if code != 0:
            raise CannotRun(f"{m.host}: `shaketable clean` ended with {code} there; {m.folder} is left as it is")
    rm = f"{m.sudo if root else ''}rm -rf -- {shlex.quote(m.folder)}"
    m.checked(m.ssh.ask(f"cd / && {rm}"), f"removing {m.folder}")
    m.say(f"{m.host}: {m.folder} is gone; packages and daemons stay as they are")
    return 0


def shell(m: Machine, keys: Keys, command: Sequence[str]) -> int:
    """A command in our folder there, or an interactive shell, by the program ssh."""
    if command:
        return m.follow(shlex.join(command))
    words = ["ssh", "-t", "-o", "StrictHostKeyChecking=yes", "-p", str(m.host.port)]
    if keys.known_hosts:
        words += ["-o", f"UserKnownHostsFile={keys.known_hosts}"]
    if keys.identity:
        words += ["-i", str(keys.identity)]
    words += [f"{m.host.user}@{m.host.name}", m.shell('exec "${SHELL:-sh}" -l')]
    try:
        os.execvp("ssh", words)
    except FileNotFoundError:
        raise CannotRun(
            "the program ssh is not here (apt-get install openssh-client); `vm ssh -- COMMAND` works"
        ) from None
