"""The page of a comparison: table, on-time rate against the swept setting, on-time rate against cost."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from testbed.report.figures import Figure, Series, svg
from testbed.report.style import FOOT, head

ASIDE = 0.02  # of the axis, over which the lines' bars stand side by side, so that none covers another
MOST = 12  # lines in a figure; more are told apart by nobody
FACTORS = ("load", "plan_load")  # what is swept without a unit, and means times the scenario's own


def figures(found: Mapping[str, Any]) -> dict[str, str]:
    """File name → SVG."""
    rows = [r for r in found["rows"] if r["on_time"]["mean"] is not None]
    sweep = found["plan"]["sweep"]
    out = {"cost.svg": svg(_cost(rows), "on-time rate against cost per slot")}
    path, lines = (sweep["path"], rows) if sweep else ("", [])
    if any(_number(r["value"]) is None for r in lines):
        path, lines = _along_one(rows)
    if lines and len(_by_policy(lines)) <= MOST:
        out["sweep.svg"] = svg(_sweep(lines, path), f"on-time rate against {path}")
    return out


def _along_one(rows: list[Any]) -> tuple[str, list[Any]]:
    """Of a grid over several paths: the first one that takes several numbers, and the rows along it.

    What the other paths are stands beside the policy's name. ("", []) where there is none.
    """
    for path in rows[0].get("settings", {}) if rows else ():
        if len({r["settings"].get(path) for r in rows}) > 1 and None not in {
            _number(r["settings"].get(path)) for r in rows
        }:
            return path, [r | {"value": r["settings"][path], "policy": _line(r, path)} for r in rows]
    return "", []


def _line(r: Mapping[str, Any], path: str) -> str:
    others = [f"{p}={v}" for p, v in r["settings"].items() if p != path]
    return ", ".join([r["policy"], *others])


def _by_policy(rows: list[Any]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for r in rows:
        out.setdefault(r["policy"], []).append(r)
    return out


def _bars(q: Mapping[str, float | None]) -> tuple[float, float, float]:
    """(mean, lower, upper); no bar where there is no interval."""
    mean = q["mean"]
    assert mean is not None
    low, high = q["lower"], q["upper"]
    return mean, mean if low is None else max(low, 0.0), mean if high is None else min(high, 1.0)


def _sweep(rows: list[Any], path: str) -> Figure:
    values = [float(r["value"]) for r in rows]
    lines = _by_policy(rows)
    aside = (max(values) - min(values)) * ASIDE / len(lines)
    series = [
        Series(
            policy,
            tuple(
                (_value(r) + (i - (len(lines) - 1) / 2) * aside, *_bars(r["on_time"])) for r in sorted(mine, key=_value)
            ),
        )
        for i, (policy, mine) in enumerate(lines.items())
    ]
    bound = {float(r["value"]): r["bound"] for r in reversed(rows) if r["bound"] is not None}
    if bound:
        whose = f" of {rows[0]['policy']}" if "," in rows[0]["policy"] else ""
        series.append(Series(f"fluid bound{whose}", tuple((x, y, y, y) for x, y in sorted(bound.items()))))
    return Figure(f"{path}, a factor" if path in FACTORS else path, "tasks on time", tuple(series), xs=tuple(values))


def _value(r: Mapping[str, Any]) -> float:
    return float(r["value"])


def _cost(rows: list[Any]) -> Figure:
    series = [
        Series(policy, tuple((r["cost"]["mean"], *_bars(r["on_time"])) for r in mine), line=len(mine) > 1)
        for policy, mine in _by_policy(rows).items()
    ]
    return Figure("cost per slot, in the scenario's prices", "tasks on time", tuple(series))


def page(found: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """found: comparison.json. The same comparison gives the same bytes."""
    plan = found["plan"]
    sweep = plan["sweep"]
    step = f"<th>{html.escape(sweep['path'])}" if sweep else ""
    parts = [
        head(f"{html.escape(plan['file'])}: policies compared"),
        f"<h1>{html.escape(plan['file'])}: {', '.join(map(html.escape, plan['policies']))}</h1>",
        f"<p>Seeds {plan['seeds'][0]} to {plan['seeds'][-1]} in the {plan['world']} world; plan "
        f"<code>{plan['sha256'][:12]}</code>. Intervals are two-sided, {found['confidence']:.0%}, over seeds. "
        "Differences are paired with the first policy, seed by seed, and corrected for their number (Holm).</p>",
        *(f"<div class='wide'>{pictures[name]}</div>" for name in ("sweep.svg", "cost.svg") if name in pictures),
        "<div class='wide'>",
        f"<table><tr><th>policy{step}<th>on time<th>interval<th>worst seed<th>cost per slot<th>interval"
        "<th>of the fluid bound<th>against the first<th class=r>runs",
        *(_row(r, bool(sweep)) for r in found["rows"]),
        "</table></div>",
    ]
    for key, why in found["failed"].items():
        parts.append(f"<p class=unknown>{html.escape(key)}: {html.escape(why)}</p>")
    return "\n".join(parts) + FOOT


def _row(r: Mapping[str, Any], swept: bool) -> str:
    a, c, d = r["on_time"], r["cost"], r["against_first"]
    difference = "" if d is None else f"{100 * d['mean']:+.1f} points, p {d['p']:.2g}: {d['verdict']}"
    share = "" if r["share_of_bound"] is None else f"{r['share_of_bound']:.1%} of {r['bound']:.1%}"
    links = " ".join(
        f"<a href='{html.escape(f, quote=True)}/report.html'>{html.escape(f.rpartition('_')[2])}</a>"
        for f in r["runs_in"]
    )
    invalid = f" <span class=unknown>{len(r['invalid'])} invalid</span>" if r["invalid"] else ""
    value = f"<td>{html.escape(r['value'])}" if swept else ""
    runs = f"<details><summary>{r['runs']}{invalid}</summary>{links}</details>"
    return "".join(
        (
            f"<tr><td>{html.escape(r['policy'])}{value}<td>{_share(a['mean'])}",
            f"<td>{_share(a['lower'])} to {_share(a['upper'])}<td>{_share(a['least'])}",
            f"<td>{_plain(c['mean'])}<td>{_plain(c['lower'])} to {_plain(c['upper'])}",
            f"<td>{share}<td class=words>{difference}<td class=r>{runs}",
        )
    )


def _share(x: float | None) -> str:
    return "–" if x is None else f"{x:.1%}"


def _plain(x: float | None) -> str:
    return "–" if x is None else f"{x:.1f}"


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
