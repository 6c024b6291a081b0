"""Margins of claims: up to which severity each holds, by kind of disturbance (columns) and policy (bars)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.report import canvas
from testbed.report.canvas import Canvas
from testbed.report.style import FOOT, head

LEFT, COLUMN, TRACK, BAR, GAP, TOP = 150, 166, 100, 11, 14, 66
TITLES = {
    "load": ("load", "× the scenario's"),
    "bandwidth_drop": ("a trunk narrowed", "bandwidth lost"),
    "link_down": ("a trunk cut", "for how long"),
    "node_crash": ("a node crashed", "for how long"),
    "load_spike": ("one ingress's load", "× its own"),
}


def figure(found: Mapping[str, Any], alone: bool = False) -> str:
    """found: margins.json. A full track is the largest severity that was allowed."""
    rows = found["rows"]
    kinds, policies = _kinds(found), list(dict.fromkeys(r["policy"] for r in rows))
    files: dict[str, list[Any]] = {}
    for r in rows:
        files.setdefault(_name(r, rows), []).append(r)
    left = max(LEFT, 7 * max(map(len, files)))
    height = TOP + sum(BAR * len(mine) + GAP for mine in files.values())
    c = Canvas(left + COLUMN * len(kinds), height)
    c.legend(left, 16, [(f"c{policies.index(p) % 8}", p) for p in policies])
    for i, kind in enumerate(kinds):
        title, unit = TITLES.get(kind, (kind, ""))
        c.text(left + COLUMN * i, 40, title)
        c.text(left + COLUMN * i, 54, unit, ink="dim", size=10)
    y = float(TOP)
    for file, mine in files.items():
        c.line((0, y - GAP / 2), (c.width, y - GAP / 2))
        c.text(0, y + BAR * len(mine) / 2 + 3, file)
        for r in mine:
            for i, kind in enumerate(kinds):
                _bar(c, left + COLUMN * i, y, r, kind, policies.index(r["policy"]))
            if _misses_undisturbed(r):
                c.text(left + 4, y + 8, f"{r['policy']} misses it undisturbed", ink="bad", size=9)
            y += BAR
        y += GAP
    svg = c.svg("margin of each claim by kind of disturbance and policy")
    return canvas.alone(svg) if alone else svg


def _bar(c: Canvas, x: float, y: float, r: Mapping[str, Any], kind: str, series: int) -> None:
    m = r["by_kind"].get(kind)
    c.rect(x, y, TRACK, BAR - 2, "soft")
    if _misses_undisturbed(r):
        return
    if m is None:
        c.text(x + TRACK + 5, y + 8, "not searched", ink="doubt", size=9)
    else:
        held = m["breaks_at"] is None
        hint = f"{r['policy']}: holds {'at the most: ' if held else 'up to '}{m['amount']} {m['target']}".rstrip()
        c.rect(x, y, TRACK * m["holds_at"], BAR - 2, f"c{series % 8}", hint)
        c.text(x + TRACK + 5, y + 8, f"≥ {m['amount']}" if held else m["amount"], size=9)


def _name(r: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The file's, and the claim's where others of the file are there."""
    several = any(x["file"] == r["file"] and x["claim"] != r["claim"] for x in rows)
    return f"{r['file']}: {r['claim']}" if several else str(r["file"])


def _kinds(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(kind for r in found["rows"] for kind in r["by_kind"]))


def _misses_undisturbed(r: Mapping[str, Any]) -> bool:
    return r["undisturbed_slack"] is not None and r["undisturbed_slack"] < 0


def outcome(r: Mapping[str, Any]) -> str:
    """A sentence."""
    if r["outcome"] == "counterexample":
        at = f" at {r['setting']}" if r["setting"] else ""
        return f"fails{at} under {' and '.join(r['schedule'])}" if r["schedule"] else f"fails undisturbed{at}"
    if r["outcome"] == "holds":
        return f"holds, also under {' and '.join(r['held_against'])}"
    if _misses_undisturbed(r):
        return "at its threshold undisturbed: below it on the search's seeds, not failed on others"
    return "the budget was spent first" if r["budget_spent"] else "broken on the search's seeds, not failed on others"


def page(found: Mapping[str, Any]) -> str:
    """The same margins give the same bytes, but for how long the searches took."""
    parts = [
        head("Margins"),
        "<h1>Up to which disturbance do the claims hold?</h1>",
        f"<p>Searched in the twin on {found['seeds']} seeds, one disturbance at a time; a bar is the largest severity "
        "at which the claim held, of the target that breaks first, and its track the largest that was allowed "
        f"(load up to {found['load_up_to']:g} ×). “≥”: it holds there too. Counterexamples are judged on "
        f"{found['recheck']} other seeds.</p>",
        f"<section class=broad>{figure(found)}</section>",
        "<div class=wide><table><tr><th>claim<th>policy<th>outcome<th class=r>estimate<th class=r>runs<th>records",
    ]
    for r in found["rows"]:
        estimate = "" if r["estimate"] is None else f"{r['estimate']:.4g}"
        links = [("falsify.json", "search")]
        links += [("counterexample.yaml", "counterexample")] if r["outcome"] == "counterexample" else []
        at = html.escape(r["folder"], quote=True)
        shown = " ".join(f"<a href='{at}/{name}'>{words}</a>" for name, words in links)
        parts.append(
            f"<tr><td>{html.escape(r['file'])}: {html.escape(r['claim'])}<td>{html.escape(r['policy'])}"
            f"<td class=words>{html.escape(outcome(r))}<td class=r>{estimate}<td class=r>{r['runs']}"
            f"<td>{shown}"
        )
    return "\n".join([*parts, "</table></div>"]) + FOOT


def table(found: Mapping[str, Any]) -> str:
    """For a document, in Markdown."""
    kinds = _kinds(found)
    titles = [TITLES.get(k, (k, ""))[0] for k in kinds]
    lines = [
        "| claim | policy | " + " | ".join(titles) + " | outcome | seeds | runs | s |",
        "| --- | --- | " + " | ".join("---" for _ in kinds) + " | --- | --- | --- | --- |",
    ]
    for r in found["rows"]:
        cells = [_cell(r, r["by_kind"].get(k)) for k in kinds]
        lines.append(
            f"| {r['file']}: {r['claim']} | `{r['policy']}` | {' | '.join(cells)} | {outcome(r)} | {len(r['seeds'])} | "
            f"{r['runs']} | {r['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _cell(r: Mapping[str, Any], m: Mapping[str, Any] | None) -> str:
    if _misses_undisturbed(r):
        return "–"
    if m is None:
        return "?"
    return f"≥ {m['amount']}" if m["breaks_at"] is None else m["amount"]
