"""What a section of the page is made from: the records of one run, and its answers to queries."""

from __future__ import annotations

import html
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from testbed.record.folder import ask

MOST_NAMED = 3  # targets of a fault
MANY = 200_000  # tasks; of more, a sample of about so many is followed through its stages
LOAD_FAULTS = ("load_spike", "load_ramp", "burst_train", "flash_crowd")


@dataclass(frozen=True)
class RunRecords:
    """Records of a run, plain values as JSON has them."""

    folder: Path
    summary: Mapping[str, Any]
    metadata: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path, events: bool = True) -> RunRecords:
        """summary.json, events.jsonl and metadata.json must be there. events: or leave them unread, they cost most."""
        summary = json.loads((folder / "summary.json").read_text())
        metadata = json.loads((folder / "metadata.json").read_text())
        lines = (folder / "events.jsonl").read_text().splitlines() if events else []
        return cls(folder, summary, metadata, json.loads(f"[{','.join(lines)}]"))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of tasks.sqlite; none where there is no such table."""
        try:
            return ask(self.folder, query)
        except sqlite3.Error:
            return []

    @cached_property
    def ground(self) -> Mapping[str, Any]:
        """Network, services and tasks of the model; records of before have none of it."""
        found: Mapping[str, Any] = self.metadata.get("ground", {})
        return found

    @cached_property
    def slots(self) -> list[Mapping[str, Any]]:
        return [e for e in self.events if e["kind"] == "slot"]

    @cached_property
    def size(self) -> tuple[int, float]:
        """(tasks, the last one's intended send in s), the warm-up included."""
        rows = self.ask("select count(*), max(at_s) from tasks")
        n, last = rows[0] if rows else (0, None)
        return n, last or 0.0

    @cached_property
    def end(self) -> float:
        """End of what is drawn over time, s: never 0."""
        slots = max((e["actual_s"] for e in self.slots), default=0.0)
        return max(self.size[1], slots, 1e-3)

    @cached_property
    def step(self) -> int:
        """One task in so many is followed through its stages."""
        return max(self.size[0] // MANY, 1)

    @cached_property
    def faults(self) -> list[tuple[str, str, tuple[str, ...], float, float]]:
        """(name, kind, targets, applied, reverted or the end), s, of those that were applied.

        A fault on several targets at a time, as a switch's death is on its links, is one.
        """
        out: list[tuple[str, str, tuple[str, ...], float, float]] = []
        for f in self.summary["faults"]:
            if f["applied_at_s"] is None:
                continue
            a, b = f["applied_at_s"], f["reverted_at_s"] or self.end
            for i, (name, kind, targets, begun, ended) in enumerate(out):
                if (name, kind) == (f["name"], f["kind"]) and a < ended and begun < b:
                    out[i] = (name, kind, (*targets, f["target"]), min(a, begun), max(b, ended))
                    break
            else:
                out.append((f["name"], f["kind"], (f["target"],), a, b))
        return out

    @cached_property
    def moves(self) -> list[tuple[float, str]]:
        """(when it was done, words)."""
        return [
            (e["actual_s"], f"{e['service']}: {e['from']} → {e['to']}")
            for e in self.events
            if e["kind"] == "migrated" and e["actual_s"] is not None
        ]


def told(name: str, kind: str, targets: Sequence[str]) -> str:
    """A fault in words; of many targets the first few."""
    more = f" and {len(targets) - MOST_NAMED} more" if len(targets) > MOST_NAMED else ""
    return f"{name}: {kind} on {', '.join(targets[:MOST_NAMED])}{more}"


@dataclass(frozen=True)
class Picture:
    """A figure and the numbers it shows. name: of its files, without a suffix."""

    name: str
    svg: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    title: str
    body: str
    pictures: tuple[Picture, ...] = ()


def esc(value: Any) -> str:
    return html.escape(str(value), quote=True)


def percent(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f} %"


def milli(x: float | None) -> str:
    return "–" if x is None else f"{1000 * x:.0f}"


def note(words: str) -> str:
    """A line under a figure; escaped here."""
    return f"<p class='n'>{esc(words)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """A table of plain values, escaped; right: columns of numbers."""

    def row(tag: str, cells: Sequence[Any]) -> str:
        put = (f"<{tag}{' class=' + chr(39) + 'r' + chr(39) if i in right else ''}>{esc(c)}</{tag}>"
               for i, c in enumerate(cells))  # fmt: skip
        return f"<tr>{''.join(put)}</tr>"

    return f"<div class='wide'><table>{row('th', head)}{''.join(row('td', r) for r in rows)}</table></div>"
