"""On time through the run, with what was done to it and what it did; and what it cost meanwhile."""

from __future__ import annotations

from testbed.report.canvas import Canvas, Plot, ticks
from testbed.report.run_records import LOAD_FAULTS, Picture, RunRecords, Section, note, told

BOX = (52.0, 34.0, 690.0, 210.0)
MOST_BINS = 60


def marked(r: RunRecords, plot: Plot, names: bool = True) -> None:
    """Faults and load as shaded stretches with their names over them."""
    canvas, (_, top, _, height) = plot.canvas, plot.box
    free = [0.0, 0.0]  # where the two rows of names are empty from
    for name, kind, targets, a, b in r.faults:
        (x0, _), (x1, _) = plot.at(a, plot.y[0]), plot.at(min(b, plot.x[1]), plot.y[0])
        load = kind in LOAD_FAULTS
        canvas.rect(x0, top, max(x1 - x0, 1.5), height, "crowd" if load else "fault", told(name, kind, targets))
        row = next((k for k in (0, 1) if free[k] <= x0), None)
        if names and row is not None:
            canvas.text(x0 + 2, top - 5 - 12 * row, name[:40], ink="c0" if load else "bad")
            free[row] = x0 + 8 + 6.2 * min(len(name), 40)


def moved(r: RunRecords, plot: Plot) -> None:
    """A mark on the lower edge for each move, when it was done."""
    _, top, _, height = plot.box
    for t, words in r.moves[:400]:
        x, y = plot.at(t, plot.y[0])[0], top + height
        plot.canvas.poly([(x, y - 11), (x + 5, y), (x - 5, y), (x, y - 11)], "c3", 1.2, "c3")
        plot.canvas.line((x, y - 11), (x, y), "c3", 2.0, hint=f"{t:.1f} s, {words}")


def section(r: RunRecords) -> Section:
    width = next(w for w in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 1e5, 1e9) if r.end / w <= MOST_BINS)
    bins = r.ask(
        f"select cast(at_s / {width} as integer), count(*), sum(outcome = 'on_time'), sum(outcome = 'late') "
        "from tasks group by 1 order by 1"
    )
    if not bins:
        return Section("On time through the run", note("No task rows."))
    canvas = Canvas(760, 300)
    plot = Plot(canvas, BOX, (0.0, max(r.end, (bins[-1][0] + 1) * width)), (0.0, 1.0))
    marked(r, plot)
    most = max(n for _, n, _, _ in bins)
    for b, n, on_time, late in bins:
        (x0, y), (x1, _) = plot.at(b * width, 0.35 * n / most), plot.at((b + 1) * width, 0)
        hint = f"{b * width:g} to {(b + 1) * width:g} s: {n} tasks, {on_time} on time, {late} late"
        canvas.rect(x0 + 0.5, y, x1 - x0 - 1, BOX[1] + BOX[3] - y, "bar", hint)
    plot.axes("intended send, s", "share on time", percent=True)
    rate = r.summary["on_time_rate"]
    if rate is not None:
        canvas.line(plot.at(plot.x[0], rate), plot.at(plot.x[1], rate), "dim", 1.0, "5 3", f"mean {rate:.1%}")
    canvas.poly((plot.at((b + 0.5) * width, k / n) for b, n, k, _ in bins), "c0", 2.2)
    moved(r, plot)
    canvas.legend(52, 296, [("c0", f"on time, per {width:g} s"), ("bar", f"tasks offered (most: {most})"),
                            ("fault", "fault"), ("crowd", "load"), ("c3", "a move")])  # fmt: skip
    svg = canvas.svg("share of tasks on time over the run")
    rows = [(b * width, n, k, late, k / n) for b, n, k, late in bins]
    picture = Picture("on_time", svg, ("from_s", "offered", "on_time", "late", "share_on_time"), rows)
    return Section("On time through the run", svg + note("Dashed: the measured window's mean."), (picture,))


def cost(r: RunRecords) -> Section:
    """Cost of each slot, from who existed in it and the prices."""
    c = r.summary["cost"]
    words = (
        f"{c['total_per_slot']:.1f} per slot over the measured window: {c['operation_per_slot']:.1f} operation and "
        f"{c['migration_per_slot']:.1f} migration. Deployment, once: {c['deployment']:.0f}."
    )
    services, nodes = r.ground.get("services"), r.ground.get("nodes")
    slots = [e for e in r.slots if e["planned_s"] is not None]
    if not services or not nodes or not slots:
        return Section("Cost", note(words))
    price = {v["name"]: v["price"] for v in nodes}
    rows = []
    for e in slots:
        costs = [(i, services[i["service"]]["costs"]) for i in e["instances"]]
        operation = sum(price[i["node"]] * (keep + parallel * i["workers"]) for i, (_, keep, parallel) in costs)
        begun = [a["start"] if a["do"] == "migrate" else a for a in e["actions"] if a["do"] in ("migrate", "start")]
        rows.append((e["actual_s"], operation, sum(services[a["service"]]["costs"][0] for a in begun)))
    rows = rows[:: max(len(rows) // 300, 1)]
    canvas = Canvas(760, 200)
    _, high, _ = ticks(0.0, max(o + m for _, o, m in rows))
    plot = Plot(canvas, (52.0, 14.0, 690.0, 126.0), (0.0, r.end), (0.0, high))
    marked(r, plot, names=False)
    plot.axes("time, s", "cost per slot")
    for t, o, m in rows:
        if m:
            canvas.line(plot.at(t, o), plot.at(t, o + m), "c1", 2.5, hint=f"{t:.1f} s: starting cost {m:g}")
    canvas.poly((plot.at(t, o) for t, o, _ in rows), "c0", 2.0)
    moved(r, plot)
    canvas.legend(52, 196, [("c0", "operation"), ("c1", "starts, when decided"), ("c3", "a move")])
    svg = canvas.svg("cost per slot over the run")
    return Section("Cost", svg + note(words), (Picture("cost", svg, ("at_s", "operation", "starts"), rows),))
