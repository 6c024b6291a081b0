"""A real hub, real stubs and gateways as processes on 127.0.0.1: no Docker, no root, no mock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.model import Input, Stage, TaskType
from testbed.world.live.hub import Hub, TargetSpec, wire_types
from testbed.world.live.rows import StageRow, TaskDraw, TaskRow

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"

#: image → vision → llm (a join with a direct input) → format
VQA = TaskType(
    "vqa",
    1.0,
    2.0,
    0.1,
    (
        Stage("image", "image", (Input("ingress", 40_000),)),
        Stage("vision", "vision", (Input("image", 16_000),)),
        Stage("llm", "llm", (Input("vision", 8_000), Input("ingress", 400))),
        Stage("format", "format", (Input("llm", 6_000),)),
    ),
    2_000,
)
ONE = TaskType("one", 1.0, 2.0, 0.1, (Stage("a", "a", (Input("ingress", 1_000),)),), 500)
#: left and right in parallel, two sinks
FORK = TaskType(
    "fork",
    1.0,
    2.0,
    0.1,
    (
        Stage("root", "a", (Input("ingress", 1_000),)),
        Stage("left", "b", (Input("root", 1_000),)),
        Stage("right", "b", (Input("root", 300_000),)),
    ),
    500,
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])


def until(condition: Callable[[], Any], limit: float = 20.0) -> Any:
    """Wait until `condition()` is true and return it; fail after `limit` s."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"still not true after {limit:g} s: {condition}")


class Bed:
    """types: task types of the run; every container gets them."""

    def __init__(self, folder: Path, types: tuple[TaskType, ...], **run: Any) -> None:
        self.folder = folder
        self.dilate, self.shrink = run.pop("dilate", 1.0), run.pop("shrink", 1.0)
        self.run = {"queue": "edf", "early_drop": True, **run}
        self.types = wire_types(types, self.dilate, self.shrink)
        self.hub = Hub(str(folder / "hub.sock"), self.dilate, self.shrink, 0.05)
        self.hub.start()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.targets: dict[str, TargetSpec] = {}
        self.tasks: list[TaskRow] = []
        self.stages: list[StageRow] = []
        self.batches: list[Any] = []
        self.notes: list[str] = []
        self.gone: list[str] = []
        self.app = folder / "app"
        self.app.mkdir()
        for name in ("common", "stub", "gateway"):
            (self.app / name).symlink_to(ROOT / "containers" / name)
        (self.app / "routing").symlink_to(ROOT / "controller" / "light" / "routing")

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.hub.close()

    def environment(self, id: str, token: str) -> dict[str, str]:
        return {
            **os.environ,
            "SHAKETABLE_ID": id,
            "SHAKETABLE_TOKEN": token,
            "SHAKETABLE_SOCKET": str(self.folder / "hub.sock"),
            "SHAKETABLE_LISTEN": HOST,
            "SHAKETABLE_COUNTER": str(self.folder / "busy"),
        }

    def launch(self, id: str, role: str, token: str) -> None:
        script = str(self.app / role / "main.py")
        self.processes[id] = subprocess.Popen([sys.executable, script], env=self.environment(id, token))

    def gateway(self, name: str = "gw1", **config: Any) -> None:
        base = {"types": self.types, "node": name, "name": name, "address": HOST, "port": free_port(), **self.run}
        token = self.hub.expect(name, "gateway", {**base, "admission": False, **config})
        self.launch(name, "gateway", token)

    def stub(
        self, id: str, service: str, node: str = "n1", workers: int = 2, announce: bool = True, **config: Any
    ) -> int:
        """Start an instance; its port."""
        port = free_port()
        base = {
            **{"types": self.types, "node": node, "service": service, "workers": workers, "port": port, "speed": 1.0},
            **{"contention": 0.0, "cpu_per_worker": 0, "light_cpu": 1.0, "mode": "idle", "cpu_seconds": 1.0},
            **{"queue_limit": 1000, "state_bytes": 0, "state_from": None, "ready_at": 0.0, "busy_slot": 0},
            **{"pace": 1.0, "errors": 0.0, "seed": 1},
            **{"mean": 0.01, **self.run},
        }
        token = self.hub.expect(id, "stub", {**base, **config})
        self.launch(id, "stub", token)
        self.targets[id] = TargetSpec(id, service, node, HOST, port, workers, 0.01)
        return port

    def announce(self) -> None:
        """Everything launched is ready and in every sender's view."""
        self.hub.wait_ready(self.processes, 20.0)
        names = sorted({t.node for t in self.targets.values()} | {p for p in self.processes if p.startswith("gw")})
        cost = [[0.0 if a == b else 1e-4 for b in names] for a in names]
        self.hub.set_paths(names, cost, [[0.0] * len(names) for _ in names])
        self.hub.set_targets(list(self.targets.values()))
        self.seen()

    def seen(self) -> None:
        """Every container has reported with the present view."""
        version = self.hub._views.version
        until(lambda: self.hub._roster.seen_by_all(version))

    def go(self, tasks: list[TaskDraw], gateway: str = "gw1") -> None:
        self.hub.offer(gateway, tasks)
        self.hub.set_origin(time.monotonic() + 0.05)

    def pull(self) -> None:
        batch = self.hub.take()
        self.batches.append(batch)
        self.tasks += batch.task_rows
        self.stages += batch.stage_rows
        self.notes += batch.notes
        self.gone += batch.gone

    def rows(self, tasks: int = 0, stages: int = 0, limit: float = 30.0) -> None:
        """Until so many rows are here (all told)."""

        def there() -> bool:
            self.pull()
            return len(self.tasks) >= tasks and len(self.stages) >= stages

        until(there, limit)

    def summary(self) -> dict[str, int]:
        return {o: sum(t.outcome == o for t in self.tasks) for o in {t.outcome for t in self.tasks}}


def draws(
    kind: TaskType, n: int, rate: float, work: float, deadline: float = 2.0, gateway: str = "gw1"
) -> list[TaskDraw]:
    """n tasks, evenly spaced at `rate` per s, every stage of the same work (s)."""
    works = {s.name: work for s in kind.stages}
    return [TaskDraw(i + 1, gateway, kind.name, i / rate, deadline, 0.005, works) for i in range(n)]
