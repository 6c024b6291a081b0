"""What policies share that decide once and then hold still: their state, their step, and room on nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.decision import Decision, Placement, Start
from controller.model import Core, Light, Model
from controller.observation import Observation


@dataclass(frozen=True, slots=True)
class Fixed:
    """Nothing to remember but the slot."""

    slot: int = 0


def stay(observation: Observation) -> tuple[Fixed, Decision]:
    """No action, whatever was measured."""
    return Fixed(observation.slot), Decision(observation.slot)


@dataclass(slots=True)
class Room:
    """CPU (cores) and memory (bytes) not yet given away, per node; a working value of one call."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, light_cpu_share: float = 0.0) -> Room:
        """All of every node, but for the share of its CPU kept for light services."""
        cpu = {v.name: v.cpu * (1.0 - light_cpu_share) for v in model.nodes}
        return cls(cpu, {v.name: v.memory for v in model.nodes})

    def fits(self, m: Core | Light, node: str, workers: int = 1) -> bool:
        """Whether an instance fits: a core service whole, a light one with that many workers."""
        times = 1 if isinstance(m, Core) else workers
        return self.cpu[node] >= m.cpu * times - 1e-9 and self.memory[node] >= m.memory * times - 1e-3

    def take(self, m: Core | Light, node: str, workers: int = 1) -> None:
        times = 1 if isinstance(m, Core) else workers
        self.cpu[node] -= m.cpu * times
        self.memory[node] -= m.memory * times

    def lack(self, m: Core | Light) -> str:
        """Which resource keeps `m` (with one worker) off every node, and by how much at the least."""
        cores = m.cpu - max(self.cpu.values())
        gigabytes = (m.memory - max(self.memory.values())) / 1e9
        if cores > 0:
            return f"{m.name} needs {m.cpu:g} cores; the freest node is {cores:.1f} cores short"
        if gigabytes > 0:
            return f"{m.name} needs {m.memory / 1e9:g} GB memory; the freest node is {gigabytes:.1f} GB short"
        return f"{m.name} needs {m.cpu:g} cores and {m.memory / 1e9:g} GB memory; no node has both free"


def heuristic(instances: dict[str, tuple[str, ...]], explanation: str, **more: dict) -> Placement:  # type: ignore[type-arg]
    """A placement without objective or bound: the integer program's values would not be comparable."""
    return Placement(instances, "heuristic", float("nan"), float("-inf"), float("nan"), explanation=explanation, **more)


def beside_core(model: Model, placement: Placement) -> tuple[Room, list[tuple[Start, str]]]:
    """What core services as placed leave of the nodes, and their starts with reasons, numbered from 0."""
    room, rows = Room.of(model), list[tuple[Start, str]]()
    for m in model.core:
        for node in placement.instances.get(m.name, ()):
            rows.append((Start(f"{m.name}-{len(rows)}", m.name, node, m.streams), f"{m.name}: core placement"))
            room.take(m, node)
    return room, rows
