"""The network as a map, before, during and after a fault: load of nodes, use of links, what was down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.report.canvas import Canvas, colour
from testbed.report.run_records import Picture, RunRecords, Section, esc, note, told

SIZE, EDGE = 300.0, 70.0
MOST_HOSTS, MOST_PARTS, MOST_FAULTS = 60, 600, 3
HALO = f" paint-order='stroke' stroke='{colour('paper')}' stroke-width='2.5'"  # a name may lie on a line
CLASSES = (0.05, 0.25, 0.5, 0.8)  # shares at which a colour changes
Point = tuple[float, float]


def section(r: RunRecords) -> Section:
    title = "The network, before, during and after"
    ground, use = r.ground, r.metadata.get("link_use") or {"at_s": [], "share": {}}
    if not ground or not ground["sites"]:
        return Section(title, note("The network was not recorded."))
    parts = len(ground["sites"]) + len(ground["links"])
    if parts > MOST_PARTS:
        return Section(title, note(f"{parts} sites and links are too many for a map; see the tables of utilisation."))
    spots = layout(ground)
    shaken = sorted(r.faults, key=lambda f: f[3])
    kept = [f for f in shaken if f[1] != "nothing"][: MOST_FAULTS if parts <= 150 else 1]
    windows: list[tuple[tuple[Any, ...] | None, tuple[str, float, float]]]
    windows = [(f, w) for f in kept for w in _windows(f, shaken, r.end)] or [(None, ("the whole run", 0.0, r.end))]
    busy = _busy(r, [(a, b) for _, (_, a, b) in windows])
    body, pictures, rows = "", [], []
    for i, (fault, (when, a, b)) in enumerate(windows):
        nodes = busy[i]
        links = {n: _mean(use["at_s"], shares, a, b) for n, shares in use["share"].items()}
        down = _down(r.slots, a, b) if fault else set()
        words = f"{when}, {a:.0f} to {b:.0f} s"
        svg = _map(ground, spots, nodes, links, down, fault[2] if fault else (), words)
        if i % 3 == 0:
            body += (
                f"<h3>{esc(told(*fault[:3]))}</h3><div class='three'>"
                if fault
                else "<div style='max-width:24rem;margin:auto'>"
            )
        body += svg + ("</div>" if i % 3 == 2 or not fault else "")
        name = fault[0] if fault else ""
        rows = [("node", n, a, b, v) for n, v in sorted(nodes.items())]
        rows += [("link", n, a, b, v) for n, v in links.items() if v is not None]
        file = f"map_{i // 3 + 1}_{when.split()[0]}" if name else "map"
        pictures.append(Picture(file, svg, ("what", "name", "from_s", "to_s", "share"), rows))
    words = (
        "Colour: share of a node's cores held by requests in service, and of a link's nominal rate carried, in its "
        "busier direction. Squares: sites; dots: nodes; triangles: gateways. "
        + ("At their coordinates." if _located(ground) else "Laid out by us; only who is joined to whom has a meaning.")
    )
    if len(shaken) > len(kept):
        words += f" {len(kept)} of {len(shaken)} faults are shown."
    return Section(title, _scale() + body + note(words), tuple(pictures))


def _windows(fault: tuple[Any, ...], others: Sequence[tuple[Any, ...]], end: float) -> list[tuple[str, float, float]]:
    """Before (as long as the fault, at most 10 s, not into the one before), during, after (not into the next)."""
    a, b = fault[3], max(fault[4], fault[3] + 0.1)
    span = min(max(b - a, 2.0), 10.0)
    since = max([a - span, 0.0, *(f[4] for f in others if f[4] < a - 1)])
    until = min([b + span, max(end, b + 1.0), *(f[3] for f in others if f[3] > b + 1)])
    return [("before", since, a), ("during", a, b), ("after", b, until)]


def _busy(r: RunRecords, windows: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """Per window: node → share of its cores held. One pass over the visits."""
    sums = ", ".join(
        f"sum(max(0.0, min(finished_s, {b!r}) - max(started_s, {a!r}))) / {max(b - a, 1e-9)!r}" for a, b in windows
    )
    low, high = min(a for a, _ in windows), max(b for _, b in windows)
    rows = r.ask(
        f"select node, service, {sums} from stages where started_s < {high!r} and finished_s > {low!r} group by 1, 2"
    )
    cores = {v["name"]: v["cpu"] for v in r.ground["nodes"]}
    out: list[dict[str, float]] = [dict.fromkeys(cores, 0.0) for _ in windows]
    for node, service, *held in rows:
        if node in cores and service in r.ground["services"]:
            for k, requests in enumerate(held):
                out[k][node] += (requests or 0.0) * r.ground["services"][service]["cpu"] / cores[node]
    return out


def _mean(at: Sequence[float], shares: Sequence[float], a: float, b: float) -> float | None:
    """Mean of the readings whose interval ends in (a, b]."""
    inside = [u for t, u in zip(at, shares, strict=True) if a < t <= b + 1e-9]
    return sum(inside) / len(inside) if inside else None


def _down(slots: Sequence[Mapping[str, Any]], a: float, b: float) -> set[str]:
    """Trunks that had no rate in most slots of the window."""
    inside = [e["link_rates_bps"] for e in slots if a < e["actual_s"] <= b]
    names = {n for rates in inside for n, rate in rates.items() if not rate}
    return {n for n in names if sum(not rates.get(n, 1) for rates in inside) * 2 > len(inside)}


def _located(ground: Mapping[str, Any]) -> bool:
    places = {(s["longitude"], s["latitude"]) for s in ground["sites"]}
    return len(places) > 1 and all(x is not None and y is not None for x, y in places)


def layout(ground: Mapping[str, Any]) -> dict[str, Point]:
    """A place for every site and host in a square of SIZE: by coordinates if all sites have them, else on a ring."""
    sites = ground["sites"]
    if _located(ground):
        middle = math.cos(math.radians(sum(s["latitude"] for s in sites) / len(sites)))
        raw = {s["name"]: (s["longitude"] * middle, -s["latitude"]) for s in sites}
    else:
        turn = 2 * math.pi / len(sites)
        raw = {s["name"]: (math.sin(i * turn), -math.cos(i * turn)) for i, s in enumerate(sites)}
        if len(sites) == 1:
            raw = {sites[0]["name"]: (0.0, 0.0)}
    xs, ys = [x for x, _ in raw.values()], [y for _, y in raw.values()]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    scale = (SIZE - 2 * EDGE) / span
    cx, cy = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    out = {n: (SIZE / 2 + (x - cx) * scale, SIZE / 2 + (y - cy) * scale) for n, (x, y) in raw.items()}
    hosts = [*ground["nodes"], *ground["gateways"]]
    if len(hosts) > MOST_HOSTS:
        return out
    for s in sites:
        mine = [h["name"] for h in hosts if h["site"] == s["name"]]
        x, y = out[s["name"]]
        away = math.atan2(y - SIZE / 2, x - SIZE / 2) if (x, y) != (SIZE / 2, SIZE / 2) else 0.0
        fan = 2.4 / max(len(mine) - 1, 1) if len(mine) > 1 else 0.0
        reach = 34.0 if len(sites) < 8 else 20.0
        for i, name in enumerate(mine):
            angle = away + fan * (i - (len(mine) - 1) / 2)
            out[name] = (x + reach * math.cos(angle), y + reach * math.sin(angle))
    return out


def heat(share: float | None) -> str:
    """The colour of a share of use."""
    return f"h{sum((share or 0.0) >= c for c in CLASSES)}"


def _map(ground: Mapping[str, Any], spots: Mapping[str, Point], nodes: Mapping[str, float],
         links: Mapping[str, float | None], down: set[str], targets: Sequence[str], words: str) -> str:  # fmt: skip
    canvas = Canvas(SIZE, SIZE + 4)
    for k in ground["links"]:
        if k["a"] not in spots or k["b"] not in spots:
            continue
        share = links.get(k["name"])
        hint = f"{k['name']}: " + ("down" if k["name"] in down else "not measured" if share is None else f"{share:.0%}")
        wide = (2.0 if k["role"] == "trunk" else 1.2) + 5.0 * min(share or 0.0, 1.0)
        a, b = spots[k["a"]], spots[k["b"]]
        if k["name"] in down:
            canvas.line(a, b, "bad", 2.5, "3 5", hint)
            x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            canvas.line((x - 5, y - 5), (x + 5, y + 5), "bad", 2.5)
            canvas.line((x - 5, y + 5), (x + 5, y - 5), "bad", 2.5)
        else:
            canvas.line(a, b, heat(share), wide, "", hint)
    for s in ground["sites"]:
        x, y = spots[s["name"]]
        canvas.rect(x - 4, y - 4, 8, 8, "dim", s["name"])
    few = len(spots) <= 24
    for v in [v for v in ground["nodes"] if v["name"] in spots]:
        x, y = spots[v["name"]]
        share = nodes.get(v["name"], 0.0)
        canvas.circle(x, y, 8 if few else 5, heat(share), f"{v['name']}: {share:.0%} of {v['cpu']:g} cores", "dim")
    for g in [g for g in ground["gateways"] if g["name"] in spots]:
        x, y = spots[g["name"]]
        canvas.poly([(x, y - 7), (x + 7, y + 5), (x - 7, y + 5), (x, y - 7)], "ink", 1.2, "dim")
    at = {h["name"]: h["site"] for h in (*ground["nodes"], *ground["gateways"])}
    for name, (x, y) in spots.items() if few else [(s["name"], spots[s["name"]]) for s in ground["sites"][:16]]:
        ink, more = ("bad", f"{HALO} font-weight='600'") if name in targets else ("dim", HALO)
        if name not in at:
            canvas.text(x + 6, y + 13, name[:14], "start", ink, 9, more)
            continue
        dx, dy = x - spots[at[name]][0], y - spots[at[name]][1]
        away = math.hypot(dx, dy) or 1.0
        anchor = "start" if dx > 0.35 * away else "end" if dx < -0.35 * away else "middle"
        canvas.text(x + 12 * dx / away, y + 3 + 14 * dy / away, name[:14], anchor, ink, 9, more)
    canvas.text(SIZE / 2, SIZE - 2, words, "middle", "dim")
    return canvas.svg(f"map, {words}")


def _scale() -> str:
    canvas = Canvas(760, 18)
    marks = ["below 5 %", "to 25 %", "to 50 %", "to 80 %", "above"]
    canvas.legend(2, 13, [*((f"h{i}", m) for i, m in enumerate(marks)), ("bad", "down")])
    return canvas.svg("colours of the map")
