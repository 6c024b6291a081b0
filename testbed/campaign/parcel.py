"""One piece of a campaign's work: what goes to a worker, what it does with it, what comes back.

A worker needs no file of the client's: the scenario's files travel with the order, and the run's folder travels back.
Only the client writes into the campaign's folder, so a worker that dies leaves nothing there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from controller.decision import Placement
from testbed.campaign.grid import Job, run_group
from testbed.campaign.identity import differences, identity
from testbed.errors import CannotRun, InputError
from testbed.record.folder import MARKER
from testbed.scenario.loader import files_of
from testbed.topology.build import SHIPPED as NETWORKS
from testbed.verdict.cells import Cell

FAST = 1  # zlib's level: a run's tables shrink to a third at once, more only slowly
ENDS_WELL = (0, 1, 3)  # exit codes of `testbed run` that leave a whole folder
PR_SET_PDEATHSIG = 1
REMEMBERED = 256
#: Core placements this worker has asked for: load and faults change none, so most orders find theirs here.
_placements: dict[bytes, Placement] = {}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A scenario's own files: name relative to its folder → contents. file: which of them is the scenario."""

    file: str
    contents: Mapping[str, bytes]

    @classmethod
    def of(cls, path: Path, settings: Sequence[Sequence[str]]) -> Bundle:
        """All that any of the settings needs, beside what every worker has. Raises InputError for a file elsewhere."""
        folder = path.resolve().parent
        found = {f for sets in settings for f in files_of(path, sets)}
        for file in found:
            if not file.is_relative_to(folder) and not _shipped(file):
                raise InputError(
                    f"{file}: lies outside the scenario's folder {folder}, and workers get that folder's files only: "
                    "copy it there and name it in the scenario"
                )
        near = sorted(f for f in found if f.is_relative_to(folder))
        return cls(path.name, {f.relative_to(folder).as_posix(): f.read_bytes() for f in near})

    def unpack(self, folder: Path) -> Path:
        for name, content in self.contents.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return folder / self.file


def _shipped(file: Path) -> bool:
    return file.is_relative_to(NETWORKS) or file.is_relative_to(NETWORKS.parent / "scenarios")


@dataclass(frozen=True, slots=True)
class Order:
    """Runs of one world that share their placement: (key, cell) each. ours: the client's identity.

    bound: whether the fluid bound is wanted too; a search that asks a summary one question does without.
    """

    bundle: Bundle
    world: str
    runs: tuple[tuple[str, Cell], ...]
    ours: dict[str, str]
    bound: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """A run that came back. files: name → compressed contents, empty where there is no run; error: why."""

    key: str
    error: str | None
    files: Mapping[str, bytes]


def carry_out(order: Order) -> list[Made]:
    """In a worker. Raises CannotRun where this worker is not of the client's kind."""
    if different := differences(order.ours, identity()):
        raise CannotRun(f"a worker is not like the client: {'; '.join(different)}")
    with tempfile.TemporaryDirectory(prefix="shaketable-") as name:
        folder = Path(name)
        file = order.bundle.unpack(folder / "scenario")
        make = _live if order.world == "live" else _twin
        return list(make(file, order, folder))


def _twin(file: Path, order: Order, folder: Path) -> Iterator[Made]:
    jobs = [Job(file, cell, order.world, folder / "runs" / key) for key, cell in order.runs]
    if len(_placements) > REMEMBERED:
        _placements.clear()
    for (key, _), outcome in zip(order.runs, run_group(jobs, _placements, bound=order.bound), strict=True):
        yield _packed(key, outcome.job.folder, outcome.error, folder)


def _live(file: Path, order: Order, folder: Path) -> Iterator[Made]:
    """`testbed run` in a process of its own: it handles its signals, and dies with this worker."""
    for key, cell in order.runs:
        out = folder / "runs" / key
        sets = [word for s in cell.sets for word in ("--set", s)]
        words = [sys.executable, "-m", "testbed.cli", "run", str(file), "--in", "live", "--seed", str(cell.seed)]
        done = subprocess.run(
            [*words, *sets, "--out", str(out)], capture_output=True, text=True, check=False, preexec_fn=_with_the_worker
        )
        error = None if done.returncode in ENDS_WELL else done.stderr.strip() or f"exit code {done.returncode}"
        yield _packed(key, out, error, folder)


def _with_the_worker() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _packed(key: str, out: Path, error: str | None, folder: Path) -> Made:
    """error: with the names of the scenario's files, not of where this worker happened to put them."""
    if error is not None:
        return Made(key, error.replace(f"{folder / 'scenario'}{os.sep}", ""), {})
    found = {f.name: zlib.compress(f.read_bytes(), FAST) for f in out.iterdir() if f.is_file()}
    shutil.rmtree(out)
    return Made(key, None, found)


def put(made: Made, folder: Path) -> None:
    """In the client: the run's folder, whole or not at all. Raises CannotRun where it can't be written."""
    if MARKER not in made.files or any(PurePosixPath(n).name != n or n in (".", "..") for n in made.files):
        raise CannotRun(f"{folder.name}: what a worker sent back is no run folder")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, content in made.files.items():
            (part / name).write_bytes(zlib.decompress(content))
        if folder.exists():  # damaged, or it would not have been made again
            shutil.rmtree(folder)
        part.rename(folder)
    except (OSError, zlib.error) as error:
        raise CannotRun(f"{folder}: can't be written ({error})") from None
