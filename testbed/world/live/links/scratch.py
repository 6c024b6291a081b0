"""Two network namespaces of our own with links between them: where links are calibrated, apart from any run.

A namespace is held by a process that sleeps in it, written to a ledger like everything a run makes; when that process
goes, namespace and interfaces go with it. The reaper removes both when this process dies.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live import ledger, reaper
from testbed.world.live.links import choice, kernel
from testbed.world.live.links.base import End, LinkBackend, WireLink
from testbed.world.live.links.measure import Probe
from testbed.world.live.names import LABEL, Names

_HOLD = "echo held; exec sleep infinity"


@dataclass
class Scratch:
    """Link i joins k<i>a in namespace a (10.78.i.1) with k<i>b in namespace b (10.78.i.2); at most 250 at a time."""

    names: Names
    book: ledger.Ledger
    a: str = ""  # paths of the namespaces
    b: str = ""
    _holders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def hold(self) -> None:
        """Make both namespaces."""
        paths = []
        for end in "ab":
            self.book.add("process", what=f"namespace {end} for calibration")
            holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", _HOLD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                env=ledger.marked_environment(self.names.run_id),
            )  # fmt: skip
            self._holders.append(holder)
            assert holder.stdout is not None
            if holder.stdout.readline() != b"held\n":
                raise CannotRun("no network namespace could be made: run as root (`sudo testbed doctor --links`)")
            paths.append(f"/proc/{holder.pid}/ns/net")
        self.a, self.b = paths

    def release(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()
        self._holders.clear()

    @contextlib.contextmanager
    def links(self, kind: str, seed: int, shapes: Sequence[Shape]) -> Iterator[tuple[LinkBackend, list[WireLink]]]:
        """Links of these shapes toward b, plain ones back, addressed and with permanent neighbours; gone at the end."""
        made = [
            WireLink(f"l{i}", End(f"k{i}a", self.a), End(f"k{i}b", self.b), shape, Shape(shape.rate))
            for i, shape in enumerate(shapes)
        ]
        backend = choice.make(kind, seed, f"{LABEL}={self.names.run_id}")
        try:
            if pid := getattr(backend, "pid", None):
                self.book.add("process", what="link relay", pid=pid, start_time=ledger.start_time(pid))
            backend.create(made)
            self._address(len(made))
            yield backend, made
        finally:
            backend.close()

    def _address(self, number: int) -> None:
        macs = []
        for netns in (self.a, self.b):
            macs.append({link["ifname"]: link["address"] for link in kernel.ask(["ip", "-j", "link"], netns)})
        for own, other, netns, there in (("a", "b", self.a, macs[1]), ("b", "a", self.b, macs[0])):
            lines = []
            for i in range(number):
                here, far = self.address(i, own), self.address(i, other)
                lines.append(f"addr add {here}/24 dev k{i}{own}")
                lines.append(f"neigh replace {far} lladdr {there[f'k{i}{other}']} dev k{i}{own} nud permanent")
            kernel.run(["ip", "-batch", "-"], netns, "\n".join(lines) + "\n")

    @staticmethod
    def address(index: int, end: str) -> str:
        return f"10.78.{index}.{1 if end == 'a' else 2}"

    def probe(self, index: int, rate: float) -> Probe:
        """To measure.measure: link number `index` from a to b."""
        ends = self.address(index, "a"), self.address(index, "b")
        return Probe(f"l{index}", self.a, self.b, *ends, f"k{index}b", rate)


@contextlib.contextmanager
def scratch(run_id: str) -> Iterator[Scratch]:
    """Two namespaces, and a ledger with its reaper behind them; all of it gone at the end."""
    names = Names(run_id)
    folder = Path(names.folder)
    book = ledger.Ledger(run_id, folder)
    keeper = reaper.spawn(folder)
    made = Scratch(names, book)
    try:
        made.hold()
        yield made
    finally:
        made.release()
        book.done(*(entry.number for entry in book.pending()))
        book.close()
        reaper.leave(keeper)
