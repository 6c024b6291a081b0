"""The latency profile that core placement is told, in place of eq. (8): measured in a run, or given in a file.

`placement.profile` names a run's `tasks.sqlite` (mean service time of every core service on every node it ran on; the
way there stays that of the network model), or a JSON file:

    {"format": "latency-profile", "version": 1,
     "service": [{"service": "llm", "node": "n1", "seconds": 0.061}],
     "latency": [{"service": "llm", "ingress": "gw1", "node": "n1", "seconds": 0.083}]}

Both lists may be missing or partial: `latency` is L_mov itself, `service` its last term, the rest is eq. (8). Then
`placement.profile_error` e multiplies every entry by U(1−e, 1+e), drawn once per seed, service and ingress.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controller.model import Model, Profile
from testbed.catalogue import nearest
from testbed.errors import InputError
from testbed.scenario.model import CorePlacement
from testbed.scenario.streams import stream

FORMAT, VERSION = "latency-profile", 1
MOST_BYTES = 64 * 2**20
LONGEST_S = 3600.0
KEYS = {"service": ("service", "node"), "latency": ("service", "ingress", "node")}
MEANS = (
    "select service, node, avg(finished_s - started_s) from stages"
    " where started_s is not null and finished_s is not null group by service, node order by service, node"
)


def told(placement: CorePlacement, model: Model, seed: int) -> Profile:
    """What this scenario tells the placement. Raises InputError for a file that can't be used."""
    found = Profile() if placement.profile is None else read(Path(placement.profile), model)
    e = placement.profile_error
    if e == 0:
        return found
    factor = {
        (m.name, o.name): tuple(
            stream(seed, "profile", m.name, o.name).uniform(1 - e, 1 + e, len(model.nodes)).tolist()
        )
        for m in model.core
        for o in model.ingresses
    }
    return Profile(found.service, found.latency, factor)


def read(path: Path, model: Model) -> Profile:
    """A profile from a file, checked against the model: names must be its own, seconds more than 0."""
    try:
        if path.suffix == ".sqlite":
            return _measured(path, model)
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes; a latency profile has {MOST_BYTES} at most")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, sqlite3.Error) as error:
        raise InputError(f"{path}: is no latency profile: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise InputError(f'{path}: expected {{"format": "{FORMAT}", "version": {VERSION}, …}}')
    if unknown := set(content) - {"format", "version", *KEYS}:
        raise InputError(f"{path}: unknown key {sorted(unknown)[0]!r}. {nearest(sorted(unknown)[0], list(KEYS))}")
    rows = {kind: dict(_rows(path, kind, content.get(kind, []), model)) for kind in KEYS}
    return Profile(rows["service"], rows["latency"])


def _rows(path: Path, kind: str, rows: Any, model: Model) -> Iterator[tuple[Any, float]]:
    if not isinstance(rows, list):
        raise InputError(f"{path}: {kind}: expected a list")
    names = _names(model)
    for i, row in enumerate(rows):
        where = f"{path}: {kind}.{i}"
        if not isinstance(row, dict) or set(row) != {*KEYS[kind], "seconds"}:
            raise InputError(f"{where}: expected an object of {', '.join(KEYS[kind])} and seconds")
        for key in KEYS[kind]:
            if not isinstance(row[key], str) or row[key] not in names[key]:
                raise InputError(f"{where}: there is no {key} {row[key]!r}. {nearest(str(row[key]), names[key])}")
        seconds = row["seconds"]
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_S:
            raise InputError(f"{where}: seconds: found {seconds!r}, allowed is more than 0 and at most {LONGEST_S:g}")
        yield tuple(row[key] for key in KEYS[kind]), float(seconds)


def _names(model: Model) -> Mapping[str, list[str]]:
    return {
        "service": [m.name for m in model.core],
        "ingress": [o.name for o in model.ingresses],
        "node": [v.name for v in model.nodes],
    }


def _measured(path: Path, model: Model) -> Profile:
    """Mean service times of a run's records; rows of light services, and of nodes we don't have, are passed over."""
    names = _names(model)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
        rows = list(base.execute(MEANS))
    base.close()
    means = {
        (m, v): float(mean)
        for m, v, mean in rows
        if m in names["service"] and v in names["node"] and math.isfinite(mean) and mean > 0
    }
    if not means:
        raise InputError(f"{path}: holds no service time of a core service on a node of this scenario")
    return Profile(means)
