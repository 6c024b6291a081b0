"""Drawing by hand: a canvas of SVG marks and a plot with axes on it. The same numbers give the same bytes.

Colours are names of the sheet (style.py) with the light ones as the fallback, so that a figure follows the page into
the dark and stands alone as a file (`alone`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from testbed.report.figures import axis
from testbed.report.style import STYLE

_FALLBACK = dict(reversed(re.findall(r"--(\w+):(#[0-9a-f]+)", STYLE)))  # the first one, the light one, wins


def colour(name: str) -> str:
    """A colour of the sheet, as an SVG attribute has it."""
    return f"var(--{name},{_FALLBACK[name]})"


def series_colour(i: int) -> str:
    return colour(f"c{i % 8}")


def alone(svg: str) -> str:
    """The figure as a file of its own: a name space, colours that need no sheet, and paper under it."""
    flat = re.sub(r"var\(--\w+,(#[0-9a-f]+)\)", r"\1", svg).replace("currentColor", _FALLBACK["ink"])
    head, _, rest = flat.partition(">")
    head = head if "xmlns" in head else head.replace("<svg ", "<svg xmlns='http://www.w3.org/2000/svg' ", 1)
    return f"{head}><rect width='100%' height='100%' fill='{_FALLBACK['paper']}'/>{rest}"


def ticks(low: float, high: float) -> tuple[float, float, list[float]]:
    """(low end, high end, round steps between) of an axis that holds both."""
    return axis([low, high])


@dataclass
class Canvas:
    """Units are those of the view box. Words are escaped here."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def rect(self, x: float, y: float, w: float, h: float, fill: str, hint: str = "", more: str = "") -> None:
        body = f"><title>{html.escape(hint)}</title></rect>" if hint else "/>"
        self.parts.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(w, 0.0):.1f}' height='{max(h, 0.0):.1f}' "
            f"fill='{colour(fill)}'{more}{body}"
        )

    def line(self, a: tuple[float, float], b: tuple[float, float], stroke: str = "rule", w: float = 1.0,
             dash: str = "", hint: str = "") -> None:  # fmt: skip
        body = f"><title>{html.escape(hint)}</title></line>" if hint else "/>"
        dashed = f" stroke-dasharray='{dash}'" if dash else ""
        self.parts.append(
            f"<line x1='{a[0]:.1f}' y1='{a[1]:.1f}' x2='{b[0]:.1f}' y2='{b[1]:.1f}' stroke='{colour(stroke)}' "
            f"stroke-width='{w:.1f}'{dashed}{body}"
        )

    def poly(self, points: Iterable[tuple[float, float]], stroke: str, w: float = 1.8, fill: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        inside = f"{colour(fill)}' fill-opacity='.25" if fill else "none"
        self.parts.append(
            f"<polyline points='{path}' fill='{inside}' stroke='{colour(stroke)}' stroke-width='{w:.1f}' "
            "stroke-linejoin='round'/>"
        )

    def circle(self, x: float, y: float, r: float, fill: str, hint: str = "", stroke: str = "paper") -> None:
        body = f"><title>{html.escape(hint)}</title></circle>" if hint else "/>"
        self.parts.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{r:.1f}' fill='{colour(fill)}' stroke='{colour(stroke)}'{body}"
        )

    def text(self, x: float, y: float, words: str, anchor: str = "start", ink: str = "ink", size: int = 11,
             more: str = "") -> None:  # fmt: skip
        sized = "" if size == 11 else f" font-size='{size}'"
        self.parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour(ink)}'{sized}{more}>"
            f"{html.escape(words)}</text>"
        )

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """(colour, words) in a row from x on."""
        for fill, words in entries:
            self.rect(x, y - 8, 9, 9, fill)
            self.text(x + 13, y, words, ink="dim")
            x += 26 + 6.1 * len(words)

    def svg(self, label: str) -> str:
        return (
            f"<svg viewBox='0 0 {self.width:g} {self.height:g}' role='img' "
            f"aria-label='{html.escape(label, quote=True)}' font-family='system-ui,sans-serif' font-size='11'>"
            + "".join(self.parts)
            + "</svg>"
        )


@dataclass
class Plot:
    """A rectangle of a canvas with a scale on either side; top is the upper edge, y grows upwards."""

    canvas: Canvas
    box: tuple[float, float, float, float]  # left, top, width, height
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, top, w, h = self.box
        return (
            left + w * (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0),
            top + h - h * (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0),
        )

    def axes(self, x: str, y: str, percent: bool = False, xs: bool = True, ys: bool = True) -> None:
        """Round ticks, rules across, and the two titles with their units."""
        left, top, w, h = self.box
        for v in [t for t in axis(self.y)[2] if self.y[0] - 1e-9 <= t <= self.y[1] + 1e-9] if ys else []:
            _, v_y = self.at(self.x[0], v)
            self.canvas.line((left, v_y), (left + w, v_y))
            self.canvas.text(left - 6, v_y + 4, f"{v:.0%}" if percent else f"{v:g}", "end", "dim")
        for v in [t for t in axis(self.x)[2] if self.x[0] - 1e-9 <= t <= self.x[1] + 1e-9] if xs else []:
            v_x, _ = self.at(v, self.y[0])
            self.canvas.line((v_x, top + h), (v_x, top + h + 4), "dim")
            self.canvas.text(v_x, top + h + 16, f"{v:g}", "middle", "dim")
        if x:
            self.canvas.text(left + w / 2, top + h + 32, x, "middle", "dim")
        if y:
            self.canvas.text(13, top + h / 2, y, "middle", "dim", more=f" transform='rotate(-90 13 {top + h / 2:.0f})'")
