"""results.parquet: a row per run in the plan's order, the numbers of its summary, nothing that a clock measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun

#: Of summary.json, whole branches or single numbers.
TAKEN = (
    "valid", "invalid_because", "verdict", "on_time_rate", "fluid_bound", "tasks", "lost_by", "on_time_rate_by_type",
    "on_time_rate_after_fault", "latency_s", "cost", "placement.status", "placement.objective", "placement.bound",
    "placement.gap", "migrations", "scalings", "waiting", "utilisation", "scenario.sha256",
)  # fmt: skip


def measures(summary: Mapping[str, Any]) -> dict[str, bool | float | str | None]:
    """Dotted path → number, text or None."""
    out: dict[str, Any] = {}
    for path in TAKEN:
        here: Any = summary
        for step in path.split("."):
            here = here.get(step) if isinstance(here, Mapping) else None
        out.update(_flat(path, here))
    return out


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(f"{path}.{key}", value[key])
    elif isinstance(value, list):
        yield path, "; ".join(map(str, value))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, float(value)  # the same type in every run: a rate of exactly 1 is an integer in JSON
    else:
        yield path, value


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same rows give the same bytes. Columns: the keys of a row, then its measures in the order of TAKEN, by name.

    A column whose values are of several types is text. Raises CannotRun where it can't be written.
    """
    import pyarrow
    from pyarrow import parquet

    keys = [k for k in rows[0] if not _is_measure(k)]
    found = {k for row in rows for k in row} - set(keys)
    names = keys + sorted(found, key=lambda k: (next(i for i, t in enumerate(TAKEN) if _below(k, t)), k))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    part = path.with_suffix(".parquet.part")
    try:
        parquet.write_table(pyarrow.table(columns), part, compression="zstd")
        os.replace(part, path)
    except OSError as error:
        raise CannotRun(f"{path}: can't be written ({error})") from None


def _below(name: str, taken: str) -> bool:
    return name == taken or name.startswith(f"{taken}.")


def _is_measure(name: str) -> bool:
    return any(_below(name, t) for t in TAKEN)


def _column(values: Sequence[Any]) -> Any:
    import pyarrow

    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int}:
        return pyarrow.array(values, pyarrow.int64())
    if kinds <= {int, float}:
        return pyarrow.array([None if v is None else float(v) for v in values], pyarrow.float64())
    if kinds == {bool}:
        return pyarrow.array(values, pyarrow.bool_())
    return pyarrow.array([None if v is None else str(v) for v in values], pyarrow.string())
