"""The kernel behind engine.Engine: keeps the state, makes room, and calls the compiled functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from testbed.world.twin.engine import Signal
from testbed.world.twin.kernel import loop
from testbed.world.twin.kernel.handle import table_of
from testbed.world.twin.kernel.state import DISPATCH, EVENT, TICK, State, copy, fresh, longer, longer_pool, wider
from testbed.world.twin.layout import Floats, Ints, Layout


class Kernel:
    """See engine.Engine."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._keep(fresh(layout))
        self._tracks: list[tuple[list[float], list[float]]] = [([0.0], [float(r)]) for r in layout.network.rate]
        loop.ask(self._table, loop.PLAN, TICK, 0, 0.0)

    @property
    def now(self) -> float:
        return float(self._s.g["now"][0])

    def _keep(self, s: State) -> None:
        """This is the state from now on. Its arrays live as long as the table that names them."""
        self._s, self._table = s, table_of(s)

    # -- room

    def _room(self) -> int:
        """Rows that one event may need of each pool: a view may make every instance speak, a death every task."""
        g = self._s.g[0]
        busy = len(self._s.v) - int(g["room_v"]) + int(g["flying"])
        return 64 + 2 * int(g["members"]) + 4 * busy

    def _grow(self, room: int) -> None:
        s, g = self._s, self._s.g[0]

        def length(rows: NDArray[np.void], free: int) -> int:
            return len(rows) if free >= room else max(2 * len(rows), len(rows) + 2 * room)

        x = length(s.x, int(g["room_x"]))
        v = length(s.v, int(g["room_v"]))
        c = length(s.c, int(g["room_c"]))
        b = length(s.b, int(g["room_b"]))
        if x > len(s.x):
            s = s._replace(
                x=longer_pool(s.x, g, "x", x),
                order=longer(s.order, max(len(s.order), x + v)),
                x_bind=longer(s.x_bind, x),
                hops=longer(s.hops, x),
            )
        if v > len(s.v):
            s = s._replace(
                v=longer_pool(s.v, g, "v", v), v_bind=longer(s.v_bind, v),
                order=longer(s.order, max(len(s.order), x + v)), held=longer(s.held, v),
            )  # fmt: skip
        if c > len(s.c):
            s = s._replace(c=longer_pool(s.c, g, "c", c))
        if b > len(s.b):
            s = s._replace(b=longer_pool(s.b, g, "b", b))
        for name, used in (
            ("events", g["heap"]),
            ("lasts", g["lasts"]),
            ("answers", g["answers"]),
            ("visits", g["visits"]),
            ("doubts", g["doubts"]),
        ):
            rows = getattr(s, name)
            if (need := length(rows, len(rows) - int(used))) > len(rows):
                s = s._replace(**{name: longer(rows, need)})
        if s is not self._s:
            self._keep(s)

    def _roomy(self) -> State:
        """The state, with room for one call."""
        self._grow(self._room())
        return self._s

    def _ask(self, what: int, a: int = 0, b: int = 0, x: float = 0.0) -> int:
        self._roomy()
        return int(loop.ask(self._table, what, a, b, x))

    # -- instances

    def add(
        self, name: str, service: int, host: int, workers: int, speed: float, mean: float, milli: int, spare: float
    ) -> int:
        s, g, text = self._s, self._s.g[0], name.encode()
        member = int(g["members"])
        if member >= len(s.m):
            n = 2 * len(s.m)
            s = s._replace(
                m=longer(s.m, n), ids=longer(s.ids, n), pairs=wider(s.pairs, n, n), routed=longer(s.routed, n),
                targets=longer(s.targets, n), signals=longer(s.signals, 4 * n),
                ranks=wider(s.ranks, len(s.ranks), n), near=longer(s.near, max(len(s.near), n)),
            )  # fmt: skip
        if len(text) > s.ids.shape[1]:
            ids = np.zeros((len(s.ids), 2 * len(text)), np.uint8)
            ids[:, : s.ids.shape[1]] = s.ids
            s = s._replace(ids=ids)
        if s is not self._s:
            self._keep(s)
        g["members"] += 1
        m = s.m[member]
        for field, value in (
            ("host", host), ("service", service), ("workers", workers), ("milli", milli), ("speed", speed),
            ("mean", mean), ("spare", spare), ("id_length", len(text)), ("silent", 1), ("pace", 1.0),
        ):  # fmt: skip
            m[field] = value
        for field in ("queue", "joins", "rows", "taken", "recent", "door"):
            m[field] = -1
        s.ids[member, : len(text)] = list(text)
        return member

    def open(self, member: int) -> None:
        self._s.m["shown"][member] = 1

    def resize(self, member: int, workers: int) -> None:
        self._s.m["workers"][member] = workers
        if not self._s.m["dead"][member] and not self._s.m["frozen"][member]:
            self._ask(loop.PUMP, member)

    def trouble(self, member: int, pace: float, errors: float) -> None:
        self._s.m["pace"][member], self._s.m["errors"][member] = pace, errors

    def freeze(self, member: int, still: bool) -> None:
        self._ask(loop.FREEZE, member, int(still))

    def mark(self, member: int) -> bool:
        m = self._s.m[member]
        m["draining"] = 1
        m["watched"] = m["bound"] > 0
        return not m["watched"]

    def drain(self, member: int) -> None:
        m = self._s.m[member]
        if m["frozen"]:
            m["asked"] = 1
        elif not m["dead"]:
            self._ask(loop.DRAIN, member)

    def held(self, member: int) -> int:
        return self._ask(loop.HELD, member)

    def stop(self, member: int) -> None:
        self._ask(loop.STOP, member)

    def kill(self, member: int) -> None:
        if not self._s.m["dead"][member]:
            self._ask(loop.KILL, member)

    def bury(self, member: int) -> None:
        self._ask(loop.BURY, member)

    def push(self) -> None:
        self._ask(loop.PUSH)

    def hold(self, held: bool) -> None:
        self._s.g["held_back"] = int(held)
        if not held:
            self._ask(loop.PUSH)

    def fetch(self, source: int, member: int, size: float) -> None:
        self._ask(loop.FETCHES, source, member, size)

    # -- load

    def offer(
        self, gateway: Ints, type: Ints, at: Floats, deadline: Floats, access: Floats, size: Floats, work: Floats
    ) -> None:
        s, g, n = self._s, self._s.g[0], len(at)
        first = int(g["tasks"])
        if first + n > len(s.t):
            length = max(2 * len(s.t), first + n)
            s = s._replace(t=longer(s.t, length), work=longer(s.work, length))
        if s is not self._s:
            self._keep(s)
        t = s.t[first : first + n]
        t["gateway"], t["type"], t["at"], t["due"], t["size"] = gateway, type, at, at + deadline, size
        t["bindings"] = -1
        s.work[first : first + n, : work.shape[1]] = work
        g["tasks"] += n
        self._await(first, at + access + self.layout.rules.dispatch)

    def _await(self, task: int, times: Floats) -> None:
        """Tasks from this one on will come at these times. Of equal times the one offered first is the first."""
        s, g, n = self._s, self._s.g[0], len(times)
        waiting = s.coming[g["come"] : g["offered"]]
        rows = np.zeros(len(waiting) + n, EVENT)
        copy(rows, waiting)
        new = rows[len(waiting) :]
        new["time"], new["kind"] = times, DISPATCH
        new["planned"], new["a"] = np.arange(g["planned"], g["planned"] + n), np.arange(task, task + n)
        rows = rows[np.argsort(rows["time"], kind="stable")]
        if len(rows) > len(s.coming):
            self._keep(s._replace(coming=np.zeros(2 * len(rows), EVENT)))
        copy(self._s.coming, rows)
        g["planned"] += n
        g["come"], g["offered"] = 0, len(rows)

    # -- network

    def set_costs(self, delay: Floats, per_byte: Floats, toll: Floats) -> None:
        self._s.delay[:], self._s.per_byte[:], self._s.toll[:] = delay, per_byte, toll
        self._s.g["new_costs"] = 1

    def set_next(self, table: Ints) -> None:
        self._keep(self._s._replace(next_lane=np.ascontiguousarray(table, np.int64)))
        deepest = 2 + len(table)  # lanes of a way through every site
        if deepest > self._s.hops.shape[1]:
            hops = np.zeros((len(self._s.x), deepest), self._s.hops.dtype)
            hops[:, : self._s.hops.shape[1]] = self._s.hops
            self._keep(self._s._replace(hops=hops))

    def play(self, lane: int, times: Floats, rates: Floats) -> None:
        self._ask(loop.FORWARD, lane)
        s = self._s
        w = s.lanes[lane]
        rate = float(s.track[lane, w["step"], 1])
        steps = 1 + len(times)
        if steps > s.track.shape[1]:
            track = np.zeros((len(s.lanes), steps, 2))
            track[:, : s.track.shape[1]] = s.track
            s = s._replace(track=track)
            self._keep(s)
        s.track[lane, 0] = w["time"], rate
        s.track[lane, 1:steps, 0], s.track[lane, 1:steps, 1] = times, rates
        w["step"], w["steps"] = 0, steps
        self._ask(loop.RETIME, lane)

    def squeeze(self, lane: int, factor: float) -> None:
        self._ask(loop.SQUEEZE, lane, x=factor)

    def shape(self, lane: int, delay: float, jitter: float, loss: float) -> None:
        w = self._s.lanes[lane]
        w["delay"], w["jitter"], w["loss"] = delay, jitter, loss

    def set_lane(self, lane: int, up: bool) -> None:
        self._ask(loop.LANE, lane, int(up))

    # -- time

    def run(self, until: float) -> list[Signal]:
        room = self._room()
        while loop.ask(self._table, loop.RUN, room, 0, until):
            room = max(room, self._room())
            self._grow(room)
        g = self._s.g[0]
        n = int(g["signals"])
        if not n:
            return []
        g["signals"] = 0
        return [(int(row["what"]), int(row["member"])) for row in self._s.signals[:n]]

    # -- what happened

    def take(self) -> tuple[NDArray[np.void], NDArray[np.void], Ints]:
        s, g = self._s, self._s.g[0]
        n, k = int(g["reported"]), int(g["visits"])
        answers, visits = s.answers[:n].copy(), s.visits[:k].copy()
        left = int(g["answers"]) - n
        s.answers[:left] = s.answers[n : n + left].copy()
        g["answers"], g["reported"], g["visits"] = left, 0, 0
        arrivals = s.arrivals.copy()
        s.arrivals[:] = 0
        return answers, visits, arrivals

    def backlogs(self) -> Ints:
        n = int(self._s.g["members"][0])
        return np.stack([self._s.m["backlog"][:n], self._s.m["busy"][:n]], axis=1)

    def carried(self) -> Floats:
        return np.array(self._s.lanes["sent"])
