"""What is known of the run that goes on, from what its feed has said. Plain values, nominal units."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from testbed.dashboard.page.words import told

MOST_POINTS = 1200  # of the curve; when there are more, every other one goes
MOST_EVENTS = 200
MOST_BANDS = 50
CALM_S = 5.0  # loads of nodes are means over so many s


class View:
    """ground: as told. points: (t s, share on time of the last 5 s (run/pulse.py), of all; None: nothing came back)."""

    def __init__(self, ground: Mapping[str, Any]) -> None:
        self.ground = ground
        self.status: dict[str, Any] = {}
        self.points: list[tuple[float, float | None, float | None]] = []
        self.events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self.faults: dict[str, dict[str, Any]] = {}  # in force, by name and target
        self.bands: deque[dict[str, Any]] = deque(maxlen=MOST_BANDS)  # when faults were in force
        self.applied = 0
        self.last: str | None = None  # how it ended
        self._plan = {p["name"]: dict(p) for p in ground["plan"]}
        self._bytes: tuple[float, Mapping[str, float]] | None = None
        self._held: deque[tuple[float, dict[str, float]]] = deque()
        self._every, self._skipped = 1, 0

    # -- hearing

    def take_status(self, heard: Mapping[str, Any]) -> dict[str, Any]:
        """A slot's status from the loop; what the page shows of it."""
        t = float(heard["now"])
        resolved, on_time = int(heard["resolved"]), int(heard["on_time"])
        recent = heard.get("on_time_rate_last_5_s")
        whole = on_time / resolved if resolved else None
        self._remember((t, recent, whole))
        kept = ("slot", "offered", "resolved", "on_time", "moves", "starts", "instances", "reasons")
        self.status = {
            "t": t,
            "rate_5s": recent,
            "rate": whole,
            **{k: heard[k] for k in kept},
            "dead": list(heard.get("dead", ())),
            "links": {name: [rate, nominal, up] for name, rate, nominal, up in heard["links"]},
            "carried_bytes": dict(heard.get("carried_bytes", {})),
            "carried_bps": self._carried(t, heard.get("carried_bytes", {})),
            "load": self._load(t, heard["instances"]),
        }
        return self.status

    def take_event(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A line of events.jsonl; what is to be told of it."""
        kind, name = event["kind"], event.get("fault")
        if kind == "fault_injected":
            ends = event["actual_s"] + event["for_s"]
            self._plan[str(name)] = {"name": name, "kind": event["fault_kind"], "target": event["target"],
                                     "begins_s": event["actual_s"], "ends_s": ends}  # fmt: skip
        elif kind == "fault_applied":
            self.applied += 1
            self.faults[f"{name} {event['target']}"] = self._fault(event)
            self.bands.append({"name": name, "target": event["target"], "from": event["actual_s"], "to": None})
        elif kind == "fault_reverted":
            self.faults.pop(f"{name} {event['target']}", None)
            for band in self.bands:
                if (band["name"], band["target"], band["to"]) == (name, event["target"], None):
                    band["to"] = event["actual_s"]
        new = list(told(event))
        self.events.extend(new)
        return new

    def shaken(self) -> dict[str, Any]:
        """What is in force, and when it and what was before have been."""
        return {"in_force": list(self.faults.values()), "bands": list(self.bands)}

    def everything(self) -> dict[str, Any]:
        """For somebody who has just come."""
        ground = {k: v for k, v in self.ground.items() if k != "token"}
        return {
            "ground": ground, "status": self.status, "points": self.points, "events": list(self.events),
            "faults": self.shaken(), "last": self.last,
        }  # fmt: skip

    # -- working out

    def _fault(self, event: Mapping[str, Any]) -> dict[str, Any]:
        name = str(event["fault"])
        plan = self._plan.get(name) or self._plan.get(name.rpartition("_")[0]) or {}  # a spell: of its fault
        kept = {k: event[k] for k in ("verb", "target", "verified", "evidence")}
        return {"name": name, "kind": plan.get("kind", event["verb"]), "since": event["actual_s"],
                "ends_s": plan.get("ends_s"), **kept}  # fmt: skip

    def _remember(self, point: tuple[float, float | None, float | None]) -> None:
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self.points.append(point)
        if len(self.points) > MOST_POINTS:
            self.points, self._every = self.points[::2], 2 * self._every

    def _carried(self, t: float, counted: Mapping[str, float]) -> dict[str, float]:
        """Bit/s of each way "a->b" since the last status that had other counts."""
        before, self._bytes = self._bytes, (t, counted)
        if before is None or t <= before[0]:
            return {}
        return {way: max(8 * (n - before[1].get(way, n)) / (t - before[0]), 0.0) for way, n in counted.items()}

    def _load(self, t: float, instances: list[Mapping[str, Any]]) -> dict[str, float]:
        """Share of each node's cores that requests in service hold, a mean over CALM_S."""
        held: dict[str, float] = dict.fromkeys(self.ground["nodes"], 0.0)
        for i in instances:
            cores = self.ground["services"].get(i["service"], 0.0) * min(i["backlog"], i["workers"])
            held[i["node"]] = held.get(i["node"], 0.0) + cores / self.ground["nodes"].get(i["node"], 1.0)
        self._held.append((t, held))
        while self._held[0][0] < t - CALM_S:
            self._held.popleft()
        return {node: sum(h.get(node, 0.0) for _, h in self._held) / len(self._held) for node in held}
