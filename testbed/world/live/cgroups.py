"""Cgroups of pods: a folder per node with the node's limits, in which Docker puts the node's containers.

Three ways to hold them, chosen by what the daemon uses: cgroup v1 (one hierarchy per controller), cgroup v2 with
the cgroupfs driver (one hierarchy), cgroup v2 with the systemd driver (a slice per node, limits through systemctl).
Paths are as in `Names.cgroup`: below each hierarchy's root, "/shaketable.run-<run>/<node>".
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import CannotRun

PERIOD_US = 100_000  # of the CPU bandwidth controller (kernel default)
LEAST_QUOTA_US = 1_000  # the kernel refuses less
ROOT_NAME = re.compile(r"^shaketable\.run-(?P<run>[A-Za-z0-9_.-]+)$")  # as made by Names.cgroup
SYSTEMD_S = 150.0  # an emulated processor beside other load took more than 30
SLICE_NAME = re.compile(r"^shaketable_run_(?P<run>[A-Za-z0-9_.]+)\.slice$")
_V1_LIMITS = ("cpu", "cpuacct", "memory")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node's containers may use together. cpu: cores; memory: bytes; None: no limit."""

    cpu: float | None = None
    memory: float | None = None


def mounts() -> dict[str, Path]:
    """Controller → mount point of its hierarchy (v1), and "" → the v2 hierarchy, as mounted here."""
    found: dict[str, Path] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault("", Path(where))
        elif kind == "cgroup":
            for option in options.split(","):
                if option in ("cpu", "cpuacct", "memory", "pids", "devices", "freezer", "blkio", "cpuset", "hugetlb",
                              "perf_event", "net_cls", "net_prio", "name=systemd"):  # fmt: skip
                    found.setdefault(option, Path(where))
    return found


def version() -> int:
    """2 where the unified hierarchy holds the cpu controller, else 1; 0: no cgroups here."""
    at = mounts()
    if "cpu" in at:
        return 1
    if "" in at and "cpu" in (at[""] / "cgroup.controllers").read_text().split():
        return 2
    return 0


class Cgroups:
    """Makes, reads and removes the node folders. driver: Docker's, "cgroupfs" or "systemd"."""

    def __init__(self, driver: str) -> None:
        self.version, self.driver, self._mounts = version(), driver, mounts()
        if self.version == 0:
            raise CannotRun(
                "this machine has no cgroup hierarchy with the cpu controller: mount one (`mount -t cgroup2 none "
                "/sys/fs/cgroup`), then start Docker again"
            )

    def parent(self, path: str) -> str:
        """What Docker takes as `cgroup_parent` for containers of the node at `path`."""
        return slice_name(path) if self.driver == "systemd" else path

    def create(self, path: str, limits: Limits) -> None:
        """Make `path` (and its parent) with its limits, before the first container is in it."""
        if self.driver == "systemd":
            _systemctl("start", slice_name(path))
        elif self.version == 2:
            self._create_v2(path)
        else:
            for folder in self._limit_folders(path):
                folder.mkdir(parents=True, exist_ok=True)
        self.limit(path, limits)

    def limit(self, path: str, limits: Limits) -> None:
        """Set the limits, also while containers run (0.1 ms by file)."""
        if self.driver == "systemd":
            cpu = "" if limits.cpu is None else f"{limits.cpu * 100:.2f}%"  # systemd takes two decimals, no more
            most = "infinity" if limits.memory is None else str(int(limits.memory))
            _systemctl("set-property", "--runtime", slice_name(path), f"CPUQuota={cpu}", f"MemoryMax={most}")
            return
        quota, memory = _quota_us(limits), -1 if limits.memory is None else int(limits.memory)
        if self.version == 2:
            folder = self._mounts[""] / path.lstrip("/")
            (folder / "cpu.max").write_text(f"{'max' if quota < 0 else quota} {PERIOD_US}")
            (folder / "memory.max").write_text("max" if memory < 0 else str(memory))
        else:
            cpu_folder = self._mounts["cpu"] / path.lstrip("/")
            (cpu_folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (cpu_folder / "cpu.cfs_quota_us").write_text(str(quota))
            (self._mounts["memory"] / path.lstrip("/") / "memory.limit_in_bytes").write_text(str(memory))

    def limits(self, path: str) -> Limits:
        """The limits in force, read from the kernel."""
        if self.version == 2:
            folder = self._folder("", path)
            cpu, memory = _limit(folder / "cpu.max").split(), _limit(folder / "memory.max")
            return Limits(
                None if cpu[0] == "max" else int(cpu[0]) / int(cpu[1]), None if memory == "max" else float(memory)
            )
        folder = self._folder("cpu", path)
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        most = int((self._folder("memory", path) / "memory.limit_in_bytes").read_text())
        return Limits(None if quota_us < 0 else quota_us / period_us, None if most >= 2**62 else float(most))

    def cpu_seconds(self, path: str) -> float:
        """CPU time used by everything ever in `path`, s; the kernel's own counter."""
        if self.version == 2:
            stat = (self._folder("", path) / "cpu.stat").read_text().split()
            return int(stat[stat.index("usage_usec") + 1]) / 1e6
        return int((self._folder("cpuacct", path) / "cpuacct.usage").read_text()) / 1e9

    def memory_bytes(self, path: str) -> float:
        """Memory in use in `path` now, page cache included, bytes."""
        if self.version == 2:
            return float((self._folder("", path) / "memory.current").read_text())
        return float((self._folder("memory", path) / "memory.usage_in_bytes").read_text())

    def holds(self, path: str, pid: int) -> bool:
        """Whether `pid` is inside `path`, by its /proc/PID/cgroup."""
        below = "/" + slice_name(path) + "/" if self.driver == "systemd" else path.rstrip("/") + "/"
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        wanted = {"cpu", "memory"} if self.version == 1 else {""}
        inside = {c for line in lines for c in line.split(":")[1].split(",") if below in line.split(":", 2)[2] + "/"}
        return wanted <= inside

    def container(self, controller: str, path: str, container: str) -> Path:
        """Folder of a container of the node at `path`; controller: "" on v2."""
        leaf = f"docker-{container}.scope" if self.driver == "systemd" else container
        return self._folder(controller, path) / leaf

    def frozen(self, path: str, container: str) -> bool:
        """Has somebody paused this container? False where there is no freezer, or no container any more."""
        try:
            if self.version == 2:
                return "frozen 1" in (self.container("", path, container) / "cgroup.events").read_text()
            return "THAWED" not in (self.container("freezer", path, container) / "freezer.state").read_text()
        except (OSError, KeyError):
            return False

    def first_process(self, path: str, container: str) -> int | None:
        """Pid of a running container's first process, which is number 1 inside; None: the kernel does not tell."""
        try:
            folder = self.container("cpu" if self.version == 1 else "", path, container)
            pids = sorted(map(int, (folder / "cgroup.procs").read_text().split()))
            return next((pid for pid in pids if _number_inside(pid) == 1), None)
        except (OSError, KeyError):
            return None

    def _folder(self, controller: str, path: str) -> Path:
        if self.driver == "systemd":
            parent, leaf = slice_name(path.rpartition("/")[0] or path), slice_name(path)
            return self._mounts[controller] / parent / (leaf if leaf != parent else "")
        return self._mounts[controller] / path.lstrip("/")

    def _limit_folders(self, path: str) -> Iterator[Path]:
        for controller in _V1_LIMITS:
            if controller not in self._mounts:
                raise CannotRun(f"the cgroup controller {controller!r} is not mounted: nodes can't have limits")
            yield self._mounts[controller] / path.lstrip("/")

    def _create_v2(self, path: str) -> None:
        """Controllers are handed down one level at a time (cgroup-v2: `cgroup.subtree_control`)."""
        folder = self._mounts[""]
        for part in path.strip("/").split("/"):
            (folder / "cgroup.subtree_control").write_text("+cpu +memory +pids")
            folder = folder / part
            folder.mkdir(exist_ok=True)
        (folder / "cgroup.subtree_control").write_text("+cpu +memory +pids")


def _number_inside(pid: int) -> int:
    """The process's id in its innermost pid namespace."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def same(found: Limits, asked: Limits) -> bool:
    """Whether the kernel holds what was asked, up to its units (microseconds per period, pages)."""
    cpu = asked.cpu if asked.cpu is None else _quota_us(asked) / PERIOD_US
    if (found.cpu is None) != (cpu is None) or (found.memory is None) != (asked.memory is None):
        return False
    page = os.sysconf("SC_PAGE_SIZE")
    return abs((found.cpu or 0) - (cpu or 0)) < 1e-3 and abs((found.memory or 0) - (asked.memory or 0)) <= page


def _limit(file: Path) -> str:
    """As the kernel writes it. systemd takes a controller away from a slice that has no limit of its kind."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        if file.parent.is_dir():
            return "max"
        raise


def slice_name(path: str) -> str:
    """ "/shaketable.run-R/n1" → "shaketable_run_R-n1.slice"; a hyphen means "inside" to systemd, so ours become _."""
    parts = path.strip("/").split("/")
    root = ROOT_NAME.match(parts[0])
    head = "shaketable_run_" + (root["run"] if root else parts[0])
    return "-".join(re.sub(r"[^A-Za-z0-9_.]", "_", p) for p in [head, *parts[1:]]) + ".slice"


def _quota_us(limits: Limits) -> int:
    return -1 if limits.cpu is None else max(LEAST_QUOTA_US, round(limits.cpu * PERIOD_US))


def find(run_id: str | None = None) -> dict[str, str]:
    """Top folders of ours (of one run, or of all) in any hierarchy: path → run id."""
    found = {}
    for mount in set(mounts().values()):
        for child in mount.iterdir() if mount.is_dir() else ():
            match = ROOT_NAME.match(child.name)
            if match and child.is_dir() and run_id in (None, match["run"]):
                found[f"/{child.name}"] = match["run"]
            in_slice = SLICE_NAME.match(child.name)
            of_run = (run_id or in_slice["run"]) if in_slice else None
            if of_run is not None and slice_name(f"/shaketable.run-{of_run}") == child.name:
                found[f"/shaketable.run-{of_run}"] = of_run
    return found


def remove(path: str) -> bool:
    """Remove `path` (ours: its first part is a run's) and all below it, in every hierarchy. True: nothing is left.

    Containers are gone before; a folder with a process in it stays and the answer is False.
    """
    if not ROOT_NAME.match(path.strip("/").split("/")[0]):
        raise ValueError(f"{path!r} is not a cgroup of a run")
    gone = True
    for mount in set(mounts().values()):
        top = mount / path.strip("/")
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                gone = False  # busy: a process is still ending
        _remove_slices(mount / slice_name(path))
    return gone


def _remove_slices(top: Path) -> None:
    """Stop a run's slice, which stops those inside, and drop the limits systemd keeps for them until a reboot."""
    if top.is_dir():
        slices = [top.name, *(child.name for child in top.iterdir() if child.name.endswith(".slice"))]
        _systemctl("stop", top.name)
        _systemctl("revert", *slices)


def _systemctl(*arguments: str) -> None:
    command = f"`systemctl {' '.join(arguments)}`"
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=SYSTEMD_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"{command} was not done within {SYSTEMD_S:.0f} s: is this machine overloaded?") from None
    if done.returncode != 0:
        raise CannotRun(f"{command} failed: {done.stderr.strip()}")
