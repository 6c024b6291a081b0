"""What chance does to a frame: loss, jitter, duplication, reordering, corruption, each from a stream of its own.

Loss is a coin per frame, or the Gilbert–Elliott chain: before each frame the state changes (good → bad with
probability p, bad → good with r), then the frame is lost with the state's own probability. The chain starts in its
stationary distribution, so the mean loss holds from the first frame on; `Shape.chain` gives p and r.
"""

from __future__ import annotations

import random

from testbed.topology.model import Shape
from testbed.world.live.links import jitter


class Fate:
    """Of one direction. plain: neither duplicate nor corrupt is asked for. A change keeps the streams going."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._lose, self._state, self._early, self._double, self._corrupt = (
            random.Random(f"{seed}/{what}") for what in ("loss", "burst", "reorder", "duplicate", "corrupt")
        )
        self.plain = True
        self.duplicated = self.reordered = self.corrupted_frames = 0
        self._shape: Shape | None = None
        self._bad = False

    def take(self, shape: Shape) -> None:
        """Act by this shape from now on."""
        old, self._shape = self._shape, shape
        self.plain = not (shape.duplicate or shape.corrupt)
        if old is None or (old.jitter_law, old.jitter_correlation) != (shape.jitter_law, shape.jitter_correlation):
            self.jitter = jitter.source(shape.jitter_law, shape.jitter_correlation, f"{self._seed}/jitter")
        self.lost = self._independent
        if shape.loss and shape.loss_burst:
            self._worsen, self._mend = shape.chain()
            if old is None or not (old.loss and old.loss_burst):
                self._bad = self._state.random() < self._worsen / (self._worsen + self._mend)
            self.lost = self._gilbert_elliott

    def _independent(self) -> bool:
        assert self._shape is not None
        return self._lose.random() < self._shape.loss

    def _gilbert_elliott(self) -> bool:
        assert self._shape is not None
        if self._state.random() < (self._mend if self._bad else self._worsen):
            self._bad = not self._bad
        return self._lose.random() < (self._shape.loss_bad if self._bad else self._shape.loss_good)

    def early(self) -> bool:
        """Does this frame skip the delay?"""
        assert self._shape is not None
        skips = self._early.random() < self._shape.reorder
        self.reordered += skips
        return skips

    def doubled(self) -> bool:
        """Does a copy follow this frame?"""
        assert self._shape is not None
        doubles = self._double.random() < self._shape.duplicate
        self.duplicated += doubles
        return doubles

    def corrupted(self, frame: bytes) -> bytes:
        """The frame, or one that differs in a single bit."""
        assert self._shape is not None
        if self._corrupt.random() >= self._shape.corrupt:
            return frame
        self.corrupted_frames += 1
        place = self._corrupt.randrange(8 * len(frame))
        damaged = bytearray(frame)
        damaged[place // 8] ^= 1 << place % 8
        return bytes(damaged)

    def counts(self) -> tuple[int, int, int]:
        """Frames duplicated, reordered, corrupted."""
        return self.duplicated, self.reordered, self.corrupted_frames
