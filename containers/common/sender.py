"""A sender's picture of the world (the view) and its way to send requests by it: route, count, remember the broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import routing

from common.connections import Connections
from common.wire import REQUEST, Header

#: View intervals for which an instance whose connection failed is not chosen (the detection's turn to act).
SUSPECT_INTERVALS = 10
#: Instances remembered after they left: more than can leave while a task bound to one of them is under way.
MOST_GONE = 1000


class Sender:
    """endpoint: this sender's name in the view's path matrix. Times in wire seconds."""

    def __init__(self, endpoint: str, interval: float, on_failed: Callable[[list[Header]], None]) -> None:
        self.endpoint = endpoint
        self.version = 0
        self.view: routing.View | None = None
        self.local: dict[str, int] = {}  # own requests not yet in the view's backlogs, by instance
        self._routed: dict[str, int] = {}  # requests routed since the beginning, by service
        self.connections = Connections(endpoint, self._failed)
        self._on_failed = on_failed
        self._interval = interval
        self._suspects: dict[str, float] = {}  # instance → until when it is not chosen
        self._known: frozenset[str] = frozenset()
        self.gone: dict[str, None] = {}  # instances that were in a view and are no more, in the order they left

    def set_view(self, version: int, wire: dict[str, Any]) -> None:
        """Take a view; say FIN to instances marked draining, give up connections to those that left."""
        view = routing.View.from_wire(wire, self.view)
        self.view, self.version = view, version
        links = self.connections.links
        self.local = {key: len(link.pending) for key, link in links.items() if link.pending}
        known = frozenset(t.id for targets in view.targets.values() for t in targets)
        if known != self._known:
            left = dict.fromkeys(sorted(self._known - known))
            kept = {i: None for i in self.gone if i not in known} | left
            self.gone = dict.fromkeys(list(kept)[-MOST_GONE:])
            self._known = known
            for key in self.gone.keys() & links.keys():
                links[key].abort()
        for targets in view.targets.values():
            for t in targets:
                link = links.get(t.id) if t.draining else None
                if link is not None and not link.draining:
                    link.fin()

    def excluded(self) -> frozenset[str]:
        """Instances not to be chosen now."""
        if not self._suspects:
            return routing.NOBODY
        now = asyncio.get_running_loop().time()
        self._suspects = {i: until for i, until in self._suspects.items() if until > now}
        return frozenset(self._suspects)

    def route(self, service: str, size: float, task: int, attempt: int, way: routing.Way) -> routing.Target | None:
        """The instance for a transfer of `size` bytes from here."""
        if self.view is None:
            return None
        sent = self._routed.get(service, 0)
        turn = routing.turn(self.view.rule, sent, task, way.stage, attempt)
        target = routing.route(self.view, service, self.endpoint, size, self.excluded(), self.local, turn, way)
        if target is not None:
            self._routed[service] = sent + 1
        return target

    def bind(
        self, spec: routing.TypeSpec, size: float, task: int, attempt: int, coming: Mapping[str, int]
    ) -> dict[str, routing.Target] | None:
        """Instances of the join stages of a task; None where a service has none. coming: as in `routing.bind`."""
        if self.view is None:
            return None
        bound = routing.bind(
            self.view, spec, self.endpoint, size, self.excluded(), self.local, self._routed, task, attempt, coming
        )
        if bound is None:
            return None
        for stage in spec.stages:
            if stage.name in bound:
                self._routed[stage.service] = self._routed.get(stage.service, 0) + 1
        found = {stage: self.find(instance) for stage, instance in bound.items()}
        return {stage: t for stage, t in found.items() if t is not None}

    def find(self, instance: str) -> routing.Target | None:
        """An instance of the view by its id."""
        targets = self.view.targets.values() if self.view is not None else ()
        return next((t for ts in targets for t in ts if t.id == instance), None)

    def request(self, instance: str, address: str, port: int, header: Header, length: int) -> None:
        """Send a REQUEST. To an instance that left the view it fails at once (by callback, after this turn)."""
        if instance in self.gone:
            asyncio.get_running_loop().call_soon(self._on_failed, [header])
            return
        self.local[instance] = self.local.get(instance, 0) + 1
        fresh = instance not in self.connections.links
        self.connections.send(instance, address, port, REQUEST, header, length)
        if fresh:
            target = self.find(instance)
            if target is not None and target.draining:  # bound before it was marked: still owes it a FIN
                self.connections.links[instance].fin()

    def reply(self, gateway: str, place: list[Any], kind: int, header: Header, length: int = 0) -> None:
        """Send RESULT or FAILED to a gateway at place = [address, port]."""
        self.connections.send(f"@{gateway}", place[0], place[1], kind, header, length)

    def distrust(self, instance: str) -> None:
        """An instance known to be dead before the view says so."""
        self._suspects[instance] = asyncio.get_running_loop().time() + SUSPECT_INTERVALS * self._interval
        link = self.connections.links.get(instance)
        if link is not None:
            link.abort()

    def _failed(self, key: str, failed: list[Header]) -> None:
        if not key.startswith("@") and key not in self.gone:
            self._suspects[key] = asyncio.get_running_loop().time() + SUSPECT_INTERVALS * self._interval
        if failed:
            self._on_failed(failed)
