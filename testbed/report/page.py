"""report.html: one self-contained page, made from the records alone; no script, no network."""

from __future__ import annotations

import html
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.record.folder import ask
from testbed.report.closing import closing

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}pre{background:#f5f5f2;padding:1rem;overflow:auto;font-size:13px}
.pass{color:#17702d}.fail{color:#b3261e}.unknown,.pending{color:#8a6100}table{border-collapse:collapse}
td,th{padding:.2rem .7rem;text-align:left;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}"""

#: (number of the 2 s of intended send, tasks, of these on time, the last one's time)
_BINS = "select cast(at_s / 2 as integer), count(*), sum(outcome = 'on_time'), max(at_s) from tasks group by 1"


def page(folder: Path) -> str:
    """The page of a run's folder; summary.json, events.jsonl, metadata.json and tasks.sqlite must be there."""
    summary = json.loads((folder / "summary.json").read_text())
    metadata = json.loads((folder / "metadata.json").read_text())
    events = [json.loads(x) for x in (folder / "events.jsonl").read_text().splitlines()]
    try:
        bins = ask(folder, _BINS)
    except sqlite3.Error:
        bins = []
    name = html.escape(summary["scenario"]["name"])
    verdict = summary["verdict"]
    return "\n".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}: {verdict}</title><style>{STYLE}</style>",
            f"<h1>{name} · <span class={verdict}>{verdict}</span></h1>",
            f"<pre>{html.escape(closing(summary, '.'))}</pre>",
            "<h2>On time through the run</h2>",
            _chart(bins, summary),
            "<h2>Moves and their reasons</h2>",
            _moves(events),
            "<h2>Links before load</h2>",
            _links(summary["links"]),
            "<h2>Scenario</h2>",
            f"<pre>{html.escape(metadata['scenario_text'])}</pre></html>",
        ]
    )


def _chart(bins: Sequence[Sequence[Any]], summary: Mapping[str, Any]) -> str:
    """On-time share per 2 s of intended send (line), offered tasks (bars), faults (shaded). bins: see _BINS."""
    if not bins:
        return "<p>No task rows.</p>"
    end = max(last for *_, last in bins)
    count = max(int((end + 1e-9) / 2) + 1, 2)
    offered, on_time = [0] * count, [0] * count
    for b, n, k, _ in bins:
        offered[b], on_time[b] = n, k
    x = [40 + 740 * (b + 0.5) / count for b in range(count)]
    top = max(offered)
    parts = ["<svg viewBox='0 0 800 260' role=img aria-label='on-time share over time'>"]
    for f in summary["faults"]:
        a = 40 + 740 * f["applied_at_s"] / (2 * count)
        b = 40 + 740 * ((f["reverted_at_s"] or end) / (2 * count))
        parts.append(f"<rect x={a:.1f} y=10 width={max(b - a, 1):.1f} height=220 fill='#f3d9d6'/>")
        parts.append(f"<text x={a + 3:.1f} y=24 font-size=11 fill='#7a1f19'>{html.escape(f['name'])}</text>")
    width = 740 / count
    parts += [
        f"<rect x={xi - width * 0.4:.1f} y={230 - bar:.1f} width={width * 0.8:.1f} height={bar:.1f} fill='#c9d3dd'/>"
        for xi, bar in zip(x, (90 * n / top for n in offered), strict=True)
    ]
    points = " ".join(f"{xi:.1f},{230 - 200 * k / n:.1f}" for xi, n, k in zip(x, offered, on_time, strict=True) if n)
    parts.append(f"<polyline points='{points}' fill=none stroke='#1f5f99' stroke-width=2 />")
    parts += [
        f"<text x=2 y={y + 4:.0f} font-size=11>{s:.0%}</text>"
        f"<line x1=40 x2=780 y1={y:.0f} y2={y:.0f} stroke='#ccc' stroke-dasharray=3 />"
        for s, y in ((s, 230 - 200 * s) for s in (0.0, 0.5, 0.84, 1.0))
    ]
    parts += [
        f"<text x={40 + 740 * s / (2 * count):.0f} y=248 font-size=11>{s} s</text>"
        for s in range(0, 2 * count, _step(count))
    ]
    return (
        "".join(parts)
        + "</svg><p>Line: share on time per 2 s of intended send. Bars: tasks offered. Shaded: faults.</p>"
    )


def _step(bins: int) -> int:
    """Seconds between two labels: about fifteen of them."""
    return max(10 * round(2 * bins / 150), 10)


def _moves(events: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for e in events:
        if e["kind"] != "slot":
            continue
        for action, reason in zip(e["actions"], e["reasons"], strict=False):
            rows.append(f"<tr><td>{e['actual_s']:.1f}<td>{html.escape(_words(action))}<td>{html.escape(reason)}")
    return "<table><tr><th>t, s<th>action<th>reason" + "".join(rows) + "</table>" if rows else "<p>None.</p>"


def _words(action: Mapping[str, Any]) -> str:
    if action["do"] == "migrate":
        return f"move {action['drain']} → {action['start']['id']} on {action['start']['node']}"
    if action["do"] == "start":
        return f"start {action['id']} on {action['node']} × {action['workers']}"
    return f"{action['do']} {action['id']}" + (f" to {action['workers']}" if "workers" in action else "")


def _links(links: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"<tr><td>{html.escape(k['name'])}<td>{_mega(k['configured_bps'])}<td>{_mega(k['measured_bps'])}"
        f"<td>{_milli(k['configured_delay_s'])}<td>{_milli(k['measured_delay_s'])}"
        for k in links
    ]
    head = "<table><tr><th>link<th>Mbit/s set<th>measured<th>delay set, ms<th>measured"
    return (
        head + "".join(rows) + "</table><p>Values on the wire, layer 2, measured before load.</p>"
        if rows
        else "<p>Not measured.</p>"
    )


def _mega(x: float | None) -> str:
    return "–" if x is None else f"{x / 1e6:.2f}"


def _milli(x: float | None) -> str:
    return "–" if x is None else f"{x * 1e3:.2f}"
