"""What conditions look at: a run's own few numbers, slot by slot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from controller.observation import Observation

WINDOW = 5.0  # s: "on time" is over the tasks that were resolved in the last so many


@dataclass
class PulseTaker:
    """on_time: share of WINDOW's resolved tasks; backlog: requests present; offered: tasks/s of the last slot."""

    slot: float
    _past: deque[tuple[float, int, int]] = field(default_factory=lambda: deque([(0.0, 0, 0)]))

    def take(self, now: float, resolved: int, on_time: int, observation: Observation) -> dict[str, float | None]:
        """resolved, on_time: tasks since the run's beginning."""
        self._past.append((now, resolved, on_time))
        while len(self._past) > 2 and self._past[1][0] <= now - WINDOW:
            self._past.popleft()
        _, resolved_then, on_time_then = self._past[0]
        share = (on_time - on_time_then) / (resolved - resolved_then) if resolved > resolved_then else None
        return {
            "on_time": share,
            "backlog": float(sum(i.backlog for i in observation.instances)),
            "offered": sum(observation.offered.values()) / self.slot,
            "instances": float(len(observation.instances)),
        }
