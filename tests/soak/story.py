"""One soak: a run in a process of its own, looked at from outside every few seconds until it ends by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.world.live.names import Names
from tests.live_run.kit import ROOT, Command, until
from tests.soak.meter import Growth, Meter, growth
from tests.soak.plan import settings
from tests.soak.reading import Soaked, soaked
from tests.torture.kit import left

SCENARIO = Path(__file__).with_name("soak.yaml")
LOOK_S = 10.0
WARM_S = 120.0  # until every part has done everything once
SPAN_S = 600.0  # of the medians that are compared; of a shorter run, a sixth of it
LATE_S = 300.0  # after its time a run that is still there hangs


@dataclass(frozen=True)
class Soak:
    """code: the exit code; left: of the run on the machine after its end."""

    code: int
    left: list[str]
    run: Soaked
    meter: Meter
    seconds: float

    def growth(self) -> list[Growth]:
        span = min(SPAN_S, self.seconds / 6)
        return growth(self.meter.samples, min(WARM_S, self.seconds / 6), span)


def soak(
    folder: Path, seconds: float, gap_s: float = 60.0, length_s: float = 10.0, policy: str | None = None, seed: int = 1,
    say: Callable[[str], None] = print,
) -> Soak:  # fmt: skip
    """Run it. policy: in place of the scenario's. AssertionError where it hangs, InputError without whole records."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sets = [word for value in settings(seconds, gap_s, length_s) for word in ("--set", value)]
    sets += ["--policy", policy, "--set", "policy.parameters={begin_load: 16}"] if policy else []
    log = folder.with_suffix(".log")
    words = [
        sys.executable,
        "-m",
        "testbed.cli",
        "run",
        str(SCENARIO),
        "--out",
        str(folder),
        "--seed",
        str(seed),
        *sets,
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, cwd=ROOT, start_new_session=True)
    run = Command(process, folder, log)
    try:
        until(lambda: "shaking for" in log.read_text() or process.poll() is not None, "it is up", 120.0)
        assert process.poll() is None, log.read_text()
        meter = Meter(run, folder.with_suffix(".samples.jsonl"))
        _watch(run, meter, seconds + LATE_S)
        code = run.end(1.0)
        assert "Traceback" not in log.read_text(), log.read_text()
        say(f"{folder.name}: ended with exit code {code}")
        return Soak(code, left(run), soaked(folder), meter, seconds)
    finally:
        if process.poll() is None:  # it still writes its records, and removes what it made
            process.terminate()
            try:
                process.wait(60.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _watch(run: Command, meter: Meter, most_s: float) -> None:
    begun = time.monotonic()
    ending = Path(Names(run.run_id).folder)
    while run.process.poll() is None:
        assert time.monotonic() < begun + most_s, "the run hangs\n" + run.log.read_text()[-4000:]
        if ending.exists() and not (run.folder / "tasks.sqlite").exists():
            meter.look()
        next_ = begun + (int((time.monotonic() - begun) / LOOK_S) + 1) * LOOK_S
        while time.monotonic() < next_ and run.process.poll() is None:
            time.sleep(0.5)
