"""From an engine's tables to the records' and to a controller's samples."""

from __future__ import annotations

from collections import Counter

import numpy as np

from testbed.record.tables import STAGES, TASKS, Array, Names, Rows
from testbed.world.base import TaskBatch
from testbed.world.twin.engine import ANSWERS, DONE, DROPPED, VISITS, Engine
from testbed.world.twin.layout import Ints, Layout

Samples = dict[str, tuple[float, ...]]


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
            self._offered = np.concatenate([self._offered, np.empty(max(end, len(self._offered)), TASKS)])
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
        visits = np.concatenate(self._sampled) if self._sampled else np.empty(0, VISITS)
        self._sampled = []
        of = np.array([i[1] for i in self._instances] or [0])[visits["member"] - len(self._layout.gateways)]
        done = visits["outcome"] == DONE
        began = np.where(done, visits["started"], visits["ended"])
        waited = done | (visits["outcome"] == DROPPED)
        services: Samples = {}
        waits: Samples = {}
        for m, name in enumerate(self._layout.services):
            mine = of == m
            for out, chosen, end, start in (
                (services, mine & done, visits["ended"], visits["started"]),
                (waits, mine & waited, began, visits["arrived"]),
            ):
                if chosen.any():
                    out[name] = tuple((end[chosen] - start[chosen]).tolist())
        return services, waits

    def rows(self) -> Rows:
        """Rows since the last call."""
        answers = np.concatenate(self._answers) if self._answers else np.empty(0, ANSWERS)
        visits = np.concatenate(self._visits) if self._visits else np.empty(0, VISITS)
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
