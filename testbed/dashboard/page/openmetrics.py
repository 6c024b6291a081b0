"""The run in numbers for a scraper: OpenMetrics text 1.0. Names and units: docs/live-page.md. Nominal units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from testbed.dashboard.page.view import View

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]
#: name, type, unit, help, samples
Family = tuple[str, str, str, str, list[Sample]]


def exposition(view: View) -> str:
    """The whole text, "# EOF" included. Families of which nothing is known yet are there without samples."""
    lines: list[str] = []
    for name, kind, unit, words, samples in (
        *_run(view),
        *_tasks(view),
        *_instances(view),
        *_links(view),
        *_faults(view),
    ):
        full = f"shaketable_{name}"
        lines.append(f"# TYPE {full} {kind}")
        if unit:
            lines.append(f"# UNIT {full} {unit}")
        lines.append(f"# HELP {full} {words}")
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        lines += [f"{full}{suffix}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join([*lines, "# EOF", ""])


def _run(view: View) -> Iterator[Family]:
    g, s = view.ground, view.status
    about = {k: str(g[k]) for k in ("run", "scenario", "policy", "seed", "world")}
    yield "run", "info", "", "What runs.", [(about, 1)]
    yield "run_ended", "gauge", "", "1 once the run has ended.", [({}, float(view.last is not None))]
    yield "time_seconds", "gauge", "seconds", "Nominal time since the load began.", _one(s.get("t"))
    yield "horizon_seconds", "gauge", "seconds", "Nominal time at which the load ends.", _one(g["horizon_s"])


def _tasks(view: View) -> Iterator[Family]:
    s = view.status
    yield "tasks_offered", "counter", "", "Tasks that were to be sent until now.", _one(s.get("offered"))
    yield "tasks_resolved", "counter", "", "Tasks of which is known what became of them.", _one(s.get("resolved"))
    yield "tasks_on_time", "counter", "", "Tasks that came back by their deadline.", _one(s.get("on_time"))
    yield (
        "on_time_ratio", "gauge", "ratio", "Share on time of the tasks resolved in the last 5 nominal seconds.",
        _one(s.get("rate_5s")),
    )  # fmt: skip
    yield "moves", "counter", "", "Migrations ordered.", _one(s.get("moves"))
    yield "starts", "counter", "", "Starts of instances ordered.", _one(s.get("starts"))


def _instances(view: View) -> Iterator[Family]:
    s = view.status
    named = [
        ({k: str(i[k]) for k in ("service", "node")} | {"instance": str(i["id"])}, i) for i in s.get("instances", ())
    ]
    yield "instance_workers", "gauge", "", "Workers of an instance.", [(n, i["workers"]) for n, i in named]
    yield (
        "instance_requests", "gauge", "", "Requests at an instance, waiting and in service.",
        [(n, i["backlog"]) for n, i in named],
    )  # fmt: skip
    yield (
        "instance_ready", "gauge", "", "1 for an instance that takes requests, 0 while it starts or drains.",
        [(n, float(i["state"] == "ready")) for n, i in named],
    )  # fmt: skip
    dead = set(s.get("dead", ()))
    yield "node_up", "gauge", "", "0 for a node known to be down.", [
        ({"node": n}, float(n not in dead)) for n in (view.ground["nodes"] if s else ())
    ]  # fmt: skip
    yield (
        "node_cores_held_ratio", "gauge", "ratio", "Share of a node's cores held by requests in service, mean of 5 s.",
        [({"node": n}, x) for n, x in s.get("load", {}).items()],
    )  # fmt: skip


def _links(view: View) -> Iterator[Family]:
    s = view.status
    links = s.get("links", {})
    yield "link_up", "gauge", "", "1 for a trunk that the network control takes to be up.", [
        ({"link": name}, float(up)) for name, (_, _, up) in links.items()
    ]  # fmt: skip
    yield "link_rate_bits_per_second", "gauge", "bits_per_second", "What a trunk would carry now.", [
        ({"link": name}, rate if up else 0.0) for name, (rate, _, up) in links.items()
    ]  # fmt: skip
    yield (
        "link_configured_bits_per_second", "gauge", "bits_per_second", "What a trunk carries when nothing shakes it.",
        [({"link": name}, nominal) for name, (_, nominal, _) in links.items()],
    )  # fmt: skip
    ways = [(way.split("->"), n) for way, n in s.get("carried_bytes", {}).items()]
    yield "link_carried_bytes", "counter", "bytes", "Bytes that left a link, by direction.", [
        ({"from": a, "to": b}, n) for (a, b), n in ways
    ]  # fmt: skip


def _faults(view: View) -> Iterator[Family]:
    yield "faults_applied", "counter", "", "Disturbances applied so far.", [({}, view.applied)]
    yield "fault_in_force", "gauge", "", "1 for each disturbance in force.", [
        ({"fault": f["name"], "kind": f["kind"], "target": f["target"]}, 1) for f in view.faults.values()
    ]  # fmt: skip


def _one(value: float | None) -> list[Sample]:
    return [] if value is None else [({}, value)]


def _labels(labels: Labels) -> str:
    return f"{{{','.join(_pairs(labels.items()))}}}" if labels else ""


def _pairs(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for key, value in items:
        escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        yield f'{key}="{escaped}"'


def _number(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(float(value))
