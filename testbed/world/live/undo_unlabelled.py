"""Undo of what can carry no label: settings with their value before, half-made images, namespaces, folders.

The ledger names each before it is touched. What it says is held against a narrow pattern first, so that a ledger
somebody tampered with can restore or remove nothing that a run never makes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live import engine, ledger
from testbed.world.live.names import Names

COMMAND_S = 10.0  # bound on one ip or ovs-vsctl call
SYSCTLS = "/proc/sys/net"  # a run changes no other settings of the host
HALF_MADE = re.compile(r"shaketable/node:new-[0-9a-f]{12}")
OVS_TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
OVS_COLUMNS = ("other_config", "external_ids")
OVS_WORD = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
ZONE = re.compile(r"[1-9][0-9]{0,4}")  # 0 is everybody's


class Away(CannotRun):
    """The daemon that holds the thing does not answer: to be asked again."""


def undo(run_id: str, kind: str, batch: Iterable[Mapping[str, Any]]) -> list[str]:
    """Undo entries of one kind; one line per thing that was changed."""
    by_kind: dict[str, Callable[[str, Mapping[str, Any]], list[str]]] = {
        "sysctl": restore_sysctl,
        "ovs_setting": restore_ovs_setting,
        "conntrack": flush_conntrack,
        "image": remove_half_made,
    }
    if kind not in by_kind:
        raise CannotRun(f"a {kind!r} is unknown to this version: clean with the version that made it")
    return [line for entry in batch for line in by_kind[kind](run_id, entry)]


def restore_sysctl(run_id: str, entry: Mapping[str, Any]) -> list[str]:
    """Write the old value back while the new one stands, unless another run that lives needs it too."""
    path = Path(os.path.realpath(entry["path"]))
    if not path.is_relative_to(SYSCTLS) or not path.is_file():
        return []
    if path.read_text().split() != entry["new"].split() or _needed(run_id, "sysctl", "path", entry["path"]):
        return []
    path.write_text(entry["old"])
    return [f"sysctl {path} back to {entry['old'].strip()!r}"]


def restore_ovs_setting(run_id: str, entry: Mapping[str, Any]) -> list[str]:
    """A key of other_config or external_ids: back to its old value, or away, while ours stands."""
    table, record, column, key = (entry[f] for f in ("table", "record", "column", "key"))
    old, new = entry.get("old"), entry.get("new")
    if table not in OVS_TABLES or column not in OVS_COLUMNS or not isinstance(new, str):
        return []
    if not (OVS_WORD.fullmatch(record) and OVS_WORD.fullmatch(key)):
        return []
    found = command(["ovs-vsctl", "--timeout=5", "--if-exists", "get", table, record, f"{column}:{key}"])
    if found.returncode != 0:
        if "no row" in found.stderr:  # gone with its bridge
            return []
        raise Away(f"Open vSwitch does not answer: {found.stderr.strip()}")
    if found.stdout.strip().strip('"') != new:
        return []
    change = ["remove", table, record, column, key]
    if isinstance(old, str):
        change = ["set", table, record, f'{column}:{key}="{old}"']
    changed = command(["ovs-vsctl", "--timeout=10", *change], timeout_s=15.0)
    if changed.returncode != 0:
        raise CannotRun(f"Open vSwitch did not restore {column}:{key} of {record}: {changed.stderr.strip()}")
    return [f"Open vSwitch {table} {record} {column}:{key} back to {old!r}"]


def flush_conntrack(run_id: str, entry: Mapping[str, Any]) -> list[str]:
    """Connections of one zone of Open vSwitch's datapath; a run's zones are its own while it lives."""
    if not ZONE.fullmatch(entry["zone"]) or _needed(run_id, "conntrack", "zone", entry["zone"]):
        return []
    flush = ["ovs-appctl", "--timeout=5", "dpctl/flush-conntrack"]
    listed = command(["ovs-appctl", "--timeout=5", "dpctl/dump-dps"])
    if listed.returncode != 0:
        raise Away(f"Open vSwitch does not answer: {listed.stderr.strip()}")
    zone, datapaths = f"zone={entry['zone']}", listed.stdout.split()
    # where there is one datapath, Open vSwitch 3.1 refuses its name before a zone
    flushed = [command([*flush, *name, zone]) for name in ([[d] for d in datapaths] if datapaths[1:] else [[]])]
    if datapaths and any(f.returncode != 0 for f in flushed):
        raise CannotRun(f"conntrack {zone} was not flushed: {flushed[0].stderr.strip()}")
    return [f"conntrack {zone}"] if datapaths else []


def remove_half_made(run_id: str, entry: Mapping[str, Any]) -> list[str]:
    """An image under its passing name; a finished one has another and stays."""
    if not HALF_MADE.fullmatch(entry["tag"]):
        return []
    try:
        engine.connect().api.remove_image(entry["tag"], noprune=True)
    except CannotRun as error:
        raise Away(str(error)) from error
    except Exception as error:
        if engine.status_of(error) == 404:
            return []
        raise
    return [f"image {entry['tag']}"]


def remove_namespaces(run_id: str, names: Iterable[str]) -> list[str]:
    """Named network namespaces of the run (`ip netns add`); their names begin with the run's prefix."""
    removed = []
    for name in names:
        ours = name.startswith(Names(run_id).prefix) and "/" not in name
        if ours and Path("/run/netns", name).exists():
            gone = command(["ip", "netns", "delete", name])
            if gone.returncode != 0:
                raise CannotRun(f"namespace {name} was not deleted: {gone.stderr.strip()}")
            removed.append(f"namespace {name}")
    return removed


def remove_folders(run_id: str, paths: Iterable[str]) -> list[str]:
    """Folders of the run: below its own, or temporary ones that begin with the run's whole id. No link is followed."""
    removed = []
    for path in map(Path, paths):
        real = Path(os.path.realpath(path))
        temporary = str(real.parent) == os.path.realpath(tempfile.gettempdir())
        ours = real.is_relative_to(Names(run_id).folder)
        ours = ours or (temporary and real.name.startswith(f"shaketable-{run_id}-") and real.stat().st_uid == 0)
        if ours and real.is_dir() and not path.is_symlink():
            shutil.rmtree(real, ignore_errors=True)
            removed.append(f"folder {real}")
    return removed


def set_sysctl(book: ledger.Ledger, path: str, new: str) -> None:
    """Change a setting of the host for as long as the run lives, undo promised first.

    Where another run has changed it already, what it found is the value to go back to.
    """
    with open(ledger.RUNS / ".settings", "ab") as door:  # two runs at once: one after the other
        fcntl.flock(door, fcntl.LOCK_EX)
        theirs = [e.fields["old"] for _, e in _promised("sysctl") if e.fields["path"] == path]
        old = theirs[0] if theirs else Path(path).read_text()
        if theirs or old.split() != new.split():
            book.add("sysctl", path=path, old=old, new=new)
            Path(path).write_text(new)


def _needed(run_id: str, kind: str, field: str, value: str) -> bool:
    """Whether another run, whose owner lives, has promised the same setting: the last of them restores it."""
    others = (state for state, e in _promised(kind) if e.fields[field] == value and state.run_id != run_id)
    return any(state.owner is not None and state.owner.alive() for state in others)


def _promised(kind: str) -> Iterator[tuple[ledger.State, ledger.Entry]]:
    """Pending entries of a kind in every run's ledger."""
    for folder in sorted(ledger.RUNS.glob("[!.]*")):
        state = ledger.read(folder)
        yield from ((state, e) for e in state.pending if e.kind == kind)


def command(words: list[str], *, text: str = "", timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
    """Run it; code 124 where it is missing or does not end in time. Bytes that are no text are replaced."""
    try:
        return subprocess.run(
            words, input=text, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(words, 124, "", str(error))
