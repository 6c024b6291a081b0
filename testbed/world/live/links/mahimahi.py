"""Packet-opportunity files as Mahimahi's mm-link reads them: one integer per line, milliseconds, never decreasing.

Each line is one chance to send one packet; a repeated time is several chances at once. The file repeats for ever and
its last time is the period (Netravali et al., USENIX ATC 2015; mm-link(1)), so a file of the single line "1" is one
packet per millisecond, and the chance at the period coincides with one at 0 of the next round.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from testbed.errors import InputError, Problem

MAX_BYTES = 64 * 1024 * 1024
OPPORTUNITY_BYTES = 1500.0  # what one opportunity carries in the files of the literature
_LONGEST = 15  # digits; a longer number of milliseconds is no time
LONGEST_MS = 24 * 3600 * 1000  # of a round; its bins are kept in memory


@dataclass(frozen=True, slots=True)
class Opportunities:
    """Instants at which a packet may leave: `times` in s from the start of a round (last == period), scaled."""

    times: Sequence[float]
    period: float

    def scaled(self, factor: float) -> Opportunities:
        return Opportunities(array("d", (t * factor for t in self.times)), self.period * factor)

    def count(self, elapsed: float) -> int:
        """Opportunities in [0, elapsed]."""
        if elapsed < 0:
            return 0
        rounds, rest = divmod(elapsed, self.period)
        return int(rounds) * len(self.times) + bisect_right(self.times, rest)

    def at(self, index: int) -> float:
        """Time of opportunity `index` (0 the first), s from the start of the first round."""
        rounds, place = divmod(index, len(self.times))
        return rounds * self.period + self.times[place]


def _fail(path: str, line: int, message: str) -> InputError:
    return InputError([Problem(path, line, 1, "opportunity", message)])


def _read(path: str) -> list[bytes]:
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise _fail(
                path, 1, f"the file has {size} bytes, at most {MAX_BYTES} are read: cut it to the part you need"
            )
        with open(path, "rb") as file:
            return file.read().splitlines()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): give a Mahimahi packet-opportunity file"
        ) from None


def parse(path: str) -> Opportunities:
    """Read and check a file; InputError names file and line, what was found there and what is allowed."""
    lines = _read(path)
    if not lines:
        raise _fail(path, 1, "the file is empty: it needs one line of milliseconds per packet opportunity, like 17")
    times = array("d", bytes(8 * len(lines)))
    previous = 0
    for index, text in enumerate(lines):
        if not text.isdigit() or len(text) > _LONGEST:
            found = text[:40].decode("ascii", "replace")
            raise _fail(path, index + 1, f"{found!r} is not a time: one whole number of milliseconds per line, like 17")
        value = int(text)
        if value < previous:
            raise _fail(path, index + 1, f"{value} comes after {previous}: times never decrease; sort the lines")
        if value > LONGEST_MS:
            raise _fail(path, index + 1, f"{value} ms is more than 24 h: cut the file to the part you need")
        previous = value
        times[index] = value / 1000
    if previous == 0:
        raise _fail(
            path, len(lines), "the last time is 0 and the last time is the period: end with a time of 1 or more"
        )
    return Opportunities(times, previous / 1000)


def bins(
    path: str, width_s: float = 0.1, opportunity_bytes: float = OPPORTUNITY_BYTES
) -> tuple[list[float], list[float]]:
    """Mean rate of one round in bins of `width_s`: (times of the bins' starts in s, rates in bit/s).

    A last bin cut short by the period is averaged over what there is of it. The chance at the period itself is the
    next round's time 0; it is counted here, in the last bin, so that a round carries all its chances.
    """
    trace = parse(path)
    starts, rates = [], []
    done, index = 0, 0
    total = len(trace.times)
    while index * width_s < trace.period - 1e-9:
        start = index * width_s
        end = min(start + width_s, trace.period)
        last = end >= trace.period - 1e-9
        upto = (
            total if last else bisect_right(trace.times, end - 5e-4)
        )  # whole ms: the half separates t < end from t = end
        starts.append(start)
        rates.append((upto - done) * opportunity_bytes * 8 / (end - start))
        done, index = upto, index + 1
    return starts, rates
