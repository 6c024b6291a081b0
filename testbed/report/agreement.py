"""agreement.json as a table for a terminal and one for a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("measure", "of", "live", "twin", "difference", "bound", "met")
MARK = {True: "yes", False: "NO", None: ""}


def text(found: Mapping[str, Any]) -> str:
    """A title, the table in columns, and what to doubt."""
    rows = [HEAD, *(_cells(d) for d in found["differences"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [title(found)]
    lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"  NOT VALID   {run}: {'; '.join(why)}" for run, why in found["invalid_because"].items()]
    return "\n".join([*lines, f"  verdict     {found['verdict'].upper()}"])


def markdown(found: Mapping[str, Any]) -> str:
    """The same as a Markdown table under its title."""
    rows = [HEAD, ("---",) * len(HEAD), *(_cells(d) for d in found["differences"])]
    doubts = [f"\nNot valid: {run}: {'; '.join(why)}" for run, why in found["invalid_because"].items()]
    return "\n".join([title(found) + "\n", *("| " + " | ".join(row) + " |" for row in rows), *doubts]) + "\n"


def title(found: Mapping[str, Any]) -> str:
    return (
        f"{found['scenario']} · policy {found['policy']} · seeds {', '.join(map(str, found['seeds']))}"
        f" · shrink {found['shrink']:g}, dilate {found['dilation']:g} · {found['tasks_offered']} tasks · twin − live"
    )


def _cells(d: Mapping[str, Any]) -> Sequence[str]:
    bound = "" if d["bound"] is None else f"± {d['bound']:g} {d['unit']}"
    difference = "–" if d["difference"] is None else f"{d['difference']:+.3g} {d['unit']}".rstrip()
    return (d["measure"], d["of"], _value(d["live"]), _value(d["twin"]), difference, bound, MARK[d["met"]])


def _value(x: float | None) -> str:
    return "–" if x is None else f"{x:.4g}"
