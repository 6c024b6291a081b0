"""Growth of the twin's cost as one small SVG: CPU seconds over nodes and over tasks, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 320, 220, 52, 40, 28
Point = tuple[float, float]


def figure(nodes: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]) -> str:
    """Two panels side by side; text and lines take the page's colour, so it reads on light and dark."""
    panels = [
        _panel(0, "CPU seconds for 10,000 tasks, over nodes", [(r["nodes"], r["seconds"]) for r in nodes]),
        _panel(WIDTH, "CPU seconds on 12 nodes, over tasks", [(r["tasks"], r["seconds"]) for r in tasks]),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" width="{2 * WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="11">\n'
        f"<title>CPU seconds of a twin run over nodes and over tasks</title>\n"
        f"<style>:root{{color-scheme:light dark}}svg{{color:#1a1a1a;background:#fff}}"
        f"@media(prefers-color-scheme:dark){{svg{{color:#e6e6e6;background:#161616}}}}</style>\n"
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _panel(offset: int, title: str, points: Sequence[Point]) -> str:
    (x0, x1), (y0, y1) = _span([x for x, _ in points]), _span([y for _, y in points])

    def at(x: float, y: float) -> Point:
        across = (math.log10(x) - x0) / (x1 - x0)
        up = (math.log10(y) - y0) / (y1 - y0)
        return offset + LEFT + across * (WIDTH - LEFT - 24), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    out = [f'<text x="{offset + LEFT}" y="16" fill="currentColor" font-weight="bold">{title}</text>']
    for power in range(x0, x1 + 1):
        x, y = at(10.0**power, 10.0**y0)
        out.append(_line(x, y, x, TOP) + _text(x, y + 15, "middle", _number(10.0**power)))
    for power in range(y0, y1 + 1):
        x, y = at(10.0**x0, 10.0**power)
        out.append(_line(x, y, offset + WIDTH - 24, y) + _text(x - 5, y + 4, "end", _number(10.0**power)))
    places = [at(x, y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    out.append(f'<polyline points="{path}" fill="none" stroke="#3b7dd8" stroke-width="2"/>')
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#3b7dd8"/>' for x, y in places]
    out += [_text(x, y - 7, "middle", f"{s:.2g}") for (x, y), (_, s) in zip(places, points, strict=True)]
    return "\n".join(out)


def _span(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around the values, at least one apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="currentColor" opacity="0.15"/>'


def _text(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{words}</text>'
