"""What the end-to-end tests share: a small scenario, a run in this process or in one of its own, and waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from testbed.run.execute import execute
from testbed.run.prepare import Prepared, prepare
from testbed.world.live.ledger import start_time
from testbed.world.live.links.mahimahi import bins
from testbed.world.live.names import Names
from testbed.world.live.world import LiveWorld
from tests.world.live.hosts_kit import new_run_id, traces

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
SCENARIO = Path(__file__).with_name("short.yaml")
CALM = ("faults=[]", "bandwidth=[]")
TRACE_BIN = 0.1  # s


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return value


def ready(*sets: str) -> Prepared:
    return prepare(SCENARIO, sets, "live")


@dataclass
class Run:
    """A run in this process. each: called at every slot with this and the slot's status."""

    prepared: Prepared
    folder: Path
    each: Callable[[Run, dict[str, Any]], None] = lambda run, status: None
    run_id: str = field(default_factory=new_run_id)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = Names(self.run_id)
        self.world = LiveWorld(self.run_id, self.said.append)

    def __call__(self) -> dict[str, Any]:
        """The summary. Whatever happens, nothing of it may be left on the machine."""
        before = set(traces(self.run_id))
        try:
            return execute(
                self.prepared, self.world, self.folder, lambda f: bins(f, TRACE_BIN),
                lambda status: self.each(self, status), self.said.append, self.run_id,
            )  # fmt: skip
        finally:
            until(lambda: set(traces(self.run_id)) == before, f"run {self.run_id} gone: {self.said}")

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        return events(self.folder, kind)

    def container(self, host: str, service: str = "") -> str:
        return self.names.container(f"{host}.{service}" if service else host)


def events(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    """Lines of events.jsonl, also of a run under way (whose last line may be half there)."""
    path = folder / "events.jsonl"
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return [e for e in lines if kind in ("", e["kind"])]


def docker(*words: str) -> str:
    return subprocess.check_output(["docker", *words], text=True, stderr=subprocess.PIPE, timeout=60).strip()


def names_of(run_id: str) -> set[str]:
    """Of the run's containers that run."""
    return set(docker("ps", "--filter", f"label=shaketable.run={run_id}", "--format", "{{.Names}}").split())


@dataclass
class Command:
    """`testbed run` in a session of its own, as a terminal has it."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    @cached_property
    def run_id(self) -> str:
        """Kept: a run that could not begin takes its records away."""
        prepared: list[dict[str, Any]] = until(lambda: events(self.folder, "prepared"), "the run begins")
        return str(prepared[0]["run_id"])

    def in_the_middle(self, slots: int = 3) -> None:
        """Until so many slots have passed under load."""
        until(lambda: len(events(self.folder, "slot")) >= slots or self.process.poll() is not None, "load", 60.0)
        assert self.process.poll() is None, self.log.read_text()

    def interrupt(self) -> None:
        """Ctrl-C: every process of the terminal's group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, seconds: float = 40.0) -> int:
        return self.process.wait(seconds)

    def nothing_left(self, seconds: float = 30.0) -> None:
        until(lambda: traces(self.run_id) == [] and relatives(self) == [], "the reaper is done", seconds)


def relatives(command: Command) -> list[str]:
    """Processes of the command's session, and those that name its run's folder; zombies are dead."""
    folder, found = Names(command.run_id).folder.encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            words = (entry / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if (session == command.process.pid or folder in words) and start_time(int(entry.name)) is not None:
            found.append(f"{entry.name} {words!r}")
    return found


@contextmanager
def command(folder: Path, *more: str) -> Iterator[Command]:
    log = folder.with_suffix(".log")
    words = [sys.executable, "-m", "testbed.cli", "run", str(SCENARIO), "--out", str(folder), *more]
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, cwd=ROOT, start_new_session=True)
    started = Command(process, folder, log)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        started.nothing_left(60.0)
