"""One story, told to every world: tasks by hand, a resize, a move, a cut, a squeeze, a stranding, a crash.

The world's answers are gathered once; each test asks one thing of them. Times are nominal seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from controller.decision import Action, Decision, Migrate, Resize, Start
from controller.observation import Observation
from testbed.record.tables import ON_TIME, TASK_OUTCOMES, Array, Names
from testbed.run.execute import bed_of
from testbed.run.prepare import Prepared, prepare
from testbed.world.base import Bed, Disturbance, Event, TaskBatch, World

SCENARIO = Path(__file__).with_name("small.yaml")
SHORT, CHAIN = 0, 1  # task types, in the scenario's order
WORK = {SHORT: [0.060, 0.0], CHAIN: [0.060, 0.040]}
DEADLINE = 1.0
STARTUP = 0.4  # of `cut`
DETECTION = 0.5

QUIET = [0.3 + 0.2 * k for k in range(4)]  # one at a time
RESIZE, CROWD = 1.2, 1.6  # to three workers, then six tasks at once
MOVE, STEADY = 2.5, [2.3 + 0.1 * k for k in range(20)]
CUT, MEND, WHILE_CUT = 5.0, 7.0, [4.8 + 0.2 * k for k in range(11)]
AFTER_MEND = 8.0
SQUEEZE, RELEASE, NARROW, WIDE = 8.3, 9.2, [8.5, 8.8], [9.4, 9.7]
FACTOR = 0.1
STRAND, RESCUE, STRANDED, RESCUED = 10.0, 11.3, [10.1, 10.2], [13.0, 13.2]
UNKNOWN = 11.4  # sent when the link is up again and nobody knows yet
CRASH = 13.8
END = 15.5


@dataclass
class Story:
    """What a world answered. tasks: rows by id; stages: rows; at: name of a moment → what was seen then."""

    world: World
    names: Names
    now: list[float] = field(default_factory=list)
    asked: list[tuple[float, float, bool]] = field(default_factory=list)  # advance(until), now after it, called for
    observations: list[Observation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    tasks: dict[int, Any] = field(default_factory=dict)
    rows_given: int = 0
    stages: list[Array] = field(default_factory=list)
    offered: dict[int, tuple[int, float]] = field(default_factory=dict)  # id → type, at
    disturbances: dict[str, Disturbance] = field(default_factory=dict)
    undone: dict[str, Disturbance] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)

    def kind(self, name: str) -> list[Event]:
        return [e for e in self.events if e.kind == name]

    def of(self, times: Sequence[float], kind: int | None = None) -> list[Any]:
        """Rows of the tasks sent at these times."""
        found = [i for i, (n, at) in self.offered.items() if any(abs(at - t) < 1e-6 for t in times)]
        return [self.tasks[i] for i in found if kind in (None, self.offered[i][0])]

    def latencies(self, times: Sequence[float], kind: int | None = None) -> list[float]:
        return [float(r["latency"]) for r in self.of(times, kind)]

    def outcomes(self, times: Sequence[float], kind: int | None = None) -> list[str]:
        return [TASK_OUTCOMES[r["outcome"]] for r in self.of(times, kind)]

    def all_stages(self) -> Array:
        return np.concatenate(self.stages)


def prepared() -> Prepared:
    """`see` on n2, `cut` with one worker on n1, and nobody who decides."""
    p = prepare(SCENARIO, ["policy.name=nothing"], "live")
    actions = (Start("see-a", "see", "n2", 2), Start("cut-a", "cut", "n1", 1))
    return dataclasses.replace(p, initial=Decision(0, actions, ("as asked",) * len(actions)))


def bed(run_id: str, extra: tuple[Action, ...] = ()) -> Bed:
    p = prepared()
    initial = dataclasses.replace(p.initial, actions=(*p.initial.actions, *extra))
    built = bed_of(dataclasses.replace(p, initial=initial), run_id, lambda f: ([], []), Names.of(p.resolved.model))
    needs = {k.name: frozenset({"rate"}) for k in built.topology.links}
    return dataclasses.replace(built, needs=needs)


def batch(first: int, sent: Sequence[tuple[float, int]]) -> TaskBatch:
    """Tasks (at, type) from the one gateway, in order of time."""
    n = len(sent)
    kinds = np.array([kind for _, kind in sent], np.int16)
    return TaskBatch(
        np.arange(first, first + n, dtype=np.int64), np.zeros(n, np.int16), kinds, np.array([at for at, _ in sent]),
        np.full(n, DEADLINE), np.zeros(n), np.ones(n), np.array([WORK[int(k)] for k in kinds]),
    )  # fmt: skip


class Teller:
    """Tells it, and notes all answers."""

    def __init__(self, world: World, names: Names) -> None:
        self.world, self.story, self.slot = world, Story(world, names), 0

    def offer(self, *sent: tuple[float, int]) -> None:
        ordered = sorted(sent)
        tasks = batch(len(self.story.offered) + 1, ordered)
        self.story.offered |= {int(i): (kind, at) for i, (at, kind) in zip(tasks.id, ordered, strict=True)}
        self.world.offer(tasks)

    def until(self, time: float) -> None:
        """Let time pass in slots of half a second, looking at each."""
        while (now := self.world.now()) < time:
            self.story.now.append(now)
            target = min(time, (int(now / 0.5 + 1e-6) + 1) * 0.5)
            self.world.advance(target)
            after = self.world.now()
            self.story.asked.append((target, after, after < target))
            self.look()

    def look(self) -> None:
        self.slot += 1
        self.story.observations.append(self.world.observe(self.slot))
        self.gather()

    def gather(self) -> None:
        rows = self.world.rows()
        self.story.rows_given += len(rows.tasks)
        self.story.tasks |= {int(r["id"]): r for r in rows.tasks}
        if len(rows.stages):
            self.story.stages.append(rows.stages)
        self.story.events += self.world.events()

    def act(self, *actions: Action) -> None:
        self.world.apply(Decision(self.slot, actions, ("asked to",) * len(actions)))

    def disturb(self, name: str, verb: str, target: str, **shape: Any) -> None:
        self.story.disturbances[name] = self.world.disturb(verb, target, shape)

    def undo(self, name: str) -> None:
        self.story.undone[name] = self.world.undo(self.story.disturbances[name])

    def tell(self) -> Story:
        """From t = 0 to the end."""
        w = self.world
        w.start()
        self.offer(*((t, CHAIN) for t in QUIET), *((CROWD, SHORT) for _ in range(6)))
        self.until(RESIZE)
        self.act(Resize("cut-a", 3))
        self.offer(*((t, CHAIN if k % 2 else SHORT) for k, t in enumerate(STEADY)))
        self.until(MOVE)
        self.story.status = dict(w.status())
        self.act(Migrate(Start("cut-b", "cut", "n3", 3), "cut-a"))
        self.until(MOVE + STARTUP / 2)
        self.offer(*((t, CHAIN) for t in (*WHILE_CUT, AFTER_MEND)))
        self.until(CUT)
        self.disturb("cut", "link_state", "s1--s2", up=False)
        self.until(MEND)
        self.undo("cut")
        self.offer(*((t, CHAIN) for t in (*NARROW, *WIDE, *STRANDED, UNKNOWN, *RESCUED)))
        self.until(SQUEEZE)
        self.disturb("squeeze", "link_shape", "s1--s2", rate_factor=FACTOR)
        self.until(RELEASE)
        self.undo("squeeze")
        self.until(STRAND)
        self.disturb("strand", "link_state", own_link(w, "n2"), up=False)
        self.until(RESCUE)
        self.undo("strand")
        self.until(CRASH)
        self.disturb("crash", "node_state", "n3", up=False)
        self.until(END)
        self.undo("crash")
        self.until(END + 0.8)
        self.story.measures = dict(w.measures())
        return self.story


def own_link(world: Any, node: str) -> str:
    return next(k.name for k in world.bed.topology.links if k.role == "node" and node in (k.a, k.b))


def on_time(rows: Sequence[Any]) -> bool:
    return all(r["outcome"] == ON_TIME for r in rows)
