"""The kernel's state: one structured array per kind of thing, and how they are made and grow.

Rows of a pool that are free are chained by `next` from the pool's head in the globals. Pools grow between events
only: before each one the loop makes sure that any single event finds room (`engine.room`).
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from controller.light.routing import RULES
from testbed.world.twin.engine import ANSWERS, VISITS
from testbed.world.twin.layout import Ints, Layout

Table = NDArray[Any]

i, f = "i8", "f8"
#: One row: clock, counters (layout: how often what lies ahead may have changed), heads of free lists (x: transfers, v:
#: visits, c: connections, b: bindings).
GLOBALS = np.dtype(
    [(n, i) for n in (
        "planned", "sent", "serial", "version", "heap", "come", "offered", "lasts", "gateways", "members", "tasks",
        "flying", "stalls", "free_x", "free_v", "free_c", "free_b", "room_x", "room_v", "room_c", "room_b", "answers",
        "reported", "visits", "signals", "doubts", "outbox", "last_out", "new_costs", "held_back", "layout",
    )]
    + [("now", f)]
)  # fmt: skip
#: The rules of layout.Rules that the kernel asks for; rule: place in controller.light.routing.RULES.
RULE = np.dtype(
    [(n, i) for n in ("edf", "limit", "early_drop", "admission", "frames", "handshake", "seed", "rule")]
    + [(n, f) for n in (
        "interval", "report", "recent", "contention", "grace_deadlines", "grace", "join_grace", "shrink", "packet",
        "segment", "message", "local", "service", "dispatch", "rto", "window",
    )]
)  # fmt: skip
EVENT = np.dtype([("time", f), ("planned", i), ("kind", i), ("a", i), ("b", i)])
TRANSFER = np.dtype(
    [(n, i) for n in (
        "number", "kind", "source", "target", "start", "end", "task", "attempt", "stage", "origin", "site", "hops",
        "through", "head_stamp", "tail_stamp", "next", "after", "state", "counted",
    )]
    + [(n, f) for n in ("size", "packet", "late", "head_at", "tail_at")]
)  # fmt: skip
HOP = np.dtype([("lane", i), ("head", f), ("tail", f), ("since", f), ("inflow", f), ("jitter", f)])
VISIT = np.dtype(
    [(n, i) for n in (
        "serial", "first", "task", "attempt", "stage", "member", "missing", "state", "outcome", "next", "below",
        "beside",
    )]
    + [(n, f) for n in ("arrived", "started", "until", "ended", "key")]
)  # fmt: skip
MEMBER = np.dtype(
    [(n, i) for n in (
        "host", "service", "workers", "milli", "shown", "draining", "asked", "told", "dead", "gone", "watched",
        "running", "queue", "waiting", "joins", "coming", "owed", "bound", "due", "rows", "last_row", "taken",
        "last_taken", "counted", "fresh", "reported", "backlog", "busy", "silent", "recent", "last_recent",
        "seen_workers", "seen_backlog", "seen_draining", "id_length", "frozen", "door", "last_door", "late_report",
    )]
    + [(n, f) for n in ("speed", "mean", "spare", "pace", "errors")]
)  # fmt: skip
TASK = np.dtype(
    [(n, i) for n in (
        "type", "gateway", "attempts", "sent", "over", "expired", "waiting", "answered", "sinks", "bindings",
    )]
    + [(n, f) for n in ("at", "due", "size")]
)  # fmt: skip
#: own: 1 for the first of its task to that member.
BINDING = np.dtype([("member", i), ("attempt", i), ("next", i), ("own", i), ("finished", f)])
STALL = np.dtype([(n, i) for n in ("source", "target", "first", "last", "tries", "used", "next")])
LANE = np.dtype(
    [(n, i) for n in ("leads", "up", "step", "steps", "inflows")]
    + [(n, f) for n in ("delay", "jitter", "loss", "factor", "time", "c", "q", "inflow", "sent")]
)  # fmt: skip
HOST = np.dtype([(n, i) for n in ("site", "domain", "up", "down", "busy", "crc")])
TYPE = np.dtype([("stages", i), ("sinks", i), ("deadline", f), ("output", f)])
#: Of stage s in row s + 1 of its type; row 0 stands for the gateway.
STAGE = np.dtype([(n, i) for n in ("service", "join", "ins", "outs", "sink")] + [("head", f)])
EDGE = np.dtype([("in_stage", i), ("in_bytes", f), ("out_stage", i), ("out_bytes", f)])
#: What a sender and a receiver have between them; version: of the view that `local` belongs to; coming: the sender's
#: tasks that are bound to the receiver and not over.
PAIR = np.dtype([(n, "i4") for n in ("pending", "local", "version", "known", "coming")])
SIGNAL = np.dtype([("what", i), ("member", i)])
#: controller.light.routing.Ahead, and the layout it is of.
AHEAD = np.dtype([("layout", i)] + [(n, f) for n in ("seconds", "per_size", "toll")])
#: Of a search for what follows: its stage, host, edge and target (a place in `ranks`), and the cheapest way so far.
PATH = np.dtype(
    [(n, i) for n in ("stage", "host", "edge", "place")] + [(n, f) for n in ("seconds", "per_size", "toll")]
)
SORTED = np.dtype([("key", f), ("row", i)])

FREE, FLYING, TAKEN, ARRIVED = range(4)  # states of transfers
QUEUED, RUNNING, JOIN, ROW, RECENT, GHOST = range(1, 7)  # states of visits
TICK, DISPATCH, AGAIN, RETRY, LAST, HEAD, TAIL, DELIVER, FINISH, REPORT, RTO = range(11)  # kinds of events


class State(NamedTuple):
    """Everything the kernel works on. Rows as named above; pairs [member, member]; view: members by service."""

    g: Table
    rule: Table
    events: Table
    coming: Table  # of the tasks offered, in order; those before g.come have come
    lasts: Table  # last moments
    x: Table  # transfers
    x_bind: Table  # [transfer, join]
    hops: Table  # [transfer, hop]
    v: Table  # visits
    v_bind: Table
    m: Table  # members
    ids: Table  # [member, character]
    pairs: Table
    routed: Table  # [member, service]
    t: Table  # tasks
    work: Table  # [task, stage]
    b: Table  # bindings
    c: Table  # stalled connections
    lanes: Table
    track: Table  # [lane, step, (time, rate)]
    hosts: Table
    next_lane: Table  # [site, site]
    delay: Table  # [host, host] as last told
    per_byte: Table
    toll: Table
    seen_delay: Table  # as in the view
    seen_per_byte: Table
    seen_toll: Table
    types: Table
    stages: Table  # [type, 1 + stage]
    edges: Table  # [type, 1 + stage, edge]
    targets: Table  # members in the view, service by service
    targets_from: Table  # [services + 1]
    listed: Table  # [service] how often its targets or the way to them have changed
    ranks: Table  # [host, place in targets] a service's targets, the nearest first
    ranked: Table  # [host, service] `listed` when they were ranked
    answers: Table
    visits: Table
    signals: Table
    doubts: Table
    arrivals: Table  # [service, domain]
    crc: Table  # [256]
    order: Table  # room for rows of transfers, of visits
    near: Table  # room for a service's targets: routing happens while `order` is walked
    held: Table  # room for (task, attempt)
    bind: Table  # room for a task's joins
    aims: Table  # room for the targets of a task's first edges
    ahead: Table  # [type and gateway, 1 + stage, host]
    path: Table  # room for one entry per stage
    least_mean: Table  # [service] of its targets, s
    at_host: Table  # room for one entry per stage
    at_time: Table
    floor: Table  # [type, 1 + stage] what follows takes at least, s


WHOLE, REAL = np.dtype(np.int64), np.dtype(np.float64)
#: Of each array of the state: dtype and number of axes.
DTYPES: dict[str, tuple[np.dtype[Any], int]] = {
    "g": (GLOBALS, 1),
    "rule": (RULE, 1),
    "events": (EVENT, 1),
    "coming": (EVENT, 1),
    "lasts": (EVENT, 1),
    "x": (TRANSFER, 1),
    "x_bind": (WHOLE, 2),
    "hops": (HOP, 2),
    "v": (VISIT, 1),
    "v_bind": (WHOLE, 2),
    "m": (MEMBER, 1),
    "ids": (np.dtype(np.uint8), 2),
    "pairs": (PAIR, 2),
    "routed": (WHOLE, 2),
    "t": (TASK, 1),
    "work": (REAL, 2),
    "b": (BINDING, 1),
    "c": (STALL, 1),
    "lanes": (LANE, 1),
    "track": (REAL, 3),
    "hosts": (HOST, 1),
    "next_lane": (WHOLE, 2),
    "delay": (REAL, 2),
    "per_byte": (REAL, 2),
    "toll": (REAL, 2),
    "seen_delay": (REAL, 2),
    "seen_per_byte": (REAL, 2),
    "seen_toll": (REAL, 2),
    "types": (TYPE, 1),
    "stages": (STAGE, 2),
    "edges": (EDGE, 3),
    "targets": (WHOLE, 1),
    "targets_from": (WHOLE, 1),
    "listed": (WHOLE, 1),
    "ranks": (np.dtype(np.int32), 2),
    "ranked": (WHOLE, 2),
    "answers": (ANSWERS, 1),
    "visits": (VISITS, 1),
    "signals": (SIGNAL, 1),
    "doubts": (WHOLE, 1),
    "arrivals": (WHOLE, 2),
    "crc": (WHOLE, 1),
    "order": (SORTED, 1),
    "near": (SORTED, 1),
    "held": (SORTED, 1),
    "bind": (WHOLE, 1),
    "aims": (WHOLE, 1),
    "ahead": (AHEAD, 3),
    "path": (PATH, 1),
    "least_mean": (REAL, 1),
    "at_host": (WHOLE, 1),
    "at_time": (REAL, 1),
    "floor": (REAL, 2),
}


def fresh(layout: Layout) -> State:
    """The state at the beginning, with small pools."""
    n, k = layout.network, layout.types
    H, L, G, M = len(n.hosts), len(n.rate), len(layout.gateways), len(layout.services)
    kinds, width, edges = k.out_stage.shape
    most = max(64, 2 * G, 4 * H)  # members, for now

    def whole(*shape: int) -> Ints:
        return np.zeros(shape, np.int64)

    s = State(
        g=np.zeros(1, GLOBALS),
        rule=_rules(layout),
        events=np.zeros(256, EVENT),
        coming=np.zeros(64, EVENT),
        lasts=np.zeros(256, EVENT),
        x=_pool(np.zeros(64, TRANSFER)),
        x_bind=whole(64, k.width),
        hops=np.zeros((64, 8), HOP),
        v=_pool(np.zeros(64, VISIT)),
        v_bind=whole(64, k.width),
        m=np.zeros(most, MEMBER),
        ids=np.zeros((most, 32), np.uint8),
        pairs=np.zeros((most, most), PAIR),
        routed=whole(most, M),
        t=np.zeros(64, TASK),
        work=np.zeros((64, width - 1)),
        b=_pool(np.zeros(64, BINDING)),
        c=_pool(np.zeros(64, STALL)),
        lanes=np.zeros(L, LANE),
        track=np.zeros((L, 1, 2)),
        hosts=np.zeros(H, HOST),
        next_lane=whole(1, 1),
        delay=np.zeros((H, H)),
        per_byte=np.zeros((H, H)),
        toll=np.zeros((H, H)),
        seen_delay=np.zeros((H, H)),
        seen_per_byte=np.zeros((H, H)),
        seen_toll=np.zeros((H, H)),
        types=np.zeros(kinds, TYPE),
        stages=np.zeros((kinds, width), STAGE),
        edges=np.zeros((kinds, width, edges), EDGE),
        targets=whole(most),
        targets_from=whole(M + 1),
        listed=whole(M),
        ranks=np.zeros((H, most), np.int32),
        ranked=whole(H, M),
        answers=np.zeros(256, ANSWERS),
        visits=np.zeros(256, VISITS),
        signals=np.zeros(4 * most, SIGNAL),
        doubts=whole(256),
        arrivals=whole(M, len(n.domains)),
        crc=_crc_table(),
        order=np.zeros(128, SORTED),
        near=np.zeros(most, SORTED),
        held=np.zeros(64, SORTED),
        bind=whole(k.width),
        aims=whole(edges),
        ahead=np.zeros((kinds * G, width, H), AHEAD),
        path=np.zeros(width, PATH),
        least_mean=np.zeros(M),
        at_host=whole(width - 1),
        at_time=np.zeros(width - 1),
        floor=np.zeros((kinds, width)),
    )
    g = s.g[0]
    g["gateways"] = g["members"] = G
    g["outbox"] = -1
    s.ahead["layout"] = -1
    for pool in "xvcb":
        g["room_" + pool] = 64
    s.m["queue"] = s.m["joins"] = s.m["rows"] = s.m["taken"] = s.m["recent"] = s.m["door"] = -1
    s.m["host"][:G] = layout.gateways
    _lay(s, layout)
    return s


def _pool(rows: Table) -> Table:
    """All rows free, each chained to the one after it."""
    rows["next"] = np.arange(1, len(rows) + 1)
    rows["next"][-1] = -1
    return rows


def _rules(layout: Layout) -> Table:
    out, r = np.zeros(1, RULE), layout.rules
    for name in RULE.names or ():
        if name == "rule":
            out[name] = RULES.index(r.rule)
        else:
            out[name] = getattr(r, name)
    return out


def _lay(s: State, layout: Layout) -> None:
    n, k = layout.network, layout.types
    for name in ("leads", "delay", "jitter", "loss"):
        s.lanes[name] = getattr(n, name)
    s.lanes["up"], s.lanes["factor"], s.lanes["steps"] = 1, 1.0, 1
    s.track[:, 0, 1] = n.rate
    for name in ("site", "domain", "up", "down"):
        s.hosts[name] = getattr(n, name)
    s.hosts["crc"] = [crc32(f"{h}|".encode()) for h in n.hosts]
    s.types["stages"], s.types["sinks"], s.types["output"] = k.stages, k.sinks, k.output
    rows = s.stages[:, 1:]
    for ours, theirs in (("service", k.service), ("join", k.joins), ("ins", k.ins), ("sink", k.sink), ("head", k.head)):
        rows[ours] = theirs
    s.stages["outs"] = k.outs
    s.stages["join"][:, 0] = -1
    for name in ("in_stage", "in_bytes"):
        s.edges[name][:, 1:] = getattr(k, name)
    for name in ("out_stage", "out_bytes"):
        s.edges[name] = getattr(k, name)


def _crc_table() -> Ints:
    out = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xEDB88320 if value & 1 else value >> 1
        out.append(value)
    return np.array(out, np.int64)


def longer(rows: Table, length: int) -> Table:
    """The rows, and zeros after them, along the first axis."""
    out = np.zeros((length, *rows.shape[1:]), rows.dtype)
    copy(out, rows)
    return out


def copy(out: Table, rows: Table) -> None:
    """The rows to the first of `out`, as bytes: NumPy would go through every field of every row."""
    out.reshape(-1).view(np.uint8)[: rows.nbytes] = rows.reshape(-1).view(np.uint8)


def longer_pool(rows: Table, g: Any, pool: str, length: int) -> Table:
    """A pool with more free rows, chained before the ones that were free."""
    out = longer(rows, length)
    begin = len(rows)
    out["next"][begin:] = np.arange(begin + 1, length + 1)
    out["next"][-1] = g["free_" + pool]
    g["free_" + pool] = begin
    g["room_" + pool] += length - begin
    return out


def wider(rows: Table, length: int, width: int) -> Table:
    """The rows, and zeros below and beside them."""
    out = np.zeros((length, width), rows.dtype)
    out[: len(rows), : rows.shape[1]] = rows
    return out
