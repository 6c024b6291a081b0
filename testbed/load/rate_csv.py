"""Bandwidth from a CSV of times and rates: a header with units, then one line per change.

    time_s,rate_Mbit_s
    0,40
    2.5,12.5
    6,0

Columns: `time_s` or `time_ms`; `rate_bit_s`, `rate_kbit_s`, `rate_Mbit_s` or `rate_Gbit_s`; others are ignored. The
first line is time 0 whatever its number; a rate holds until the next line, the last one as long as the one before it
did, and then the file repeats. A rate of 0 is an outage.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from testbed.catalogue import nearest
from testbed.errors import InputError, Problem

TIMES = {"time_s": 1.0, "time_ms": 1e-3}
RATES = {"rate_bit_s": 1.0, "rate_kbit_s": 1e3, "rate_Mbit_s": 1e6, "rate_Gbit_s": 1e9}
MOST_BYTES = 64 * 2**20
MOST_RATE = 1e12  # bit/s
_PLACE = "bandwidth.file"


def _problem(path: Path, line: int, message: str) -> InputError:
    return InputError([Problem(str(path), line, 1, _PLACE, message)])


def read(file: str) -> tuple[list[float], list[float], float]:
    """(times s from 0 on, rates bit/s, period s). Raises InputError with file, line, what was found and is allowed."""
    path = Path(file)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _problem(path, 1, f"larger than {MOST_BYTES // 2**20} MiB: cut it to the part you need")
        with path.open(newline="", encoding="utf-8", errors="replace") as source:
            times, rates = _rows(path, csv.reader(source, strict=True))
    except OSError as error:
        raise _problem(path, 1, f"cannot be read ({error.strerror}): give a CSV of times and rates") from None
    if not times:
        raise _problem(path, 2, "holds no line of a time and a rate: add one, like 0,40")
    first = times[0]
    times = [t - first for t in times]
    last = times[-1] - times[-2] if len(times) > 1 else 1.0
    return times, rates, times[-1] + last


def _rows(path: Path, reader: Any) -> tuple[list[float], list[float]]:
    times: list[float] = []
    rates: list[float] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        (at, second), (rate_at, bit) = _column(path, header, TIMES), _column(path, header, RATES)
        for row in reader:
            if not row:
                continue
            if len(row) <= max(at, rate_at):
                found = f"the line has {len(row)} fields, the header {len(header)}"
                raise _problem(path, reader.line_num, f"{found}: mend or remove it")
            t, rate = (_number(path, reader.line_num, row[i]) for i in (at, rate_at))
            if times and t * second <= times[-1]:
                raise _problem(
                    path, reader.line_num, f"time {row[at]!r} does not come after the line before: sort them"
                )
            if not 0 <= rate * bit <= MOST_RATE:
                raise _problem(path, reader.line_num, f"{row[rate_at]!r} is no rate: 0 to 1000 Gbit/s")
            times.append(t * second)
            rates.append(rate * bit)
    except csv.Error as error:
        raise _problem(path, reader.line_num, f"is no CSV ({error}): mend the line") from None
    return times, rates


def _column(path: Path, header: list[str], units: dict[str, float]) -> tuple[int, float]:
    """Where the one column of these is, and what its numbers are multiplied by."""
    found = [name for name in header if name in units]
    if len(found) != 1:
        have = ", ".join(name[:40] for name in header[:8]) or "nothing"
        wish = nearest(next((h for h in header if h.startswith(next(iter(units))[:4])), ""), list(units))
        raise _problem(
            path, 1, f"the first line names the columns; one of {', '.join(units)} is needed, found {have}. {wish}"
        )
    return header.index(found[0]), units[found[0]]


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _problem(path, line, f"{text[:40]!r} is not a number: each line holds a time and a rate, like 2.5,12.5")
    return value
