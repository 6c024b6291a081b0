"""The timeline of a run's faults: applied, verified and reverted at their times, in any world.

Three things can keep a fault from its time: a condition that has not come, a limit on how much may be shaken at once
(then it is withheld, and said so), and a stop condition, which reverts everything and ends the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.catalogue import nearest
from testbed.errors import InputError, ShaketableError
from testbed.faults.base import Planned, follow, load_kind, occurrence
from testbed.load.tasks import TaskSource
from testbed.run.beliefs import Beliefs
from testbed.run.load_ground import LoadGround
from testbed.scenario.model import Fault, Safety, When
from testbed.topology.model import Topology
from testbed.world.base import Disturbance, World

#: (kind, planned s, actual s, data) → one line of events.jsonl
Note = Callable[..., None]
#: What a condition can look at, by name; None where nothing is known yet.
Pulse = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many nodes and links faults may hold at a time: `safety`'s shares of what there is, at least one each."""

    nodes: float = math.inf
    links: float = math.inf
    stop: tuple[When, ...] = ()

    @classmethod
    def of(cls, safety: Safety, nodes: int, links: int) -> Limits:
        most = [max(1, int(share * n + 1e-9)) for share, n in ((safety.nodes, nodes), (safety.links, links))]
        return cls(most[0], most[1], tuple(safety.stop))


@dataclass
class Shaker:
    """Applies planned faults to a world and to the load, and reverts every one of them, whatever happens."""

    world: World
    source: TaskSource
    planned: list[Planned]
    note: Note
    topology: Topology
    limits: Limits = Limits()
    beliefs: Beliefs | None = None  # what the policy is told; None: nobody asks one
    stopped: str = ""  # why the run has to end
    ground: LoadGround = field(init=False)
    _stop_since: dict[int, float] = field(default_factory=dict)
    _made: list[Disturbance] = field(default_factory=list)  # by the fault that is being applied

    def __post_init__(self) -> None:
        self.ground = LoadGround(self.source, self.world.now)

    def disturb(self, verb: str, target: str, shape: Mapping[str, Any]) -> Disturbance:
        if verb == "load":
            made = self.ground.disturb(target, shape, self.world.now())
        elif verb == "profile" and self.beliefs is not None:
            made = self.beliefs.disturb(target, shape)
        else:
            made = self.world.disturb(verb, target, shape)
        self._made.append(made)
        return made

    def undo(self, disturbance: Disturbance) -> Disturbance:
        if disturbance.verb == "load":
            return self.ground.undo(disturbance)
        if disturbance.verb == "profile" and self.beliefs is not None:
            return self.beliefs.undo(disturbance)
        return self.world.undo(disturbance)

    def shape_load(self, until: float) -> None:
        """Put what load faults do before `until` into the intensity, before tasks are drawn."""
        self.ground.shape(self.planned, until)

    # -- time

    def next_edge(self, now: float) -> float:
        """When the next fault begins or ends, s; infinity when none is left or none is known."""
        edges = [p.start for p in self.planned if not p.in_force and not p.over and p.start is not None]
        edges += [p.end for p in self.planned if p.in_force and p.end is not None]
        return min(edges, default=math.inf)

    def fire(self, now: float) -> bool:
        """Apply and revert what is due. True when something changed."""
        changed = False
        for p in self.planned:
            if p.in_force and p.end is not None and p.end <= now:
                self._revert(p)
                changed = True
        for p in self.planned:
            if not p.in_force and not p.over and p.start is not None and p.start <= now:
                self._apply(p, now)
                changed = True
        return changed

    def look(self, now: float, pulse: Pulse) -> None:
        """Once a slot: conditions of faults, and those that end the run."""
        for p in self.planned:
            when = p.fault.when
            if when is None or p.start is not None or now < p.fault.at:
                continue
            p.holds_since = _since(when, pulse, now, p.holds_since)
            if p.holds_since is not None and now - p.holds_since >= when.lasting - 1e-9:
                p.start = now + p.offset
                self.note("fault_called", now, now, fault=p.name, why=_words(when, pulse))
                follow(self.planned)
        for i, when in enumerate(self.limits.stop):
            since = _since(when, pulse, now, self._stop_since.get(i))
            if since is None:
                self._stop_since.pop(i, None)
                continue
            self._stop_since[i] = since
            if now - since >= when.lasting - 1e-9 and not self.stopped:
                self.stopped = f"safety.stop: {_words(when, pulse)}"
                self.note("stopped", now, now, why=self.stopped)

    # -- applying

    def _apply(self, p: Planned, now: float) -> None:
        if why := self._too_much(p):
            self._withhold(p, why, now)
            return
        self._made = []
        try:
            p.in_force = [d for target in p.fault.targets for d in p.apply(self, target, p.parameters)]
        except ShaketableError as error:
            if not p.by_hand:
                raise
            for d in reversed(self._made):  # half of it may be in force
                self.undo(d)
            self._withhold(p, str(error), now)
            return
        if not p.in_force:  # the nothing fault leaves a mark in the records all the same
            p.done = [Disturbance(p.name, "nothing", p.fault.target, {}, now, True, "", now)]
        for d in p.in_force:
            self._note("fault_applied", p, d, p.start, d.applied_at)

    def _withhold(self, p: Planned, why: str, now: float) -> None:
        p.withheld = why
        self.ground.cut(p)
        self.note("fault_withheld", p.start, now, fault=p.name, why=why)

    # -- by hand

    def inject(self, fault: Fault) -> list[Planned]:
        """Put a fault of a name of its own on the timeline, from now on; its occurrences (`withheld` says why not).

        One of the load begins with the first task that has not been handed out.
        """
        now = self.world.now()
        assert fault.name is not None
        steps = hasattr(load_kind(fault.kind), "steps")
        made = occurrence(fault, fault.name, max(now, self.source.drawn_to) if steps else now, self.topology)
        for p in made:
            p.by_hand = True
        self.planned += made
        self.note(
            "fault_injected", now, now, fault=fault.name, fault_kind=fault.kind, target=fault.target,
            for_s=fault.duration, **{"with": dict(fault.parameters)},
        )  # fmt: skip
        self.fire(now)
        return made

    def heal(self, name: str | None) -> list[Planned]:
        """End a fault before its time, or all that are in force; those that were ended.

        What an injected one had still to do is off too. InputError where none of that name is in force.
        """
        now = self.world.now()
        meant = [p for p in self.planned if name is None or name in (p.name, p.fault.name)]
        ended = [p for p in meant if p.in_force or (p.by_hand and not p.over)]
        if name is not None and not ended:
            raise InputError(f"heal: no fault {name!r} is in force. {nearest(name, self.standing())}")
        for p in ended:
            if p.in_force:
                assert p.start is not None
                p.length = now - p.start
                self.ground.cut(p)
                self._revert(p)
            else:
                self._withhold(p, "healed before it began", now)
        follow(self.planned)
        return ended

    def standing(self) -> list[str]:
        """Names of the faults that `heal` can end."""
        return [p.name for p in self.planned if p.in_force or (p.by_hand and not p.over)]

    def _too_much(self, p: Planned) -> str:
        """What the limits say to one more fault; "" when it may be applied."""
        for what, most, nodes in (("nodes", self.limits.nodes, True), ("links", self.limits.links, False)):
            held = {t for q in self.planned if q.in_force or q is p for t in _targets(q, nodes)}
            if _targets(p, nodes) and len(held) > most:
                return f"{len(held)} {what} would be held at a time, safety allows {most:g}: {', '.join(sorted(held))}"
        return ""

    def _revert(self, p: Planned) -> None:
        for d in reversed(p.in_force):
            undone = self.undo(d)
            p.done.append(undone)
            self._note("fault_reverted", p, undone, p.end, undone.reverted_at)
        p.in_force = []

    def _note(self, kind: str, p: Planned, d: Disturbance, planned: float | None, actual: float | None) -> None:
        facts = {"fault": p.name, "verb": d.verb, "target": d.target, "verified": d.verified, "evidence": d.evidence}
        self.note(kind, planned, actual, **facts)

    def active(self) -> list[str]:
        return [p.name for p in self.planned if p.in_force]

    def revert_all(self) -> None:
        """At the end, on an error or on an interrupt."""
        for p in self.planned:
            if p.in_force:
                self.ground.cut(p)
                self._revert(p)

    def summary(self) -> list[dict[str, Any]]:
        """The `faults` of summary.json. A fault counts as verified when applied *and* reverted were read back."""
        return [
            {
                "name": p.name,
                "kind": p.fault.kind,
                "target": d.target if d.verb != "nothing" else p.fault.target,
                "planned_at_s": p.start,
                "applied_at_s": d.applied_at,
                "reverted_at_s": d.reverted_at,
                "verified": d.verified,
                "evidence": d.evidence,
            }
            for p in self.planned
            for d in p.done
        ]


def _targets(p: Planned, nodes: bool) -> set[str]:
    """The nodes, or the links, a fault holds. Load faults hold neither; a crashed node's link is not counted."""
    if p.steps is not None:
        return set()
    if "node" in load_kind(p.fault.kind).TARGETS:
        return set(p.fault.targets) if nodes else set()
    return set() if nodes else set(p.links)


def _since(when: When, pulse: Pulse, now: float, before: float | None) -> float | None:
    """Since when the condition has held without a break; None while it does not."""
    value = pulse.get(when.metric)
    if value is None:
        return None
    holds = value > when.above if when.above is not None else when.below is not None and value < when.below
    return (now if before is None else before) if holds else None


def _words(when: When, pulse: Pulse) -> str:
    bound = f"above {when.above:g}" if when.above is not None else f"below {when.below:g}"
    lasting = f" for {when.lasting:g} s" if when.lasting else ""
    return f"{when.metric} {pulse[when.metric]:.4g} is {bound}{lasting}"
