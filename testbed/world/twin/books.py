"""From an engine's tables to the records' and to a controller's samples."""

from __future__ import annotations

from collections import Counter

import numpy as np

from testbed.record.tables import STAGES, TASKS, Array, Names, Rows
from testbed.world.base import TaskBatch
from testbed.world.twin.engine import ANSWERS, DONE, DROPPED, VISITS, Engine
from testbed.world.twin.layout import Ints, Layout

Samples = dict[str, tuple[float, ...]]


def joined(tables: list[Array], dtype: np.dtype[np.void]) -> Array:
    """Tables of one dtype, one after the other. (np.concatenate compares structured dtypes at length each time.)"""
    if len(tables) == 1:
        return tables[0]
    out, at = np.empty(sum(map(len, tables)), dtype), 0
    for table in tables:
        out[at : at + len(table)] = table
        at += len(table)
    return out


class Books:
    """nodes: host → code of the node (−1: a gateway)."""

    def __init__(self, layout: Layout, names: Names, engine: Engine) -> None:
        self._layout, self._names, self._engine = layout, names, engine
        node = {name: code for code, name in enumerate(names.nodes)}
        self._node = np.array([node.get(h, -1) for h in layout.network.hosts], np.int16)
        self._instances: list[tuple[int, int, int]] = []  # by member, after the gateways: code, service, host
        self._offered, self._count = np.empty(1024, TASKS), 0
        self._uncounted = 0
        self._looked = 0.0
        self._answers: list[Array] = []
        self._visits: list[Array] = []
        self._sampled: list[Array] = []  # visits not yet shown to a controller
        self._arrivals = self._none()

    def _none(self) -> Ints:
        return np.zeros((len(self._layout.services), len(self._layout.network.domains)), np.int64)

    def instance(self, name: str, service: int, host: int) -> None:
        """The next member is an instance of this name."""
        self._instances.append((self._names.instance(name), service, host))

    def offer(self, tasks: TaskBatch) -> None:
        end = self._count + len(tasks)
        if end > len(self._offered):
            self._offered = joined([self._offered, np.empty(max(end, len(self._offered)), TASKS)], TASKS)
        self._offered[self._count : end] = tasks.rows()
        self._count = end

    def offered(self, now: float) -> dict[tuple[str, str], int]:
        """Tasks intended since the last call, by (ingress, type)."""
        new = self._offered[self._uncounted : self._count]
        new = new[: np.searchsorted(new["at"], now)]
        self._uncounted += len(new)
        found = Counter(zip(new["ingress"].tolist(), new["type"].tolist(), strict=True))
        names = self._names
        return {(names.ingresses[o], names.types[n]): k for (o, n), k in sorted(found.items())}

    def absorb(self) -> None:
        """Take what the engine has."""
        answers, visits, arrivals = self._engine.take()
        if len(answers):
            self._answers.append(answers)
        if len(visits):
            self._visits.append(visits)
            self._sampled.append(visits)
        self._arrivals += arrivals

    def arrivals(self) -> dict[tuple[str, str], int]:
        """Requests received since the last call, by (service, domain of the sender)."""
        n, services, domains = self._arrivals, self._layout.services, self._layout.network.domains
        self._arrivals = self._none()
        return {(services[m], domains[g]): int(n[m, g]) for m, g in np.argwhere(n).tolist()}

    def samples(self) -> tuple[Samples, Samples]:
        """Service times and waits since the last call, by service, in the order of the reports."""
        visits = joined(self._sampled, VISITS)
        self._sampled = []
        of = np.array([i[1] for i in self._instances] or [0])[visits["member"] - len(self._layout.gateways)]
        arrived, started, ended = visits["arrived"], visits["started"], visits["ended"]
        done = visits["outcome"] == DONE
        waited = done | (visits["outcome"] == DROPPED)
        began = np.where(done, started, ended)
        return self._by_service(of[done], (ended - started)[done]), self._by_service(
            of[waited], (began - arrived)[waited]
        )

    def _by_service(self, of: Ints, values: Array) -> Samples:
        order = np.argsort(of, kind="stable")
        edges = np.searchsorted(of[order], np.arange(len(self._layout.services) + 1)).tolist()
        ordered = values[order].tolist()
        return {
            name: tuple(ordered[edges[m] : edges[m + 1]])
            for m, name in enumerate(self._layout.services)
            if edges[m] < edges[m + 1]
        }

    def rows(self) -> Rows:
        """Rows since the last call."""
        answers, visits = joined(self._answers, ANSWERS), joined(self._visits, VISITS)
        self._answers, self._visits = [], []
        return Rows(self._task_rows(answers), self._stage_rows(visits))

    def _task_rows(self, answers: Array) -> Array:
        rows = self._offered[answers["task"]]
        rows["latency"], rows["attempts"], rows["outcome"] = (
            answers["latency"], answers["attempts"], answers["outcome"],
        )  # fmt: skip
        return rows

    def _stage_rows(self, visits: Array) -> Array:
        rows = np.empty(len(visits), STAGES)
        if not len(visits):
            return rows
        facts = np.array(self._instances)[visits["member"] - len(self._layout.gateways)]
        rows["task"] = self._offered["id"][visits["task"]]
        for name in ("arrived", "started", "attempt", "outcome"):
            rows[name] = visits[name]
        rows["finished"] = visits["ended"]
        rows["instance"], rows["service"], rows["node"] = facts[:, 0], facts[:, 1], self._node[facts[:, 2]]
        rows["stage"] = self._names.stage_of[self._offered["type"][visits["task"]], visits["stage"]]
        return rows
