"""What a run costs the machine while it goes on: memory, descriptors, threads and processor time, as /proc has them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from testbed.world.live import cgroups
from testbed.world.live.names import Names
from tests.live_run.kit import Command, docker
from tests.torture.kit import PARTS, pid_of

#: Of the whole machine, and so of others too: reported, never judged.
SHARED = ("dockerd", "containerd", "ovs-vswitchd", "ovsdb-server")
TICKS = os.sysconf("SC_CLK_TCK")
MEASURES = ("rss_kb", "descriptors", "threads")


@dataclass(frozen=True, slots=True)
class Sample:
    """One part at one time (s since the sampling began). cpu_s: since the part's process began; of containers: of all
    there ever were. count: processes, or containers whatever their state."""

    at: float
    part: str
    rss_kb: int
    descriptors: int
    threads: int
    cpu_s: float
    count: int = 1


def of_processes(at: float, part: str, pids: Iterable[int], count: int | None = None) -> Sample | None:
    """Their sum; None where none of them is there (any more)."""
    rows = [row for pid in pids if (row := _process(pid)) is not None]
    if not rows:
        return None
    rss, descriptors, threads, cpu = (sum(column) for column in zip(*rows, strict=True))
    return Sample(at, part, int(rss), int(descriptors), int(threads), cpu, len(rows) if count is None else count)


def _process(pid: int) -> tuple[int, int, int, float] | None:
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if "VmRSS" not in status:  # a zombie
        return None
    return (
        int(status["VmRSS"].split()[0]),
        descriptors,
        int(status["Threads"]),
        (int(fields[11]) + int(fields[12])) / TICKS,
    )


class Meter:
    """Samples of one run; every one is a line of `file`, too."""

    def __init__(self, run: Command, file: Path) -> None:
        self.run, self.file, self.samples = run, file, list[Sample]()
        self._names, self._begun = Names(run.run_id), time.monotonic()
        self._pids: dict[str, int] = {}
        self._groups = cgroups.Cgroups("cgroupfs")

    def look(self) -> None:
        at = round(time.monotonic() - self._begun, 3)
        made = [of_processes(at, part, self._own(part)) for part in PARTS]
        made += [of_processes(at, part, _named(part)) for part in SHARED]
        gateways, nodes = self._containers()
        made.append(of_processes(at, "gateways", gateways))
        within = of_processes(at, "nodes", nodes, self._listed())
        if within is not None:
            made.append(Sample(**{**asdict(within), "cpu_s": self._groups.cpu_seconds(self._names.cgroup)}))
        found = [s for s in made if s is not None]
        self.samples += found
        with self.file.open("a") as lines:
            lines.writelines(json.dumps(asdict(s)) + "\n" for s in found)

    def _listed(self) -> int | None:
        """Containers of the run as Docker lists them, dead ones too; None while it does not answer."""
        try:
            return len(docker("ps", "-aq", "--filter", f"label=shaketable.run={self.run.run_id}").split())
        except subprocess.SubprocessError:
            return None

    def _own(self, part: str) -> list[int]:
        pid = self._pids.get(part)
        if pid is None or not Path(f"/proc/{pid}/fd").exists():
            pid = pid_of(part, self.run)
            self._pids.pop(part, None)
            if pid is not None:
                self._pids[part] = pid
        return [] if pid is None else [pid]

    def _containers(self) -> tuple[list[int], list[int]]:
        """Processes in the containers of the ingresses, and of the nodes."""
        mounts = cgroups.mounts()
        top = (mounts.get("cpu") or mounts[""]) / self._names.cgroup.lstrip("/")
        gateways, nodes = list[int](), list[int]()
        for file in top.glob("*/*/cgroup.procs"):
            with suppress(OSError):  # the container ended meanwhile
                (gateways if file.parts[-3].startswith("gw") else nodes).extend(map(int, file.read_text().split()))
        return gateways, nodes


def _named(comm: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text().strip() == comm:
                found.append(int(entry.name))
    return found


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of the first and of the last samples of one part."""

    part: str
    measure: str
    first: float
    last: float

    @property
    def share(self) -> float:
        return self.last / self.first - 1.0 if self.first else 0.0


def growth(samples: Sequence[Sample], since: float, span: float) -> list[Growth]:
    """Per part and measure: the medians of the `span` s from `since` and of the last `span` s."""
    end = max(s.at for s in samples)
    out = []
    for part in dict.fromkeys(s.part for s in samples):
        mine = [s for s in samples if s.part == part]
        first = [s for s in mine if since <= s.at < since + span]
        last = [s for s in mine if s.at > end - span]
        if first and last:
            for measure in (*MEASURES, *(("count",) if part == "nodes" else ())):
                medians = [statistics.median(getattr(s, measure) for s in some) for some in (first, last)]
                out.append(Growth(part, measure, *medians))
    return out


def cores(samples: Sequence[Sample]) -> dict[str, float]:
    """Processor time per second of each part, over the whole time; a process that was started anew counts from 0."""
    out = {}
    for part in dict.fromkeys(s.part for s in samples):
        mine = [s for s in samples if s.part == part]
        used = sum(max(b.cpu_s - a.cpu_s, 0.0) for a, b in pairwise(mine))
        out[part] = used / max(mine[-1].at - mine[0].at, 1e-9)
    return out
