"""The judge of one input: answered in time, within memory, in our own words; and the limits a process sets itself."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.targets import Flaw, Target

LONGEST_S = 5.0
MOST_MEMORY = 500 * 2**20  # bytes beyond what the process has before the first input


@dataclass
class Tally:
    """slowest: s of processor time of this process."""

    target: str
    count: int = 0
    accepted: int = 0
    slowest: float = 0.0
    input: bytes = b""  # the last one; of a flaw, the culprit

    @property
    def peak_mb(self) -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Judge:
    """Feed it inputs; Flaw at the first one that is answered wrongly."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder, self.tally = target, folder, Tally(target.name)

    def __call__(self, data: bytes) -> None:
        self.tally.input = data
        before = time.process_time()
        try:
            with _alarm(LONGEST_S):
                accepted = self.target.run(self.folder, data)
        except Flaw:
            raise
        except MemoryError as error:
            raise Flaw(f"{self.target.name}: more than {MOST_MEMORY >> 20} MB: {data[:500]!r}") from error
        except BaseException as error:
            raise Flaw(f"{self.target.name}: {type(error).__name__}: {error}: {data[:2000]!r}") from error
        self.tally.count += 1
        self.tally.accepted += accepted
        self.tally.slowest = max(self.tally.slowest, time.process_time() - before)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """TimeoutError after so many s of processor time: what waits for other work on the machine does not hang."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not answered within {seconds:g} s")

    former = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, former)


def bound_memory() -> None:
    """From here on this process may have MOST_MEMORY more than it has; beyond, MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
