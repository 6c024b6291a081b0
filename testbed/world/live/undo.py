"""Removal of what a run made: one function per kind, and one that finds what a run left without a ledger.

Each checks that the thing is ours first (container label, OVS external_ids, interface alias, cgroup path, process
mark), removes by id or name in batches, may be called again, and says what it did, one line per thing removed. A name
alone makes nothing ours, with one exception: an interface without any alias that the run's ledger promises, for it
gets its alias a moment after it is made. What carries no label (settings, images, folders) is in undo_unlabelled.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live import cgroups, engine, ledger, undo_unlabelled
from testbed.world.live.names import LABEL, PREFIX, Names
from testbed.world.live.undo_unlabelled import Away, command


@dataclass(frozen=True, slots=True)
class Found:
    """Something of ours on the machine. name: a container's name, a cgroup's path, "pid start_time" of a process."""

    kind: str
    name: str
    run_id: str


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────


def find_containers(run_id: str | None = None) -> list[Found]:
    """By label. Nothing where Docker does not answer; see `blind`."""
    try:
        return [Found("container", _name(c), c["Labels"][LABEL]) for c in _containers(run_id)]
    except Away:
        return []


def remove_containers(run_id: str, names: Iterable[str] | None = None) -> list[str]:
    """Kill and remove the run's containers (of `names`, default all) in threads. Away where Docker does not answer."""
    wanted = None if names is None else set(names)
    ours = [c for c in _containers(run_id) if wanted is None or _name(c) in wanted]
    if not ours:
        return []
    api = engine.connect().api

    def remove(container: Mapping[str, Any]) -> None:
        try:
            api.remove_container(container["Id"], v=True, force=True)
        except Exception as error:
            if engine.status_of(error) not in (404, 409):  # gone, or its removal is already under way
                raise

    done = engine.each(remove, ours)
    return [f"container {_name(c)}" for c, _, error in done if error is None]


def _containers(run_id: str | None) -> list[dict[str, Any]]:
    if not docker_answers():
        raise Away("Docker does not answer: start it (`sudo ./shaketable setup`, or your own way)")
    label = LABEL if run_id is None else f"{LABEL}={run_id}"
    client = engine.connect()
    try:
        return list(client.api.containers(all=True, filters={"label": label}))
    finally:
        client.close()


def _name(container: Mapping[str, Any]) -> str:
    """One that is being removed may have lost its name already."""
    return str((container["Names"] or [container["Id"]])[0]).lstrip("/")


def docker_answers() -> bool:
    """Whether somebody listens on the daemon's socket; a killed daemon leaves the file behind."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(2.0)
        try:
            door.connect(engine.address().removeprefix("unix://"))
        except OSError:
            return False
    return True


# ── bridges ──────────────────────────────────────────────────────────────────────────────────────────────────


def find_bridges(run_id: str | None = None) -> list[Found]:
    """By external_ids. Nothing where Open vSwitch does not answer; see `blind`."""
    try:
        return _bridges(run_id)
    except Away:
        return []


def _bridges(run_id: str | None) -> list[Found]:
    answer = command(["ovs-vsctl", "--timeout=5", "--format=json", "--columns=name,external_ids", "list", "Bridge"])
    if answer.returncode != 0:
        raise Away("Open vSwitch does not answer: start it (`sudo ./shaketable setup`, or your own way)")
    rows = [(name, dict(ids[1])) for name, ids in json.loads(answer.stdout)["data"]]
    return [Found("bridge", n, ids[LABEL]) for n, ids in rows if LABEL in ids and run_id in (None, ids[LABEL])]


def remove_bridges(run_id: str, names: Iterable[str] | None = None) -> list[str]:
    """Delete the run's bridges (of `names`, default all) in one transaction. Away without Open vSwitch."""
    wanted = None if names is None else set(names)
    ours = [b.name for b in _bridges(run_id) if wanted is None or b.name in wanted]
    if ours:
        words = ["ovs-vsctl", "--timeout=10"]
        for name in ours:
            words += ["--", "--if-exists", "del-br", name]
        answer = command(words, timeout_s=15.0)
        if answer.returncode != 0:
            raise CannotRun(f"Open vSwitch did not delete {', '.join(ours)}: {answer.stderr.strip()}")
    return [f"bridge {name}" for name in ours]


# ── interfaces ───────────────────────────────────────────────────────────────────────────────────────────────


def find_interfaces(run_id: str | None = None, promised: Collection[str] = ()) -> list[Found]:
    """In the host's namespace, by alias; and those of `promised` (a run's ledger) that have no alias yet."""
    answer = command(["ip", "-json", "link", "show"])
    if answer.returncode != 0:
        return []
    found = []
    for link in json.loads(answer.stdout or "[]"):
        name, alias = link["ifname"], link.get("ifalias", "")
        of_run = alias.removeprefix(f"{LABEL}=") if alias.startswith(f"{LABEL}=") else None
        if run_id is not None and not alias and name in promised and name.startswith(Names(run_id).prefix):
            of_run = run_id
        if of_run is not None and run_id in (None, of_run) and name.startswith(PREFIX):
            found.append(Found("interface", name, of_run))
    return found


def remove_interfaces(run_id: str, names: Collection[str] | None = None, promised: Collection[str] = ()) -> list[str]:
    """Delete the run's host-side interfaces (of `names`, which a ledger promises; default all) in one `ip -batch`."""
    promised = names or promised
    ours = [i.name for i in find_interfaces(run_id, promised) if names is None or i.name in names]
    if ours:
        # -force: the peer of a pair goes with it, so the second deletion finds nothing and that is fine
        command(["ip", "-force", "-batch", "-"], text="".join(f"link delete dev {name}\n" for name in ours))
    left = {i.name for i in find_interfaces(run_id, promised)} if ours else set()
    return [f"interface {name}" for name in ours if name not in left]


# ── cgroups and processes ────────────────────────────────────────────────────────────────────────────────────


def find_cgroups(run_id: str | None = None) -> list[Found]:
    return [Found("cgroup", path, run) for path, run in cgroups.find(run_id).items()]


def remove_cgroups(run_id: str, paths: Collection[str] | None = None) -> list[str]:
    """Remove the run's cgroups (of `paths`, default all) in every hierarchy."""
    top = Names(run_id).cgroup
    inside = [p for p in paths or () if p.startswith(f"{top}/") and ".." not in PurePosixPath(p).parts]
    wanted = [top] if paths is None or top in paths else inside
    there = bool(cgroups.find(run_id))
    return [f"cgroup {path}" for path in wanted if there and cgroups.remove(path)]


def find_processes(run_id: str | None = None) -> list[Found]:
    """By the mark in their environment; this process is left out."""
    mark, found = ledger.MARK.encode() + b"=", []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or not ours to read
            continue
        of_run = next((v.removeprefix(mark).decode("utf-8", "replace") for v in variables if v.startswith(mark)), None)
        if of_run is None or run_id not in (None, of_run):
            continue
        started = ledger.start_time(int(folder.name))
        if started is not None:
            found.append(Found("process", f"{folder.name} {started}", of_run))
    return found


def remove_processes(run_id: str, entries: Iterable[tuple[int, int]] | None = None) -> list[str]:
    """SIGKILL the run's processes: of the recorded (pid, start time) pairs, default all; each carries the mark."""
    marked = {(int(pid), int(started)) for pid, started in (f.name.split() for f in find_processes(run_id))}
    return [f"process {pid}" for pid, started in marked & set(entries or marked) if _kill(pid, started)]


def _kill(pid: int, started: int) -> bool:
    """The pidfd pins the process, so between check and kill its number can't go to another."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if pid == os.getpid() or ledger.start_time(pid) != started:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


# ── a whole ledger, a whole run ──────────────────────────────────────────────────────────────────────────────


def entries(run_id: str, pending: Sequence[ledger.Entry]) -> tuple[list[str], list[tuple[ledger.Entry, str]]]:
    """Undo ledger entries, newest first; neighbours of one kind go as a batch. A failure does not stop the rest.

    Returns what was done, one line each, and the entries whose undo failed, each with the reason.
    """
    done: list[str] = []
    failed: list[tuple[ledger.Entry, str]] = []
    for kind, group in groupby(reversed(pending), key=lambda e: e.kind):
        batch = list(group)
        try:
            done += _batch(run_id, kind, [e.fields for e in batch])
        except Exception as error:  # removal goes on with the rest whatever happens
            failed += [(e, _words(error)) for e in batch]
    return done, failed


def _batch(run_id: str, kind: str, batch: list[Mapping[str, Any]]) -> list[str]:
    by_name: dict[str, Callable[[str, list[str]], list[str]]] = {
        "container": remove_containers,
        "bridge": remove_bridges,
        "interface": remove_interfaces,
        "namespace": undo_unlabelled.remove_namespaces,
    }
    by_path: dict[str, Callable[[str, list[str]], list[str]]] = {
        "cgroup": remove_cgroups,
        "folder": undo_unlabelled.remove_folders,
    }
    if kind in by_name:
        return by_name[kind](run_id, [e["name"] for e in batch])
    if kind in by_path:
        return by_path[kind](run_id, [e["path"] for e in batch])
    if kind == "process":
        pairs = [(e.get("pid"), e.get("start_time")) for e in batch]
        known = [(p, t) for p, t in pairs if isinstance(p, int) and isinstance(t, int)]
        return remove_processes(run_id, known) if known else []
    if kind == "fault":  # it acts on the run's own links, containers and cgroups, which go with it
        return [f"fault {e['verb']} {e['target']}" for e in batch]
    return undo_unlabelled.undo(run_id, kind, batch)


def everything(run_id: str, promised: Collection[str] = ()) -> list[str]:
    """Remove all that carries the run's mark, ledger or not; the order lets each go (cgroups after containers).

    promised: names of interfaces in the run's ledger.
    """
    steps: Sequence[Callable[[], list[str]]] = (
        lambda: remove_processes(run_id),
        lambda: remove_containers(run_id),
        lambda: remove_bridges(run_id),
        lambda: remove_interfaces(run_id, promised=promised),
        lambda: remove_cgroups(run_id),
    )
    return [line for step in steps for line in attempt(step)]


def find(run_id: str | None = None, promised: Collection[str] = ()) -> list[Found]:
    """All of ours that is on the machine, of one run or of all, folders aside. promised: as for `everything`."""
    labelled = (find_processes, find_containers, find_bridges, find_cgroups)
    return [found for search in labelled for found in search(run_id)] + find_interfaces(run_id, promised)


def blind() -> list[str]:
    """What can't be looked at now because its daemon is installed and does not run."""
    lines = []
    if shutil.which("dockerd") and not docker_answers():
        lines.append("Docker is not running: if dead runs left containers, start it and clean again")
    if shutil.which("ovs-vsctl") and command(["ovs-vsctl", "--timeout=5", "--no-wait", "list-br"]).returncode != 0:
        lines.append("Open vSwitch is not running: if dead runs left bridges, start it and clean again")
    return lines


def attempt(step: Callable[[], list[str]]) -> list[str]:
    """One step; a failure is not told: the next look finds what is left, and tries again."""
    try:
        return step()
    except Exception:
        return []


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, CannotRun) else f"{type(error).__name__}: {error}"
