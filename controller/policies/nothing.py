"""Nothing: one instance of every service on the first node that fits, one worker each; nothing ever moves.

The smallest policy there is, to start a new one from. It has no parameters but `plan_load`, which it ignores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.decision import Decision, Placement, Start
from controller.model import Core, Light, Model
from controller.observation import Observation
from controller.placement import Infeasible
from controller.policies._fixed import Fixed, Room, beside_core, heuristic, stay
from controller.policies._parameters import check


@dataclass(frozen=True, slots=True)
class Parameters:
    """plan_load: every scenario hands it over."""

    plan_load: float = 1.0


@dataclass(frozen=True, slots=True)
class Nothing:
    """First fit, in the order of the scenario."""

    name: str = "nothing"
    routing: str = "estimate"

    def place(self, model: Model, parameters: Mapping[str, float]) -> Placement:
        check(self.name, parameters, Parameters())
        room = Room.of(model)
        return heuristic({m.name: (_first_fit(model, room, m),) for m in model.core}, "first node that fits")

    def begin(self, model: Model, placement: Placement, parameters: Mapping[str, float]) -> tuple[Fixed, Decision]:
        check(self.name, parameters, Parameters())
        room, rows = beside_core(model, placement)
        for m in model.light:
            node = _first_fit(model, room, m)
            rows.append((Start(f"{m.name}-{len(rows)}", m.name, node, 1), f"{m.name}: first node that fits"))
        return Fixed(), Decision(0, tuple(a for a, _ in rows), tuple(r for _, r in rows))

    def step(self, model: Model, state: Fixed, observation: Observation) -> tuple[Fixed, Decision]:
        return stay(observation)


def _first_fit(model: Model, room: Room, m: Core | Light) -> str:
    for v in model.nodes:
        if room.fits(m, v.name):
            room.take(m, v.name)
            return v.name
    raise Infeasible(f"policy nothing: {room.lack(m)}")


POLICY = Nothing()
