"""Removal of what a run made: one function per kind, and one that finds what a run left without a ledger.

Each checks that the thing is ours first (container label, OVS external_ids, name prefix, cgroup path, process
mark), removes by id or name in batches, may be called again, and says what it did, one line per thing removed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live import cgroups, ledger
from testbed.world.live.names import LABEL, PREFIX, Names

COMMAND_S = 10.0  # bound on one ip or ovs-vsctl call


@dataclass(frozen=True, slots=True)
class Found:
    """Something of ours on the machine. name: a container's name, a cgroup's path, "pid start_time" of a process."""

    kind: str
    name: str
    run_id: str


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────


def find_containers(run_id: str | None = None) -> list[Found]:
    """By label. Nothing where no daemon runs: its containers are not running either."""
    return [Found("container", c["Names"][0].lstrip("/"), c["Labels"][LABEL]) for c in _containers(run_id)]


def remove_containers(run_id: str, names: Iterable[str] | None = None) -> list[str]:
    """Kill and remove the run's containers (of `names`, default all) in threads."""
    wanted = None if names is None else set(names)
    ours = [c for c in _containers(run_id) if wanted is None or c["Names"][0].lstrip("/") in wanted]
    if not ours:
        return []
    from testbed.world.live import engine

    api = engine.connect().api

    def remove(container: Mapping[str, Any]) -> None:
        try:
            api.remove_container(container["Id"], v=True, force=True)
        except Exception as error:
            if engine.status_of(error) not in (404, 409):  # gone, or its removal is already under way
                raise

    done = engine.each(remove, ours)
    return [f"container {c['Names'][0].lstrip('/')}" for c, _, error in done if error is None]


def _containers(run_id: str | None) -> list[dict[str, Any]]:
    from testbed.world.live import engine

    if not _docker_runs():
        return []
    label = LABEL if run_id is None else f"{LABEL}={run_id}"
    client = engine.connect()
    try:
        return list(client.api.containers(all=True, filters={"label": label}))
    finally:
        client.close()


# ── bridges ──────────────────────────────────────────────────────────────────────────────────────────────────


def find_bridges(run_id: str | None = None) -> list[Found]:
    """By external_ids. Nothing where Open vSwitch does not run."""
    if shutil.which("ovs-vsctl") is None:
        return []
    answer = _run(["ovs-vsctl", "--timeout=5", "--format=json", "--columns=name,external_ids", "list", "Bridge"])
    if answer.returncode != 0:
        return []
    rows = [(name, dict(ids[1])) for name, ids in json.loads(answer.stdout)["data"]]
    return [Found("bridge", n, ids[LABEL]) for n, ids in rows if LABEL in ids and run_id in (None, ids[LABEL])]


def remove_bridges(run_id: str, names: Iterable[str] | None = None) -> list[str]:
    """Delete the run's bridges (of `names`, default all) in one transaction."""
    wanted = None if names is None else set(names)
    ours = [b.name for b in find_bridges(run_id) if wanted is None or b.name in wanted]
    if ours:
        command = ["ovs-vsctl", "--timeout=10"]
        for name in ours:
            command += ["--", "--if-exists", "del-br", name]
        answer = _run(command, timeout_s=15.0)
        if answer.returncode != 0:
            raise CannotRun(f"Open vSwitch did not delete {', '.join(ours)}: {answer.stderr.strip()}")
    return [f"bridge {name}" for name in ours]


# ── interfaces ───────────────────────────────────────────────────────────────────────────────────────────────


def find_interfaces(run_id: str | None = None) -> list[Found]:
    """Of one run: by its prefix or alias in the host's namespace. Of all runs: by alias only, the prefix names none."""
    answer = _run(["ip", "-json", "link", "show"])
    if answer.returncode != 0:
        return []
    found = []
    for link in json.loads(answer.stdout or "[]"):
        name, alias = link["ifname"], link.get("ifalias", "")
        of_run = alias.removeprefix(f"{LABEL}=") if alias.startswith(f"{LABEL}=") else None
        if run_id is not None and of_run is None and name.startswith(Names(run_id).prefix):
            of_run = run_id
        if of_run is not None and run_id in (None, of_run) and name.startswith(PREFIX):
            found.append(Found("interface", name, of_run))
    return found


def remove_interfaces(run_id: str, names: Iterable[str] | None = None) -> list[str]:
    """Delete the run's host-side interfaces (of `names`, default all) in one `ip -batch`."""
    wanted = None if names is None else set(names)
    ours = [i.name for i in find_interfaces(run_id) if wanted is None or i.name in wanted]
    if ours:
        # -force: the peer of a pair goes with it, so the second deletion finds nothing and that is fine
        _run(["ip", "-force", "-batch", "-"], text="".join(f"link delete dev {name}\n" for name in ours))
    left = {i.name for i in find_interfaces(run_id)} if ours else set()
    return [f"interface {name}" for name in ours if name not in left]


# ── cgroups, processes, folders, sysctls, faults ─────────────────────────────────────────────────────────────


def find_cgroups(run_id: str | None = None) -> list[Found]:
    return [Found("cgroup", path, run) for path, run in cgroups.find(run_id).items()]


def remove_cgroups(run_id: str, paths: Iterable[str] | None = None) -> list[str]:
    """Remove the run's cgroups (of `paths`, default all) in every hierarchy."""
    top = Names(run_id).cgroup
    wanted = [top] if paths is None else [p for p in paths if p == top or p.startswith(f"{top}/")]
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
        of_run = next((v.removeprefix(mark).decode() for v in variables if v.startswith(mark)), None)
        started = ledger.start_time(int(folder.name))
        if of_run is not None and started is not None and run_id in (None, of_run):
            found.append(Found("process", f"{folder.name} {started}", of_run))
    return found


def remove_processes(run_id: str, entries: Iterable[tuple[int, int]] | None = None) -> list[str]:
    """SIGKILL the run's processes: the recorded (pid, start time) pairs, default all that carry the mark."""
    if entries is None:
        entries = [(int(pid), int(started)) for pid, started in (f.name.split() for f in find_processes(run_id))]
    return [f"process {pid}" for pid, started in entries if _kill(pid, started)]


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


def remove_folders(run_id: str, paths: Iterable[str]) -> list[str]:
    """Remove folders of the run: its own below /run/shaketable, or temporary ones whose name says they are ours."""
    removed = []
    for path in map(Path, paths):
        ours = path.is_relative_to(Names(run_id).folder) or path.name.startswith(f"shaketable-{Names(run_id).tag}")
        if ours and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            removed.append(f"folder {path}")
    return removed


def restore_sysctls(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write the old values back where they still differ."""
    restored = []
    for entry in entries:
        path, old = Path(entry["path"]), str(entry["old"])
        if path.is_relative_to("/proc/sys") and path.exists() and path.read_text().split() != old.split():
            path.write_text(old)
            restored.append(f"sysctl {path} back to {old!r}")
    return restored


# ── a whole ledger, a whole run ──────────────────────────────────────────────────────────────────────────────


def entries(run_id: str, pending: Sequence[ledger.Entry]) -> list[str]:
    """Undo ledger entries, newest first; neighbours of one kind go as a batch. A failure does not stop the rest."""
    done: list[str] = []
    for kind, group in groupby(reversed(pending), key=lambda e: e.kind):
        done += attempt(lambda k=kind, b=[e.fields for e in group]: _batch(run_id, k, b))  # type: ignore[misc]
    return done


def _batch(run_id: str, kind: str, batch: list[Mapping[str, Any]]) -> list[str]:
    if kind == "process":
        return remove_processes(run_id, [(e["pid"], e["start_time"]) for e in batch if e.get("pid")])
    if kind == "sysctl":
        return restore_sysctls(batch)
    if kind == "folder":
        return remove_folders(run_id, [e["path"] for e in batch])
    if kind == "fault":  # it acts on the run's own links, containers and cgroups, which go with it
        return [f"fault {e['verb']} {e['target']}" for e in batch]
    by_name: dict[str, Callable[[str, list[str]], list[str]]] = {
        "container": remove_containers,
        "bridge": remove_bridges,
        "interface": remove_interfaces,
        "cgroup": remove_cgroups,
    }
    return by_name[kind](run_id, [e["path" if kind == "cgroup" else "name"] for e in batch])


def everything(run_id: str) -> list[str]:
    """Remove all that carries the run's mark, ledger or not; the order lets each go (cgroups after containers)."""
    steps = (remove_processes, remove_containers, remove_bridges, remove_interfaces, remove_cgroups)
    return [line for step in steps for line in attempt(lambda s=step: s(run_id))]  # type: ignore[misc]


def find(run_id: str | None = None) -> list[Found]:
    """All of ours that is on the machine, of one run or of all, folders aside."""
    searches = (find_processes, find_containers, find_bridges, find_interfaces, find_cgroups)
    return [found for search in searches for found in search(run_id)]


def blind() -> list[str]:
    """What can't be looked at now because its daemon is installed and does not run."""
    lines = []
    if shutil.which("dockerd") and not _docker_runs():
        lines.append("Docker is not running: if dead runs left containers, start it and clean again")
    if shutil.which("ovs-vsctl") and _run(["ovs-vsctl", "--timeout=5", "--no-wait", "list-br"]).returncode != 0:
        lines.append("Open vSwitch is not running: if dead runs left bridges, start it and clean again")
    return lines


def _docker_runs() -> bool:
    from testbed.world.live import engine

    return os.path.exists(engine.address().removeprefix("unix://"))


def attempt(step: Callable[[], list[str]]) -> list[str]:
    """One step; a failure becomes a line, and the next look finds what is left."""
    try:
        return step()
    except Exception as error:  # removal goes on with the rest whatever happens
        return [f"failed: {type(error).__name__}: {error}"]


def _run(command: list[str], *, text: str = "", timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(command, 124, "", str(error))
