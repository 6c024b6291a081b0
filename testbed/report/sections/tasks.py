"""Where the time of a task goes: its distribution per type, and the mean way through its stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.report.canvas import Canvas, Plot, colour, ticks
from testbed.report.run_records import Picture, RunRecords, Section, milli, note, percent, table

BINS = 80
MOST_TYPES = 16
LEFT = 120.0


def latency(r: RunRecords) -> Section:
    """A histogram per type on one axis, with its quantiles and its deadline."""
    ends = dict(r.ask("select type, max(deadline_s) from tasks group by 1"))
    most = max((row[0] or 0.0 for row in r.ask("select max(latency_s) from tasks")), default=0.0)
    types = [n for n in r.summary["latency_s"] if n in ends]
    if not types or not most:
        return Section("Latency per task type", note("No task came back."))
    high = ticks(0.0, 1000 * min(most, 2.0 * max(ends.values())))[1]
    step = high / BINS / 1000
    found = r.ask(
        f"select type, min(cast(latency_s / {step!r} as integer), {BINS - 1}), count(*) from tasks "
        "where latency_s is not null group by 1, 2 order by 1, 2"
    )
    shown = types[:MOST_TYPES]
    canvas = Canvas(760, 54.0 * len(shown) + 50)
    for i, name in enumerate(shown):
        _one_type(canvas, r, name, i, high, ends[name], {b: n for t, b, n in found if t == name})
    Plot(canvas, (LEFT, 8.0, 620.0, 54.0 * len(shown)), (0.0, high), (0.0, 1.0)).axes("latency, ms", "", ys=False)
    svg = canvas.svg("distribution of latency per task type")
    rows = [
        (n, percent(r.summary["on_time_rate_by_type"].get(n)), *(milli(r.summary["latency_s"][n][q])
         for q in ("p50", "p95", "p99")), milli(ends[n]))
        for n in types
    ]  # fmt: skip
    body = svg + note(
        "Tasks that came back, on time or late, the warm-up included; those beyond the axis are in its last bin. "
        "Red: the deadline. Box: median and 95th percentile of the measured window. A lost task has no latency."
    )
    numbers = [(t, 1000 * b * step, 1000 * (b + 1) * step, n) for t, b, n in found]
    body += table(("type", "on time", "p50, ms", "p95, ms", "p99, ms", "deadline, ms"), rows, (1, 2, 3, 4, 5))
    picture = Picture("latency", svg, ("type", "from_ms", "to_ms", "n"), numbers)
    return Section("Latency per task type", body, (picture,))


def _one_type(canvas: Canvas, r: RunRecords, name: str, i: int, high: float, deadline: float,
              bins: Mapping[int, int]) -> None:  # fmt: skip
    top = 12 + 54.0 * i
    plot = Plot(canvas, (LEFT, top, 620.0, 38.0), (0.0, high), (0.0, float(max(bins.values(), default=1))))
    canvas.text(LEFT - 10, top + 36, name[:18], "end")
    canvas.line((LEFT, top + 38), (LEFT + 620, top + 38))
    width = high / BINS
    points = [plot.at(0.0, 0.0)]
    for b in range(BINS):
        points += [plot.at(b * width, bins.get(b, 0)), plot.at((b + 1) * width, bins.get(b, 0))]
    canvas.poly([*points, plot.at(high, 0.0)], f"c{i % 8}", 1.2, f"c{i % 8}")
    x, _ = plot.at(1000 * deadline, 0)
    canvas.line((x, top - 2), (x, top + 38), "bad", 2.0, hint=f"deadline {1000 * deadline:g} ms")
    q = r.summary["latency_s"][name]
    if q["p50"] is not None:
        (a, _), (b_x, _) = plot.at(1000 * q["p50"], 0), plot.at(min(1000 * q["p95"], high), 0)
        canvas.rect(a, top + 40, b_x - a, 5, f"c{i % 8}", f"p50 {1000 * q['p50']:.0f} ms, p95 {1000 * q['p95']:.0f} ms")


def stages(r: RunRecords) -> Section:
    """The mean way of a task that came back: network, waiting and service of each stage on one time axis."""
    title = "Where the time goes"
    sampled = f" and s.task % {r.step} = 0" if r.step > 1 else ""
    rows = r.ask(
        "select t.type, s.stage, count(*), avg(s.arrived_s - t.at_s), avg(s.started_s - t.at_s), "
        "avg(s.finished_s - t.at_s), avg(t.latency_s) from stages s cross join tasks t on t.id = s.task "
        f"where s.outcome = 'done' and t.latency_s is not null{sampled} group by 1, 2"
    )
    plan = r.ground.get("tasks")
    if not rows or not plan:
        return Section(title, note("Not recorded by this version's predecessors; run the scenario again."))
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for kind, stage, *rest in rows:
        found.setdefault(kind, {})[stage] = tuple(rest)
    shown = sorted(found)[:MOST_TYPES]
    height = sum(17.0 * len(found[kind]) + 24 for kind in shown)
    canvas = Canvas(760, height + 62)
    high = ticks(0.0, 1000 * max(v[4] for f in found.values() for v in f.values()))[1]
    frame = Plot(canvas, (LEFT, 8.0, 620.0, height), (0.0, high), (0.0, 1.0))
    frame.axes("time since the intended send, ms (means)", "", ys=False)
    numbers: list[tuple[Any, ...]] = []
    y = 12.0
    for kind in shown:
        y = _gantt(canvas, frame, y, kind, found[kind], plan[kind]["stages"], numbers)
    between = [("h1", "access and network"), ("c3", "network between stages"), ("c1", "waiting")]
    canvas.legend(LEFT, canvas.height - 6, [*between, ("c0", "service"), ("c2", "back to the gateway")])
    svg = canvas.svg("mean way of a task through its stages")
    head = ("type", "stage", "n", "network_ms", "waiting_ms", "service_ms")
    share = f" One task in {r.step} was followed." if r.step > 1 else ""
    words = (
        "Tasks that came back. The records give one time for the private access channel and the network up to a first "
        "stage. A join waits for the last of its inputs; its network bar begins at the latest of their means."
    )
    body = svg + note(words + share)
    return Section(title, body, (Picture("stages", svg, head, numbers),))


def _gantt(canvas: Canvas, plot: Plot, y: float, kind: str, found: Mapping[str, tuple[Any, ...]],
           plan: Mapping[str, Any], numbers: list[tuple[Any, ...]]) -> float:  # fmt: skip
    """Rows of one type from y on; the y after them."""
    canvas.text(LEFT - 10, y + 11, kind[:18], "end", more=" font-weight='600'")
    fed: set[str] = set()
    home = 0.0
    last = 0.0
    for stage in plan:
        if stage not in found:
            continue
        n, arrived, started, finished, latency_s = found[stage]
        before = [b for b in plan[stage]["after"] if b in found]
        fed.update(before)
        begin = max((found[b][3] for b in before), default=0.0)
        y += 17
        canvas.text(LEFT - 10, y + 11, stage[:18], "end", "dim")
        spans = ((begin, arrived, "c3" if before else "h1", "network" if before else "access and network"),
                 (arrived, started, "c1", "waiting"), (started, finished, "c0", "service"))  # fmt: skip
        for a, b, fill, what in spans:
            (xa, _), (xb, _) = plot.at(1000 * a, 0), plot.at(1000 * max(b, a), 0)
            canvas.rect(xa, y + 2, max(xb - xa, 0.0), 12, fill, f"{kind}, {stage}: {what} {1000 * (b - a):.1f} ms")
        numbers.append((kind, stage, n, 1000 * (arrived - begin), 1000 * (started - arrived),
                        1000 * (finished - started)))  # fmt: skip
        last, home = max(last, finished), max(home, latency_s)
    ends = [found[s][3] for s in plan if s in found and s not in fed]
    (xa, _), (xb, _) = plot.at(1000 * max(ends, default=last), 0), plot.at(1000 * home, 0)
    canvas.rect(xa, y + 4, xb - xa, 8, "c2", f"{kind}: back to the gateway")
    canvas.parts.append(f"<text x='{xb + 4:.1f}' y='{y + 12:.1f}' fill='{colour('ink')}'>{1000 * home:.0f} ms</text>")
    return y + 24
