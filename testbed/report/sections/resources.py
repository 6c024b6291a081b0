"""How busy everything was, how true the links were, and how long the controller thought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.report.canvas import Canvas, Plot, ticks
from testbed.report.run_records import Picture, RunRecords, Section, note, table

MOST = 40
MOST_TRUNKS = 8


def utilisation(r: RunRecords) -> Section:
    rows = [
        (what, name, share)
        for what in ("nodes", "links", "gateways")
        for name, share in r.summary["utilisation"].get(what, {}).items()
        if share is not None
    ]
    if not rows:
        return Section("Utilisation", note("Not measured."))
    body, pictures = _bars(r.summary["utilisation"])
    pictures = (Picture("utilisation", body, ("what", "name", "share"), rows),)
    body += note(
        "Share of a node's cores held by requests in service, and of a link's nominal rate carried in its busier "
        "direction, means over the measured window."
        + (
            f" The {MOST} busiest of each kind."
            if any(len(x) > MOST for x in r.summary["utilisation"].values())
            else ""
        )
    )
    more, trunks = _trunks(r)
    return Section("Utilisation", body + more, pictures + trunks)


def _bars(use: Mapping[str, Mapping[str, float]]) -> tuple[str, tuple[Picture, ...]]:
    kinds = [k for k in ("nodes", "links", "gateways") if use.get(k)]
    chosen = {k: sorted(use[k], key=lambda n: -(use[k][n] or 0.0))[:MOST] for k in kinds}
    columns = [(k, [n for n in use[k] if n in set(chosen[k])]) for k in kinds]
    rows = max(len(names) for _, names in columns)
    canvas = Canvas(760, 16.0 * rows + 26)
    for c, (kind, names) in enumerate(columns):
        x = 252.0 * c
        canvas.text(x + 82, 12, kind, ink="dim", more=" font-weight='600'")
        for i, name in enumerate(names):
            y, share = 20 + 16.0 * i, use[kind][name] or 0.0
            canvas.text(x + 76, y + 10, name[:14], "end")
            canvas.rect(x + 82, y + 1, 110, 11, "bar")
            canvas.rect(x + 82, y + 1, 110 * min(share, 1.0), 11, "c0" if share < 0.8 else "c1", f"{name}: {share:.1%}")
            canvas.text(x + 197, y + 10, f"{share:.0%}" if share >= 0.1 else f"{share:.1%}", ink="dim")
    return canvas.svg("utilisation of nodes, links and gateways"), ()


def _trunks(r: RunRecords) -> tuple[str, tuple[Picture, ...]]:
    """Use of the busiest trunks over time against the rate they had, in Mbit/s."""
    use = r.metadata.get("link_use") or {"at_s": [], "share": {}}
    trunks = {k["name"]: k["rate_bps"] for k in r.ground.get("links", []) if k["role"] == "trunk"}
    names = [n for n in use["share"] if n in trunks]
    names = sorted(names, key=lambda n: -sum(use["share"][n]))[:MOST_TRUNKS]
    if not names or not use["at_s"]:
        return "", ()
    tall = 62.0
    canvas = Canvas(760, tall * len(names) + 56)
    rows: list[tuple[Any, ...]] = []
    rates = [(e["actual_s"], e["link_rates_bps"]) for e in r.slots[:: max(len(r.slots) // 300, 1)]]
    for i, name in enumerate(names):
        carried = [(t, u * trunks[name] / 1e6) for t, u in zip(use["at_s"], use["share"][name], strict=True)]
        allowed = [(t, b[name] / 1e6) for t, b in rates if name in b]
        high = ticks(0.0, max(v for _, v in [*carried, *allowed]))[1]
        plot = Plot(canvas, (120.0, 10 + tall * i, 620.0, tall - 16), (0.0, r.end), (0.0, high))
        for at in (0.0, high):
            canvas.line(plot.at(0.0, at), plot.at(r.end, at))
            canvas.text(114, plot.at(0.0, at)[1] + 4, f"{at:g}", "end", "dim")
        canvas.text(4, 10 + tall * i + 26, name[:14])
        steps: list[tuple[float, float]] = []
        for t, v in allowed:
            steps += [plot.at(t, steps_v) for steps_v in ([allowed[0][1]] if not steps else [])]
            steps += [(plot.at(t, 0)[0], steps[-1][1]), plot.at(t, v)]
        canvas.poly(steps, "c4", 1.4)
        canvas.poly([plot.at(0, 0), *(plot.at(t, v) for t, v in carried), plot.at(carried[-1][0], 0)], "c0", 1.4, "c0")
        rows += [(name, t, v) for t, v in carried]
    Plot(canvas, (120.0, 10.0, 620.0, tall * len(names) - 12), (0.0, r.end), (0.0, 1.0)).axes("time, s", "", ys=False)
    canvas.legend(120, canvas.height - 4, [("c4", "rate, Mbit/s"), ("c0", "carried, Mbit/s, busier direction")])
    svg = canvas.svg("rate and use of trunks over time")
    return "<h3>Trunks over time</h3>" + svg, (Picture("trunks", svg, ("link", "until_s", "carried_mbit_s"), rows),)


def fidelity(r: RunRecords) -> Section:
    """Configured against measured, before load."""
    links = r.summary["links"]
    if not links:
        return Section("Links before load", note(f"Not measured ({r.summary['link_backend']})."))
    rows = [
        (k["name"], _of(k["configured_bps"], 1e-6), _of(k["measured_bps"], 1e-6),
         _off(k["configured_bps"], k["measured_bps"]), _of(k["configured_delay_s"], 1e3),
         _of(k["measured_delay_s"], 1e3))
        for k in links[:200]
    ]  # fmt: skip
    head = ("link", "Mbit/s set", "measured", "difference", "one-way delay set, ms", "measured")
    body = table(head, rows, (1, 2, 3, 4, 5))
    body += note(f"Values on the wire, layer 2, measured before load. Links by {r.summary['link_backend']}.")
    return Section("Links before load", body)


def _of(x: float | None, factor: float) -> str:
    return "–" if x is None else f"{x * factor:.2f}"


def _off(wanted: float | None, found: float | None) -> str:
    return "–" if not wanted or found is None else f"{found / wanted - 1:+.1%}"


def controller(r: RunRecords) -> Section:
    """Light services' waiting against what was allowed, and time to decide (live: a clock's; the twin has none)."""
    waiting = r.summary["waiting"]
    rows = [
        (m, w["n"], "–" if w["violation_rate"] is None else f"{w['violation_rate']:.1%}", f"{w['epsilon']:.1%}")
        for m, w in waiting.items()
    ]
    body = table(("light service", "requests", "waited past the budget", "allowed"), rows, (1, 2, 3)) if rows else ""
    took = [e["decide_s"] for e in r.slots if "decide_s" in e]
    said = f"Policy {r.summary['policy']}, {r.summary['controller']['slots']} slots."
    if took:
        took.sort()
        said += f" A decision took {1e3 * took[len(took) // 2]:.1f} ms in the median, {1e3 * took[-1]:.1f} ms at most."
    overload = r.summary.get("overload") or {}
    facts = [f"{k} {v:.4g}" for k, v in overload.items() if isinstance(v, float)]
    lag = r.summary["generator_lag_s_p99"]
    if lag is not None:
        facts.append(f"generator_lag_s_p99 {lag:.4g}")
    if facts:
        said += " Of the machine: " + ", ".join(facts) + "."
    return Section("Controller", body + note(said))
