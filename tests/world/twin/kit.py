"""A scenario run in the twin, whole, in a folder."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.run.execute import execute
from testbed.run.prepare import prepare
from testbed.world.live.links.mahimahi import bins
from testbed.world.twin.world import TwinWorld

ROOT = Path(__file__).parents[3]


def run(out: Path, file: Path, sets: Sequence[str] = (), engine: str = "reference", **world: Any) -> dict[str, Any]:
    """The summary; the records are in `out`."""
    prepared = prepare(file, sets, "twin")
    twin = TwinWorld("20260101000000-abcdef", lambda text: None, engine=engine, **world)
    return execute(prepared, twin, out, lambda f: bins(f, 0.1), lambda seen: None, lambda text: None, twin.run_id)


def words(folder: Path) -> tuple[list[Any], dict[str, list[Any]]]:
    """Events without what a clock wrote, the tables as they are."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for e in events:
        e.pop("decide_s", None)
    base = sqlite3.connect(folder / "tasks.sqlite")
    return events, {name: base.execute(f"SELECT * FROM {name}").fetchall() for name in ("tasks", "stages")}
