"""The thread that walks bandwidth tracks of htb links: one waiting `tc -batch` per shaping device, a line per step."""

from __future__ import annotations

import heapq
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links.base import queue_bytes
from testbed.world.live.links.kernel import entered

Key = tuple[str, str]  # link, direction


@dataclass(slots=True)
class Track:
    """What a device is to follow. instants: monotonic s; rates: bit/s before the factor; shape: queue as configured."""

    netns: str | None
    device: str
    instants: Sequence[float]
    rates: Sequence[float]
    factor: float
    shape: Shape
    index: int = -1  # of the step in force; -1 before the first
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def shape_in_force(self) -> Shape:
        """A default queue follows the configured rate, not the track's: buffers do not change with the weather."""
        rate = self.shape.rate if self.index < 0 else self.rates[self.index] * self.factor
        return replace(self.shape, rate=rate, queue=queue_bytes(self.shape))


class Player:
    """write: turns a device and a shape into tc lines. Thread-safe."""

    def __init__(self, lines: Callable[[str, Shape], list[str]]) -> None:
        self._lines = lines
        self._tracks: dict[Key, Track] = {}
        self._heap: list[tuple[float, int, Key, Track]] = []
        self._count = 0
        self._failure = ""
        self._closed = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def play(self, key: Key, track: Track) -> None:
        with self._wake:
            self._stop(self._tracks.pop(key, None))
            with entered(track.netns):
                track.process = subprocess.Popen(
                    ["tc", "-batch", "-"],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip
            self._tracks[key] = track
            self._plan(key, track)
            if self._thread is None:
                self._thread = threading.Thread(target=self._walk, name="htb-tracks", daemon=True)
                self._thread.start()
            self._wake.notify()

    def scale(self, key: Key, factor: float, shape: Shape) -> bool:
        """Give the track of this device a new factor and queue at once; False when none plays there."""
        with self._wake:
            track = self._tracks.get(key)
            if track is None:
                return False
            track.factor, track.shape = factor, shape
            self._write(track)
            return True

    def check(self) -> None:
        """CannotRun when tc refused a step."""
        if self._failure:
            raise CannotRun(self._failure)

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        for track in self._tracks.values():
            self._stop(track)
        self._tracks.clear()

    def _plan(self, key: Key, track: Track) -> None:
        if track.index + 1 < len(track.instants):
            self._count += 1  # breaks ties, so that tracks are never compared
            heapq.heappush(self._heap, (track.instants[track.index + 1], self._count, key, track))

    def _walk(self) -> None:
        with self._wake:
            while not self._closed:
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                _, _, key, track = heapq.heappop(self._heap)
                if self._tracks.get(key) is track:  # else another track has replaced it
                    track.index += 1
                    self._write(track)
                    self._plan(key, track)

    def _write(self, track: Track) -> None:
        assert track.process is not None and track.process.stdin is not None
        try:
            track.process.stdin.write("\n".join(self._lines(track.device, track.shape_in_force())) + "\n")
            track.process.stdin.flush()
        except OSError:
            said = track.process.stderr.read().strip() if track.process.stderr else ""
            self._failure = f"the bandwidth track on {track.device} stopped, tc said: {said or 'nothing'}"

    def _stop(self, track: Track | None) -> None:
        if track is not None and track.process is not None:
            track.process.communicate()  # closes its input, at which it ends
