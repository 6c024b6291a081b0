"""A tiny run in a process of its own, its processes by their parts, and blows at chosen moments of its life."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from testbed.world.live import ledger
from testbed.world.live.names import Names
from tests.live_run.kit import ROOT, Command, relatives, until
from tests.world.live.hosts_kit import traces

SCENARIO = Path(__file__).with_name("tiny.yaml")
PROGRAMS = {
    "reaper": b"testbed.world.live.reaper",
    "os-ken": b"testbed.world.live.openflow_process",
    "relay": b"testbed.world.live.links.relay_process",
}
PARTS = ("run", *PROGRAMS)
UP_S, RUN_S, DOWN_S = 3.0, 4.0, 1.0  # about how long each lasts where nothing else runs; blows fall within
BY_ITSELF_S = 10.0  # in which nothing of a killed run may be left
CODES = {0, 3, 4, 130}  # of a run that ends by itself after some part of it was killed; 1 and tracebacks are not


@contextmanager
def tiny(folder: Path, *more: str, **environment: str) -> Iterator[Command]:
    """The command in a session of its own. A test that fails in its middle leaves nothing either."""
    log = folder.with_suffix(".log")
    words = [sys.executable, "-m", "testbed.cli", "run", str(SCENARIO), "--out", str(folder), *more]
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=file, cwd=ROOT, start_new_session=True, env={**os.environ, **environment}
        )
    command = Command(process, folder, log)
    try:
        yield command
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if "run_id" in vars(command) and left(command):
            clean(command)


def pid_of(part: str, command: Command) -> int | None:
    """Of the run under way; None: not there (yet, or any more)."""
    if part == "run":
        return command.process.pid if command.process.poll() is None else None
    mark = f"{ledger.MARK}={command.run_id}".encode()
    folder = Names(command.run_id).folder.encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            ours = folder in words or mark in (entry / "environ").read_bytes().split(b"\0")
            if PROGRAMS[part] in words and ours and ledger.start_time(int(entry.name)) is not None:
                return int(entry.name)
    return None


def left(command: Command, but: tuple[str, ...] = ()) -> list[str]:
    """Of the run on the machine, as ip, docker, ovs-vsctl, /proc and the file system see it. but: names not ours."""
    found = traces(command.run_id) + relatives(command)
    return [f for f in found if not any(name in f for name in but)]


@dataclass
class Blow:
    """When, and whom, in which order."""

    phase: str
    after_s: float
    victims: list[str]
    gaps_s: list[float]

    @staticmethod
    def drawn(dice: random.Random) -> Blow:
        phase = dice.choice(("up", "run", "down"))
        longest = {"up": UP_S, "run": RUN_S, "down": DOWN_S}[phase]
        victims = dice.sample(PARTS, dice.choice((1, 1, 2, 3, 4)))
        gaps = [dice.choice((0.0, 0.0, dice.uniform(0.0, 0.8))) for _ in victims]
        return Blow(phase, dice.uniform(0.0, longest), victims, gaps)


@dataclass
class Tally:
    """What became of the runs that were struck."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    cleaned: int = 0
    gone_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        said = ", ".join(f"{part} {n}" for part, n in self.kills.items())
        by_itself = f"{len(self.gone_s)} gone by itself in {max(self.gone_s, default=0.0):.1f} s at most"
        return f"{sum(self.kills.values())} kills ({said}); {by_itself}, {self.cleaned} cleaned"


def strike(command: Command, blow: Blow) -> list[str]:
    """Wait for the moment, then SIGKILL. Returns the parts that were there and got it."""
    folder = Path(Names(command.run_id).folder)
    until(lambda: folder.exists() or command.process.poll() is not None, "the ledger is there")
    if blow.phase != "up":
        until(lambda: "shaking for" in command.log.read_text() or command.process.poll() is not None, "it is up", 60.0)
    if blow.phase == "down":
        command.process.send_signal(signal.SIGTERM)
    time.sleep(blow.after_s)
    struck = []
    for victim, gap in zip(blow.victims, blow.gaps_s, strict=True):
        pid = pid_of(victim, command)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                struck.append(victim)
        time.sleep(gap)
    return struck


def clean(command: Command) -> None:
    words = [sys.executable, "-m", "testbed.cli", "clean", "--run", command.run_id]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def settle(command: Command, tally: Tally, why: str, but: tuple[str, ...]) -> None:
    """The run is dead, or ends by itself with a known code; then nothing stays, after one `clean` at the latest."""
    code = command.end(60.0)
    died = time.monotonic()
    log = command.log.read_text(errors="replace")
    assert code == -signal.SIGKILL or code in CODES, f"{why}: exit {code}\n{log}"
    assert "Traceback" not in log, f"{why}\n{log}"
    gone(lambda: left(command, but) == [] or pid_of("reaper", command) is None, BY_ITSELF_S)
    if left(command, but) == []:
        tally.gone_s.append(time.monotonic() - died)
        return
    assert code == -signal.SIGKILL, f"{why}: an orderly end left {left(command, but)}\n{log}"
    clean(command)
    tally.cleaned += 1
    assert left(command, but) == [], why


def gone(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
