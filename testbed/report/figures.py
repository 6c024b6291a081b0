"""Small figures as SVG text: no script, no library, the same numbers give the same bytes."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Eight hues that stay apart for most eyes and in grey; then they repeat, with dashes.
COLOURS = ("#0b5fa5", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#117a8b", "#7b7d7d", "#d35480")
WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 60, 24, 12, 44
ROW, LETTER = 16, 6.3  # of the legend, which stands above: on a phone what is at the right is out of sight


@dataclass(frozen=True, slots=True)
class Series:
    """points: (x, y, low, high); low and high may be y itself: no bar."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """Axes with a few series. percent: y is a share and labelled in per cent. rules: (y, words) across.

    xs: what the x axis is to hold, where a series is drawn a little beside it.
    """

    x: str
    y: str
    series: tuple[Series, ...]
    percent: bool = True
    rules: tuple[tuple[float, str], ...] = field(default=())
    xs: tuple[float, ...] = ()


def svg(f: Figure, label: str) -> str:
    """The figure; an empty one says so."""
    xs = f.xs or [p[0] for s in f.series for p in s.points]
    ys = [v for s in f.series for p in s.points for v in p[1:]] + [v for v, _ in f.rules]
    if not xs:
        return "<p>Nothing to draw.</p>"
    (x0, x1, xt), (y0, y1, yt) = axis(xs), axis(ys)
    keys = _legend([s.name for s in f.series])
    top = keys[-1][1] + TOP
    bottom = top + HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
            bottom - (y - y0) / (y1 - y0) * (bottom - top),
        )

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {bottom + BOTTOM:g}' role='img' "
        f"aria-label='{html.escape(label, quote=True)}' font-family='system-ui,sans-serif' font-size='11'>"
    ]
    for v in yt:
        _, y = at(x0, v)
        shown = f"{v:.0%}" if f.percent else f"{v:g}"
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#8885'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end' fill='currentColor'>{shown}</text>")
    for v in xt:
        x, _ = at(v, y0)
        parts.append(f"<text x='{x:.1f}' y='{bottom + 18:g}' text-anchor='middle' fill='currentColor'>{v:g}</text>")
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, bottom + 36, f.x, "middle"))
    centre = (top + bottom) / 2
    parts.append(f"<g transform='rotate(-90 14 {centre:.0f})'>{_text(14, centre, f.y, 'middle')}</g>")
    for v, words in f.rules:
        _, y = at(x0, v)
        parts.append(
            f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='currentColor' "
            f"stroke-dasharray='5 3'/>{_text(WIDTH - RIGHT - 4, y - 4, words, 'end')}"
        )
    for i, s in enumerate(f.series):
        parts += _draw(s, i, at, keys[i])
    return "\n".join(parts) + "\n</svg>"


def _legend(names: Sequence[str]) -> list[tuple[float, float]]:
    """Where each name stands: from the left, in as many rows as they need."""
    spots, x, y = list[tuple[float, float]](), float(LEFT), float(TOP)
    for name in names:
        length = 30 + LETTER * len(name)
        if spots and x + length > WIDTH - RIGHT:
            x, y = float(LEFT), y + ROW
        spots.append((x, y))
        x += length
    return spots


def _draw(s: Series, i: int, at: object, key: tuple[float, float]) -> list[str]:
    assert callable(at)
    colour = f"var(--c{i % len(COLOURS)},{COLOURS[i % len(COLOURS)]})"  # the page's, light or dark; else ours
    dash = " stroke-dasharray='6 3'" if i >= len(COLOURS) else ""
    spots = [at(x, y) for x, y, _, _ in s.points]
    out = [f"<g stroke='{colour}' fill='{colour}'>"]
    if s.line and len(spots) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        out.append(f"<polyline points='{path}' fill='none' stroke-width='1.8'{dash}/>")
    for (x, y), (vx, _, low, high) in zip(spots, s.points, strict=True):
        if high > low:
            (_, a), (_, b) = at(vx, low), at(vx, high)
            out.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{a:.1f}' y2='{b:.1f}' stroke-width='1.2'/>")
        out.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' stroke='none'/>")
    kx, ky = key
    out.append(f"<circle cx='{kx + 5:.1f}' cy='{ky - 4:.1f}' r='4' stroke='none'/></g>")
    out.append(_text(kx + 14, ky, s.name, "start"))
    return out


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='currentColor'>{html.escape(words)}</text>"


def axis(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """(low end, high end, ticks): round steps around the values, never of zero length."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5 * (abs(low) or 1.0) * 0.1, high + 0.5 * (abs(high) or 1.0) * 0.1
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return first * step, last * step, [round(k * step, 10) for k in range(first, last + 1)]
