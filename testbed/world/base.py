"""The World protocol: the one door between an experiment and what it runs on, twin or live.

Times are nominal seconds since the load's origin (t = 0 is the start of the warm-up); worlds that dilate or
shrink convert inside. A world owns time: nothing outside sleeps or reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from controller.decision import Decision
from controller.model import Model
from controller.observation import Observation
from testbed.record.tables import TASKS, UNANSWERED, Array, Names, Rows
from testbed.scenario.model import Scenario
from testbed.topology.model import Topology

#: Worlds whose time is computed. Nothing read from a clock may enter their records: a seed gives the same bytes.
SIMULATED = frozenset({"twin"})


@dataclass(frozen=True, slots=True)
class Track:
    """Piecewise-constant bandwidth of one link (both directions, or one: "a->b").

    times ascending, s; rates bit/s nominal from that time on. For a packet-opportunity trace `file` and
    `scale` are set as well and a world that can replays it packet by packet; the rates are its 100 ms means.
    source: the file the rates came from, of whatever kind, for the records.
    """

    link: str
    times: tuple[float, ...]
    rates: tuple[float, ...]
    file: str | None = None
    scale: float = 1.0
    source: str | None = None


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """Tasks by column, everything random about them drawn beforehand (design.md §3). Nominal units; codes of `Names`.

    id: 1, 2, 3, … through all batches of a run, in order of `at`. ingress, type: codes. at: intended send, s.
    deadline: relative, s. access: delay of the task's access channel, s. size: factor on all bytes of its DAG.
    work [n, S]: s at speed 1 (before contention and node speed) of the stage at that position of its type.
    """

    id: Array
    ingress: Array
    type: Array
    at: Array
    deadline: Array
    access: Array
    size: Array
    work: Array

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def join(cls, batches: Sequence[TaskBatch]) -> TaskBatch:
        """Several in one, in their order."""
        return cls(*(np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(cls)))

    def rows(self) -> Array:
        """The tasks as rows of the tasks' table, not answered yet."""
        out = np.empty(len(self), TASKS)
        for name in ("id", "ingress", "type", "at", "deadline"):
            out[name] = getattr(self, name)
        out["latency"], out["lag"], out["attempts"], out["outcome"] = np.nan, 0.0, 1, UNANSWERED
        return out


@dataclass(frozen=True, slots=True)
class Bed:
    """Everything a world needs to come up.

    names: shared with the records; the world adds its instances. routing: the rule its senders follow
    (controller.light.routing.RULES). records: the run's folder; None: it writes none.
    """

    run_id: str
    seed: int
    scenario: Scenario
    topology: Topology
    model: Model
    initial: Decision
    names: Names
    tracks: tuple[Track, ...] = ()
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)  # link → shape fields a fault will change
    routing: str = "estimate"
    records: Path | None = None


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A disturbance in force or undone. verified: read back from the machine, not assumed."""

    id: str
    verb: str
    target: str
    shape: Mapping[str, Any]
    applied_at: float
    verified: bool
    evidence: str
    reverted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of events.jsonl: planned and actual time, nominal s (None: before the load's origin)."""

    kind: str
    planned: float | None
    actual: float | None
    data: Mapping[str, Any] = field(default_factory=dict)


class World(Protocol):
    """A place a scenario runs in."""

    name: str
    #: What faults may change here, of what their NEEDS name: state, rate, delay, loss, pause, pace, kill, errors, …
    can: frozenset[str]

    def cannot(self, scenario: Scenario, topology: Topology) -> list[str]:
        """What this scenario asks for that this world can't do, one sentence each. Touches nothing."""
        ...

    def up(self, bed: Bed) -> None:
        """Build, verify by reading back, start the initial instances, measure the links. All or nothing."""
        ...

    def start(self) -> None:
        """Set t = 0: tracks begin to play, tasks offered from now on are sent."""
        ...

    def offer(self, tasks: TaskBatch) -> None:
        """Hand tasks to their gateways; each is sent at its own intended time."""
        ...

    def advance(self, until: float) -> None:
        """Let time pass until `until`; returns earlier when something was detected that asks for a decision."""
        ...

    def now(self) -> float: ...

    def observe(self, slot: int) -> Observation:
        """Measurements since the last call."""
        ...

    def apply(self, decision: Decision) -> None:
        """Carry out the actions, make before break; returns at once, outcomes are events."""
        ...

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        """Bring a disturbance into force now. A verb, what it is aimed at, and its shape:

        link_state, a link, {up}: False: carrier lost at both ends, what was queued is lost.
        link_shape, a link or one direction "a->b", any of shaping.FIELDS: rate_factor of what it would carry,
        fluctuation included; the others on top of what it has. Several on one link add up (shaping.shaken).
        node_state, an edge node, {up, again}: False: it has lost its services and all they held, and its link; it
        returns empty; again: what served there starts anew as it returns. That it is down, or up again, is known
        (Observation.dead, dead instances, paths) after the run's detection time.
        node_pause, an edge node, {}: its services stand still with their sockets open, and go on where they were. What
        is started there meanwhile runs.
        node_cpu, an edge node, {keep}: that share of its processors; idle services take 1 / keep times as long.
        node_memory, an edge node, {keep}: that share of its memory: what does not fit beside what is there is refused.
        pace, a service or an edge node, {factor}: on the times of services begun from now on.
        kill, a service, {all}: its first instance by name, or all, end at once; that is known at once.
        service_pause, a service, {all}: as node_pause, of instances.
        errors, a service, {share}: of its requests, by task and attempt (containers/stub/errors.py), are answered with
        a failure.
        stale_view, "control", {}: no views are pushed, so nobody reports either.
        docker_slow, "control", {delay}: nominal s before every Docker call.
        docker_failing, "control", {share}: of Docker calls fail, before anything is done.
        controller_slow, "control", {delay}: nominal s by which path control reacts later to links.
        controller_lost, "control", {}: no path control; paths stay as they are.

        Raises CannotRun for a verb or a shape it does not have; `cannot` says so beforehand.
        """
        ...

    def undo(self, disturbance: Disturbance) -> Disturbance: ...

    def events(self) -> list[Event]:
        """Events since the last call."""
        ...

    def rows(self) -> Rows:
        """Task and stage rows completed since the last call, in codes of the bed's names."""
        ...

    def measures(self) -> Mapping[str, Any]:
        """World-specific parts of summary.json and metadata.json (links, utilisation, lag, backends, …)."""
        ...

    def status(self) -> Mapping[str, Any]:
        """What a live table shows: instances, queues, link rates.

        A world that people watch adds the nodes known to be dead and carried_bytes: nominal, per way "a->b", ever more.
        """
        ...

    def down(self) -> None:
        """Revert every disturbance and remove everything. May be called twice, and after a failed `up`."""
        ...
