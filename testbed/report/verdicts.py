"""The page of verdicts: one row per claim, its bounds as a picture, every figure a link to its runs."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from testbed.report.junit import words
from testbed.report.style import FOOT, head

WIDTH, HEIGHT, MARGIN = 260, 22, 8


def page(found: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """found: verdicts.json; plan: plan.json. No clock is read: the same verdicts give the same bytes."""
    claims = found["claims"]
    parts = [
        head(f"Verdicts: {found['verdict']}"),
        f"<h1>Verdicts · <span class={found['verdict']}>{found['verdict']}</span></h1>",
        f"<p>{_counts(claims)}, in the {found['world']} world. Plan <code>{found['plan'][:12]}</code>, fixed "
        "before the first run. The run is the sample. A claim passes when the one-sided lower bound of its mean clears "
        "the threshold, fails when the upper bound misses it, and is unknown otherwise; the more cautious of Student's "
        f"t and the BCa bootstrap decides{_correction(found['family'])}.</p>",
    ]
    for file in plan["files"]:
        mine = [c for c in claims if c["file"] == file["name"]]
        parts.append(f"<h2>{html.escape(file['question'])}</h2>")
        parts.append(f"<p class=n>{html.escape(file['name'])}.yaml, scenario <code>{file['sha256'][:12]}</code></p>")
        parts.append("<div class='wide'><table><tr><th>claim<th>verdict<th>estimate<th>bounds and threshold<th>runs")
        parts += [_row(c) for c in mine]
        parts.append("</table></div>")
        parts += [_details(c) for c in mine]
    if found["failed"]:
        rows = "".join(f"<li>{html.escape(k)}: {html.escape(v)}" for k, v in found["failed"].items())
        parts.append(f"<h2>Runs that could not be made</h2><ul>{rows}</ul>")
    return "\n".join(parts) + FOOT


def _counts(claims: Sequence[Mapping[str, Any]]) -> str:
    verdicts = [c["verdict"] for c in claims]
    return f"{len(claims)} claims: " + ", ".join(f"{verdicts.count(v)} {v}" for v in ("pass", "fail", "unknown"))


def _correction(family: int) -> str:
    if family < 2:
        return ""
    return f", at levels corrected for {family} claims at once (Holm), so that the chance of any false one is the level"


def _row(c: Mapping[str, Any]) -> str:
    sign, threshold = ("≥", c["at_least"]) if c["at_least"] is not None else ("≤", c["at_most"])
    estimate = "–" if c["estimate"] is None else f"{c['estimate']:.4g}"
    return (
        f"<tr><td><b>{html.escape(c['id'])}</b><br><span class=n>{html.escape(c['metric'])} {sign} {threshold:g}</span>"
        f"<td class={c['verdict']}>{c['verdict']}<td>{estimate}<td>{_picture(c, threshold)}<td>{c['runs']}"
    )


def _picture(c: Mapping[str, Any], threshold: float) -> str:
    """Dots: runs of the question that binds; bar: its bounds; line: the threshold."""
    if c["estimate"] is None:
        return ""
    values = next(q["values"] for q in c["questions"] if q["label"] == c["binding"])
    ends = [*values, threshold, *(x for x in (c["lower"], c["upper"]) if x is not None)]
    low, high = min(ends), max(ends)
    scale = (WIDTH - 2 * MARGIN) / ((high - low) or 1.0)

    def x(v: float) -> str:
        return f"{MARGIN + (v - low) * scale:.1f}"

    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' style='width:{WIDTH}px' role=img aria-label='{_label(c)}'>"]
    if c["lower"] is not None:
        parts.append(f"<line x1={x(c['lower'])} x2={x(c['upper'])} y1=11 y2=11 stroke='var(--c0)' stroke-width=5 />")
    parts.append(f"<line x1={x(threshold)} x2={x(threshold)} y1=1 y2=21 stroke='var(--bad)' stroke-width=2 />")
    parts += [f"<circle cx={x(v)} cy=11 r=2.2 fill='var(--ink)' fill-opacity=.6 />" for v in values]
    return "".join(parts) + "</svg>"


def _label(c: Mapping[str, Any]) -> str:
    return html.escape(words(c), quote=True)


def _details(c: Mapping[str, Any]) -> str:
    rows = []
    for q in c["questions"]:
        bounds = "" if q["lower"] is None else f" [{q['lower']:.4g}, {q['upper']:.4g}]"
        rows.append(f"<li>{html.escape(q['label']) or 'mean'}: {q['estimate']:.4g}{bounds}")
    rows += [f"<li class=unknown>{html.escape(d)}" for d in c["doubts"]]
    links = " ".join(
        f"<a href='{html.escape(f, quote=True)}/report.html'>{html.escape(PurePosixPath(f).name)}</a>"
        for f in c["runs_in"]
    )
    head = f"<summary>{html.escape(c['id'])}: {html.escape(words(c))}</summary>"
    return f"<details>{head}<ul>{''.join(rows)}</ul><p class=n>{links}</p></details>"
