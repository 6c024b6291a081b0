"""Hands on a run: what is asked for at its door, done by the run's own Shaker, in its loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.faults.base import Planned
from testbed.hands import wire
from testbed.hands.door import Door
from testbed.hands.injection import fault_of
from testbed.record.folder import plain
from testbed.run.loop import Loop
from testbed.run.prepare import Prepared
from testbed.world.live.names import Names

LOOK_S = 0.1  # real s between two looks at the door


class Desk:
    """testbed.run.loop.Hands behind a socket. opened: told once the testbed can be worked on."""

    def __init__(self, prepared: Prepared, run_id: str, out: Path, opened: Callable[[], None]) -> None:
        self.prepared, self.run_id, self.out, self.opened = prepared, run_id, out.absolute(), opened
        self.interval = LOOK_S / prepared.scenario.run.dilate
        self.door = Door(Path(Names(run_id).folder) / wire.SOCKET)
        self._loop: Loop | None = None
        self._injected, self._ending = 0, False

    def begin(self, loop: Loop) -> None:
        self._loop = loop
        self.door.open()
        self.opened()

    def serve(self) -> bool:
        self.door.serve(self._do)
        return self._ending

    def end(self) -> None:
        self.door.close()

    @property
    def loop(self) -> Loop:
        assert self._loop is not None
        return self._loop

    def _do(self, request: wire.Request) -> dict[str, Any]:
        if isinstance(request, wire.Inject):
            return self._inject(request)
        if isinstance(request, wire.Heal):
            return {"healed": [self._facts(p) for p in self.loop.shaker.heal(request.name)]}
        if isinstance(request, wire.Down):
            self._ending = True
        return self.status()

    def _inject(self, request: wire.Inject) -> dict[str, Any]:
        shaker = self.loop.shaker
        fault = fault_of(request, self.prepared, shaker, self._injected)
        self._injected += 1
        made = shaker.inject(fault)
        if all(p.withheld for p in made):
            raise CannotRun(f"inject: {fault.name} was withheld: {made[0].withheld}")
        return {"name": fault.name, "faults": [self._facts(p) for p in made]}

    def status(self) -> dict[str, Any]:
        """How the testbed stands. Nominal s, bit/s; the keys stay what they are."""
        loop, now = self.loop, self.loop.world.now()
        world, tasks, planned = loop.world.status(), loop.journey.tasks, loop.shaker.planned
        held = {name: [p.name for p in planned if p.in_force and name in p.links] for name, *_ in world["links"]}
        own = self.prepared.scenario
        out = {
            "run": self.run_id,
            "scenario": own.name,
            "policy": own.policy.name,
            "seed": self.prepared.seed,
            "folder": str(self.out),
            "t_s": now,
            "ends_s": loop.horizon,
            "tasks": {"offered": tasks.intended(now), "resolved": tasks.resolved, "on_time": tasks.on_time},
            "on_time_rate": tasks.on_time / tasks.resolved if tasks.resolved else None,
            "on_time_rate_last_5_s": loop.pulse.get("on_time"),
            "backlog": sum(i["backlog"] for i in world["instances"]),
            "instances": list(world["instances"]),
            "nodes": list(world["nodes"]),
            "links": [
                {"name": name, "rate_bps": rate if up else 0.0, "configured_bps": configured, "up": up,
                 "faults": held[name]}
                for name, rate, configured, up in world["links"]
            ],
            "faults": [self._facts(p) for p in planned if not p.over],
        }  # fmt: skip
        return dict(plain(out))

    def _facts(self, p: Planned) -> dict[str, Any]:
        """One occurrence: in_force, planned, reverted or withheld. evidence: what was read back."""
        now = self.loop.world.now()
        state = "in_force" if p.in_force else "withheld" if p.withheld else "reverted" if p.done else "planned"
        seen = p.in_force or p.done
        facts = {
            "name": p.name,
            "kind": p.fault.kind,
            "target": p.fault.target,
            "state": state,
            "begins_s": p.start,
            "ends_s": p.end,
            "left_s": max(p.end - now, 0.0) if p.in_force and p.end is not None else None,
            "by_hand": p.by_hand,
            "verified": all(d.verified for d in seen) if seen else None,
            "evidence": "; ".join(d.evidence for d in seen) or p.withheld,
        }
        return dict(plain(facts))
