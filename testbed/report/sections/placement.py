"""Who ran where and when, and why the controller changed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.report.canvas import Canvas, Plot
from testbed.report.run_records import LOAD_FAULTS, Picture, RunRecords, Section, esc, note, percent, table, told

MOST_ROWS, MOST_REASONS = 70, 150
LEFT = 130.0


def words(action: Mapping[str, Any]) -> str:
    """An action as a person says it."""
    if action["do"] == "migrate":
        return f"move {action['drain']} → {action['start']['id']} on {action['start']['node']}"
    if action["do"] == "start":
        return f"start {action['id']} on {action['node']} × {action['workers']}"
    return f"{action['do']} {action['id']}" + (f" to {action['workers']}" if "workers" in action else "")


def section(r: RunRecords) -> Section:
    body, pictures = _timeline(r)
    p = r.summary["placement"]
    core = "; ".join(f"{m} on {', '.join(v)}" for m, v in p["instances"].items())
    said = (
        f"Core placement, {p['status']}" + (f", gap {percent(p['gap'])}" if p["gap"] is not None else "") + f": {core}."
    )
    body += note(said)
    reasons = [
        (f"{e['actual_s']:.1f}", words(a), why)
        for e in r.slots
        for a, why in zip(e["actions"], e["reasons"], strict=False)
    ]
    moves = [x for x in reasons if x[1].startswith("move ")]
    body += "<h3>Moves</h3>" + (table(("t, s", "what", "why"), moves[:MOST_REASONS], (0,)) if moves else note("None."))
    others = [x for x in reasons if not x[1].startswith("move ")]
    if others:
        more = f", the first {MOST_REASONS}" if len(others) > MOST_REASONS else ""
        body += f"<details><summary>{esc(f'{len(others)} other changes and their reasons{more}')}</summary>"
        body += table(("t, s", "what", "why"), others[:MOST_REASONS], (0,)) + "</details>"
    if max(len(moves), len(others)) > MOST_REASONS:
        body += note("All of them are in events.jsonl.")
    return Section("Placement, moves and their reasons", body, pictures)


def _timeline(r: RunRecords) -> tuple[str, tuple[Picture, ...]]:
    """A row per service and node that ever had it, a bar as thick as its workers are many."""
    spans: dict[tuple[str, str], list[tuple[float, int]]] = {}
    slots = r.slots[:: max(len(r.slots) // 400, 1)]
    for k, e in enumerate(slots):
        now: dict[tuple[str, str], int] = {}
        for i in e["instances"]:
            key = i["service"], i["node"]
            now[key] = now.get(key, 0) + i["workers"]
        for key in spans.keys() | now.keys():
            had = spans.setdefault(key, [])
            if (had[-1][1] if had else 0) != now.get(key, 0):
                had.append((0.0 if k == 0 else e["actual_s"], now.get(key, 0)))
    if not spans:
        return note("No slot was reached."), ()
    core = list(r.summary["placement"]["instances"])
    kinds = sorted({m for m, _ in spans}, key=lambda m: (m not in core, m))
    keys = sorted(spans, key=lambda k: (kinds.index(k[0]), len(k[1]), k[1]))
    most = max(n for had in spans.values() for _, n in had)
    shown = keys[:MOST_ROWS]
    canvas = Canvas(760, 15.0 * len(shown) + 60)
    plot = Plot(canvas, (LEFT, 16.0, 610.0, 15.0 * len(shown)), (0.0, r.end), (0.0, 1.0))
    for name, kind, targets, a, b in r.faults:
        (x0, _), (x1, _) = plot.at(a, 0), plot.at(min(b, r.end), 0)
        shade = "crowd" if kind in LOAD_FAULTS else "fault"
        canvas.rect(x0, 16, max(x1 - x0, 1), 15.0 * len(shown), shade, told(name, kind, targets))
    plot.axes("time, s", "", ys=False)
    rows: list[tuple[Any, ...]] = []
    for i, (m, v) in enumerate(keys):
        had = spans[m, v]
        for (a, n), (b, _) in zip(had, [*had[1:], (r.end, 0)], strict=True):
            if not n:
                continue
            rows.append((m, v, a, b, n))
            if i < MOST_ROWS:
                (x0, _), (x1, _) = plot.at(a, 0), plot.at(b, 0)
                tall = 3 + 10 * n / most
                canvas.rect(x0, 16 + 15 * i + (15 - tall) / 2, max(x1 - x0, 1), tall, f"c{kinds.index(m) % 8}",
                            f"{m} on {v}: {n} workers, {a:.1f} to {b:.1f} s")  # fmt: skip
        if i < MOST_ROWS:
            new = i == 0 or keys[i - 1][0] != m
            canvas.text(LEFT - 42, 27 + 15 * i, m[:14] if new else "", "end", more=" font-weight='600'")
            canvas.text(LEFT - 8, 27 + 15 * i, v[:8], "end", "dim")
            if new and i:
                canvas.line((LEFT - 120, 16 + 15.0 * i), (LEFT + 610, 16 + 15.0 * i))
    for e in r.events:
        if e["kind"] == "migrated":
            _arrow(canvas, plot, shown, e)
    svg = canvas.svg("instances per service and node over time")
    line = f"A bar is as thick as its instances have workers (most: {most}). Arrows: moves. Shaded: faults and load."
    if len(keys) > MOST_ROWS:
        line += f" {MOST_ROWS} of {len(keys)} rows are shown."
    return svg + note(line), (Picture("placement", svg, ("service", "node", "from_s", "to_s", "workers"), rows),)


def _arrow(canvas: Canvas, plot: Plot, shown: list[tuple[str, str]], e: Mapping[str, Any]) -> None:
    """From the row it left to the row it went to, at the time it was done."""
    a, b = (e["service"], e["from"]), (e["service"], e["to"])
    if a not in shown or b not in shown or e["actual_s"] is None:
        return
    x, _ = plot.at(e["actual_s"], 0)
    ya, yb = (16 + 15 * shown.index(k) + 7.5 for k in (a, b))
    s = 1 if yb > ya else -1
    canvas.line((x, ya), (x, yb - 3 * s), "ink", 1.4, hint=f"{e['service']}: {e['from']} → {e['to']}")
    canvas.poly([(x - 4, yb - 7 * s), (x, yb), (x + 4, yb - 7 * s)], "ink", 1.4)
