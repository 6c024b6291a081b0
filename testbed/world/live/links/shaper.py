"""One direction of a link as arithmetic: when does each frame leave? No clock, no descriptors; the caller brings `now`.

A frame of L bytes that arrives at t finds the transmitter busy until F (the virtual finishing time) and is sent by

    F ← max(F, t) + 8 L / r            FIFO, store and forward, rate r bit/s at layer 2
    D ← max(D, F + max(0, d + σ N))    departure: delay d, jitter N of mean 0 and deviation 1, in order

It is refused when (F − t) r / 8 + L, the bytes it would make wait, exceeds the queue, unless nothing waits. A frame
taken by the loss process has used its transmission time. A reordered frame departs at F: it skips the delay and
overtakes what is in it. A duplicate is a second frame right behind the first and uses the link as any other; a
corrupted frame has one bit flipped, anywhere. When r changes to r', what waits at t keeps its remaining
bits: F' = t + (F − t) r / r'. A packet-opportunity trace replaces 8 L / r by the next opportunities' bytes.
All times in s on one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

from testbed.topology.model import Shape
from testbed.world.live.links.base import Flow, queue_bytes
from testbed.world.live.links.fate import Fate
from testbed.world.live.links.mahimahi import Opportunities

NEVER = math.inf
_HALF = 0.5  # bytes, for rounding of times
Held = tuple[float, float, float, bytes]  # F, lag, D, frame


class _Trace:
    """Bytes of opportunities given out: opportunity k has `left` bytes to give, all before it are spent."""

    def __init__(self, opportunities: Opportunities, quota: float, origin: float) -> None:
        self.opportunities, self.quota, self.origin = opportunities, quota, origin
        self.k, self.left = -1, 0.0

    def waiting(self, now: float) -> float:
        """Bytes given out in opportunities after `now`."""
        first = self.opportunities.count(now - self.origin)
        return (self.k - first) * self.quota + self.quota - self.left if self.k >= first else 0.0

    def send(self, now: float, size: int) -> float:
        """Time at which the last of `size` bytes goes; an opportunity nobody used is gone."""
        first = self.opportunities.count(now - self.origin)
        if self.k < first:
            self.k, self.left = first, self.quota
        if size > self.left:
            steps = math.ceil((size - self.left) / self.quota)
            self.k += steps
            self.left += steps * self.quota
        self.left -= size
        return self.origin + self.opportunities.at(self.k)


class Pipe:
    """State of one direction. `frames` holds (F, lag, D, frame) in order, `early` those that skip the delay likewise;
    the caller writes those with D ≤ now."""

    def __init__(self, shape: Shape, seed: str) -> None:
        """seed: names the streams of this direction, e.g. "1/s1--s2/ab"; every chance draws from one of its own."""
        self.created_rate = shape.rate
        self.rate = shape.rate  # in force: the shape's, or the track's times the factor
        self.free = 0.0  # F
        self.last = 0.0  # D
        self.frames: deque[Held] = deque()
        self.early: deque[Held] = deque()
        self.step_at = NEVER  # when the track or trace next changes something
        self.bytes = self.packets = self.dropped = self.lost = 0
        self.fate = Fate(seed)
        self._track: tuple[Sequence[float], Sequence[float], float] | None = None
        self._index = 0
        self._coming: _Trace | None = None
        self._trace: _Trace | None = None
        self._quota = 0.0
        self._take(shape)

    def _take(self, shape: Shape) -> None:
        self.shape, self.limit = shape, queue_bytes(shape)
        self.fate.take(shape)
        # nearly every frame of nearly every link meets nothing but a rate and a delay: that path is one short function
        self.simple = self.fate.plain and not (shape.jitter or shape.loss or shape.reorder)

    def offer(self, now: float, frame: bytes) -> bool:
        """A frame arrives; False when the queue is full (then it is counted dropped)."""
        if now >= self.step_at:
            self.advance(now)
        if self._trace is not None or not self.simple:
            return self._offer(now, frame)
        size, free = len(frame), self.free
        if free <= now:
            free = now
        elif (free - now) * self.rate / 8 + size > self.limit + _HALF:
            self.dropped += 1
            return False
        self.free = free = free + size * 8 / self.rate
        lag = self.shape.delay
        at = free + lag
        if at < self.last:
            at = self.last
        self.last = at
        self.frames.append((free, lag, at, frame))
        return True

    def _offer(self, now: float, frame: bytes) -> bool:
        """With chance and traces in it."""
        if self.fate.plain:
            return self._pass(now, frame)
        frame = self.fate.corrupted(frame)
        taken = self._pass(now, frame)
        if self.fate.doubled():
            self._pass(now, frame)
        return taken

    def _pass(self, now: float, frame: bytes) -> bool:
        size = len(frame)
        waiting = self.waiting(now)
        if waiting > 0 and waiting + size > self.limit + _HALF:
            self.dropped += 1
            return False
        finish = self._transmit(now, size)
        shape, fate = self.shape, self.fate
        if shape.loss and fate.lost():
            self.lost += 1
            return True
        if shape.reorder and fate.early():
            self.early.append((finish, 0.0, finish, frame))
            return True
        lag = shape.delay
        if shape.jitter:
            lag = max(0.0, lag + shape.jitter * fate.jitter())
        self.last = max(self.last, finish + lag)
        self.frames.append((finish, lag, self.last, frame))
        return True

    def waiting(self, now: float) -> float:
        """Bytes not yet transmitted, the unsent part of the frame in transmission included."""
        if self._trace is not None:
            return self._trace.waiting(now)
        return (self.free - now) * self.rate / 8 if self.free > now else 0.0

    def _transmit(self, now: float, size: int) -> float:
        if self._trace is not None:
            return self._trace.send(now, size)
        self.free = (self.free if self.free > now else now) + size * 8 / self.rate
        return self.free

    def next_at(self) -> float:
        """When this direction next needs attention: a departure or a step of its track."""
        at = min(self.frames[0][2], self.step_at) if self.frames else self.step_at
        return min(at, self.early[0][2]) if self.early else at

    def due(self, now: float) -> list[tuple[float, bytes]]:
        """Take the frames that have departed by `now`: (planned departure, frame), counted as delivered."""
        if now >= self.step_at:
            self.advance(now)
        if self.early:
            return self._due_of_two(now)
        frames, gone, size = self.frames, [], 0
        while frames and frames[0][2] <= now:
            _, _, planned, frame = frames.popleft()
            size += len(frame)
            gone.append((planned, frame))
        self.packets += len(gone)
        self.bytes += size
        return gone

    def undelivered(self, frame: bytes) -> None:
        """A frame taken by `due` could not be written: it was dropped."""
        self.packets -= 1
        self.bytes -= len(frame)
        self.dropped += 1

    def _due_of_two(self, now: float) -> list[tuple[float, bytes]]:
        gone = []
        for frames in (self.frames, self.early):
            while frames and frames[0][2] <= now:
                gone.append(frames.popleft()[2:])
        self.packets += len(gone)
        self.bytes += sum(len(frame) for _, frame in gone)
        return sorted(gone, key=lambda one: one[0])

    def change(self, now: float, shape: Shape) -> None:
        """Rate and queue act at once; delay and all that is left to chance on frames that arrive from now on."""
        self.advance(now)
        self._take(shape)
        if self._trace is not None:
            self._trace.quota = self._quota * self._factor()
            self._again(now)
        else:
            self._set_rate(now, self._played_rate())

    def play(self, now: float, times: Sequence[float], rates: Sequence[float], origin: float) -> None:
        """Follow a track; steps that lie in the past are taken at once, in order."""
        self.advance(now)
        was_trace, self._trace, self._coming = self._trace, None, None
        self._track, self._index = (times, rates, origin), 0
        self.step_at = origin + times[0]
        if was_trace is not None:
            self.rate, self.free = self.shape.rate, 0.0
            self._again(now)
        self._set_rate(now, self._played_rate())
        self.advance(now)

    def play_trace(self, now: float, opportunities: Opportunities, quota: float, origin: float) -> None:
        """From `origin` on (or now, where that is past) only the trace's opportunities send, `quota` bytes each."""
        self.advance(now)
        self._quota = quota
        self._coming = _Trace(opportunities, quota * self._factor(), origin)
        self.step_at = max(origin, now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Take every step planned for up to `now`, each at its own time."""
        while self.step_at <= now:
            at = self.step_at
            if self._coming is not None:
                self._trace, self._coming, self._track = self._coming, None, None
                self._trace.quota = self._quota * self._factor()
                self.step_at = NEVER
                self._again(at)
            elif self._track is not None:
                times, _, origin = self._track
                self._index += 1
                self.step_at = origin + times[self._index] if self._index < len(times) else NEVER
                self._set_rate(at, self._played_rate())

    def flush(self) -> int:
        """Throw away everything held, as a link that goes down does; returns and counts the number of frames."""
        gone = len(self.frames) + len(self.early)
        self.frames.clear()
        self.early.clear()
        self.dropped += gone
        self.free = self.last = 0.0
        if self._trace is not None:
            self._trace.k, self._trace.left = -1, 0.0
        return gone

    def flow(self) -> Flow:
        return Flow(self.bytes, self.packets, self.dropped, self.lost, *self.fate.counts())

    def rate_in_force(self) -> float:
        """bit/s; of a trace, its mean."""
        if self._trace is None:
            return self.rate
        trace = self._trace
        return len(trace.opportunities.times) * trace.quota * 8 / trace.opportunities.period

    def _factor(self) -> float:
        return self.shape.rate / self.created_rate

    def _played_rate(self) -> float:
        if self._track is None or self._index == 0:
            return self.shape.rate
        return self._track[1][self._index - 1] * self._factor()

    def _set_rate(self, at: float, rate: float) -> None:
        ratio, self.rate = self.rate / rate, rate
        if ratio == 1.0 or self.free <= at:
            return
        self.free = at + (self.free - at) * ratio
        self._retime(lambda finish, _: at + (finish - at) * ratio if finish > at else finish)

    def _again(self, at: float) -> None:
        """The transmitter changed its nature: what waits is sent anew from `at` (at most one frame begins twice)."""
        if self._trace is not None:
            self._trace.k, self._trace.left = -1, 0.0
        self._retime(lambda finish, size: self._transmit(at, size) if finish > at else finish)

    def _retime(self, again: Callable[[float, int], float]) -> None:
        """New finishing times, in the order of transmission, for all that is held; again(F, bytes) → F'."""
        frames, early, last = self.frames, self.early, 0.0
        self.frames, self.early = deque(), deque()
        while frames or early:
            skips = bool(early) and (not frames or early[0][0] < frames[0][0])
            old, lag, departure, frame = (early if skips else frames).popleft()
            finish = again(old, len(frame))
            if skips:
                self.early.append((finish, 0.0, finish, frame))
                continue
            last = max(last, finish + lag if finish != old else departure)
            self.frames.append((finish, lag, last, frame))
        if self.frames:
            self.last = last
