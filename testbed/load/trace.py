"""Arrivals and sizes from a CSV trace (for example one hour of requests to a language model).

Tokens become bytes and work like this, and `plan` says so: a request of c context tokens and g generated tokens
multiplies the bytes of its DAG by c / mean(c), the work of its light services by c / mean(c), and the work of
its core services by (c + 10 g) / mean(c + 10 g): decoding a token costs about ten times what reading one costs.
Every factor is cut to [0.1, 4]. Requests are dealt to ingresses by the true weights, by a stream of their own.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from testbed.catalogue import nearest
from testbed.errors import InputError, Problem
from testbed.record.tables import Array
from testbed.scenario.model import ArrivalTrace
from testbed.scenario.streams import stream

DECODE_WEIGHT = 10.0
LOWEST, HIGHEST = 0.1, 4.0
MOST_BYTES = 256 * 2**20
#: Columns used for sizes where the scenario names none and the file has them (the Azure LLM traces do).
KNOWN_COLUMNS = {"size_in": "ContextTokens", "size_out": "GeneratedTokens"}


class TraceWindow:
    """The part of a trace a run uses.

    times [n]: from 0, s; time k = (recorded − start) rescaled so that the mean rate over the window is `trace.rate`
    (if given) × load. scales [n, 3]: factors on bytes, light work and core work. dealt [n]: whose request it is, a
    position in `names`.
    """

    def __init__(
        self, times: Sequence[float], scales: Sequence[tuple[float, float, float]], weights: Mapping[str, float],
        seed: int,
    ) -> None:  # fmt: skip
        self.times, self.scales, self.names = np.array(times), np.array(scales), list(weights)
        bounds = np.cumsum(list(weights.values()))
        draws = stream(seed, "trace-ingress").random(len(times)) * bounds[-1]
        self.dealt = np.searchsorted(bounds, draws)

    def rows(self, start: float, end: float) -> Array:
        """Numbers of the requests in [start, end)."""
        return np.arange(*np.searchsorted(self.times, [start, end]))


def _time(text: str) -> float:
    """Seconds of a number or an ISO-like timestamp (up to seven decimals)."""
    try:
        return float(text)
    except ValueError:
        head, _, fraction = text.strip().partition(".")
        if fraction and not fraction.isdigit():
            raise ValueError(f"{text!r} is not a time") from None
        return datetime.fromisoformat(head).timestamp() + (float("0." + fraction) if fraction else 0.0)


def _number(text: str | None) -> float:
    value = float(text if text is not None else "")
    if not 0 <= value < 1e12:
        raise ValueError(f"{text!r} is not a count")
    return value


def read(spec: ArrivalTrace) -> list[tuple[float, float, float]]:
    """(time s, input tokens, output tokens) of each row, in file order.

    Raises InputError with file and line for a missing column, a garbage line, or time running backwards.
    """
    path = Path(spec.file)
    if not os.path.isfile(path):
        raise InputError([Problem(str(path), 1, 1, "arrivals.trace.file", "there is no such file")])
    if path.stat().st_size > MOST_BYTES:
        raise InputError([Problem(str(path), 1, 1, "arrivals.trace.file", "larger than 256 MiB; cut it first")])
    rows: list[tuple[float, float, float]] = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        known = {key: name if name in columns else None for key, name in KNOWN_COLUMNS.items()}
        size_in, size_out = spec.size_in or known["size_in"], spec.size_out or known["size_out"]
        wanted = {"time": spec.time, "size_in": size_in, "size_out": size_out}
        missing = [
            Problem(str(path), 1, 1, f"arrivals.trace.{key}", f"there is no column {name!r}. {nearest(name, columns)}")
            for key, name in wanted.items()
            if name is not None and name not in columns
        ]
        if missing:
            raise InputError(missing)
        for row in reader:
            try:
                t = _time(row[spec.time] or "")
                a = _number(row[size_in]) if size_in else 1.0
                b = _number(row[size_out]) if size_out else 0.0
            except (ValueError, TypeError) as error:
                raise InputError([_garbage(path, reader.line_num, str(error), columns)]) from None
            if rows and t < rows[-1][0]:
                raise InputError([_garbage(path, reader.line_num, "time runs backwards", columns)])
            rows.append((t, a, b))
    if not rows:
        raise InputError([Problem(str(path), 1, 1, "arrivals.trace.file", "holds no request")])
    return rows


def _garbage(path: Path, line: int, what: str, columns: object) -> Problem:
    return Problem(str(path), line, 1, "arrivals.trace", f"{what}; each line holds {columns}: mend or remove the line")


def window(spec: ArrivalTrace, load: float, weights: Mapping[str, float], horizon: float, seed: int) -> TraceWindow:
    """The requests from `start` on that fall into the horizon after rescaling. Raises InputError if too few."""
    rows = read(spec)
    first = rows[0][0] + spec.start
    rows = [(t - first, a, b) for t, a, b in rows if t >= first]
    if not rows:
        raise InputError([Problem(spec.file, 1, 1, "arrivals.trace.start", "lies behind the last request")])
    speed = load * _speed(rows, spec, horizon)
    rows = [(t / speed, a, b) for t, a, b in rows if t / speed < horizon]
    if not rows:
        last = f"the first request from the start given comes after the run's {horizon:g} s"
        raise InputError([Problem(spec.file, 2, 1, "arrivals.trace", f"{last}: give a later start, or a rate")])
    mean_in = sum(a for _, a, _ in rows) / len(rows) or 1.0
    mean_all = sum(a + DECODE_WEIGHT * b for _, a, b in rows) / len(rows) or 1.0
    scales = []
    for _, a, b in rows:
        tokens = _cut(a / mean_in)
        scales.append((tokens, tokens, _cut((a + DECODE_WEIGHT * b) / mean_all)))
    return TraceWindow([t for t, _, _ in rows], scales, weights, seed)


def _speed(rows: list[tuple[float, float, float]], spec: ArrivalTrace, horizon: float) -> float:
    """How much faster than recorded, so that the first rate·horizon requests fill the horizon."""
    if spec.rate is None:
        return 1.0
    need = max(int(spec.rate * horizon), 1)
    if len(rows) <= need:
        have = f"{len(rows)} requests from the start given"
        raise InputError(
            [Problem(spec.file, len(rows) + 1, 1, "arrivals.trace.rate", f"needs {need} requests, found {have}")]
        )
    return float(rows[need][0] / horizon) or 1.0


def _cut(x: float) -> float:
    return min(max(x, LOWEST), HIGHEST)
