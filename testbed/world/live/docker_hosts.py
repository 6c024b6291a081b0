"""Edge nodes as pods, services as containers that join them, through the Docker API.

A pod (pod.py) is a pause container in an empty network namespace, wired from outside, and a cgroup with the node's
limits. A service joins the pod's network namespace and cgroup (containers.py).
"""

from __future__ import annotations

import math
import os
import select
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live import cgroups, engine
from testbed.world.live.cgroups import Limits, same
from testbed.world.live.containers import Containers, safe
from testbed.world.live.difference import Difference
from testbed.world.live.images import PROGRAMS
from testbed.world.live.ledger import Ledger
from testbed.world.live.names import Names
from testbed.world.live.pod import PAUSE, Pod, netns, own_network, settled

__all__ = ["DockerHosts", "Limits", "Pod", "Started"]

BUSY_BYTES = 1024  # 256 slots of 4 bytes, docs/wire.md
STUB, GATEWAY = (("python3", PROGRAMS[part]) for part in ("stub", "gateway"))


@dataclass(frozen=True, slots=True)
class Started:
    """A service's container. create_s, start_s: what the daemon took, s."""

    id: str
    node: str
    container: str
    pid: int
    create_s: float
    start_s: float


class DockerHosts:
    """All containers of one run. Methods may be called from several threads."""

    def __init__(self, names: Names, ledger: Ledger, image: str, folder: Path) -> None:
        """folder: the run's (Names.folder). The daemon must answer; nothing is made yet."""
        self.names, self.ledger = names, ledger
        self.containers = Containers(names, ledger, image, folder)
        self.api, self.cgroups = self.containers.api, self.containers.cgroups
        self.pods: dict[str, Pod] = {}
        self._limits: dict[str, Limits] = {}
        self.services: dict[str, Started] = {}
        self._cgroup_undo: list[int] = []
        self._alive: dict[str, int] = {}  # service → pidfd
        self._pod_fds: dict[str, int] = {}  # node → pidfd
        self._lock = threading.Lock()

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────

    def start_pods(self, limits: Mapping[str, Limits], command: Sequence[str] = PAUSE) -> dict[str, Pod]:
        """A pod per host, in threads; all, or CannotRun and none.

        command: what holds the namespace. PAUSE makes its own, except under a daemon that maps users, where Docker
        does, as it does for any other command.
        """
        paths = {host: self.containers.cgroup(host) for host in limits}
        top = [self.names.cgroup, *paths.values()]
        self._cgroup_undo += self.ledger.add_all([("cgroup", {"path": path}) for path in top])
        for host, limit in limits.items():
            self.cgroups.create(paths[host], limit)
            self._make_node_folder(host)
        self.containers.announce([self.containers.of_pod(host) for host in limits])
        words, network = own_network(command, self.containers.maps_users)

        def start(host: str) -> Pod:
            its = self.containers
            container = its.create(its.of_pod(host), words, host, hostname=safe(host), **network)
            pid = its.start(container, host)
            return Pod(host, container, pid, 0, paths[host])

        try:
            outcomes = engine.each(start, limits)
            for error in (error for _, _, error in outcomes if error is not None):
                raise error
            pods = settled([made for _, made, _ in outcomes if made is not None], self.containers.last_words)
        except Exception:
            self.containers.remove([self.containers.of_pod(host) for host in limits])
            self._remove_cgroups()
            raise
        self._limits.update(limits)
        self.pods.update({made.name: made for made in pods})
        self._pod_fds.update({made.name: _watch(made.pid) for made in pods})
        return dict(self.pods)

    def limit(self, host: str, limits: Limits | None) -> None:
        """Other limits for a node while it runs, or its own again (None)."""
        self.cgroups.limit(self.pods[host].cgroup, limits or self._limits[host])

    def limits(self, host: str) -> Limits:
        """As the node was made."""
        return self._limits[host]

    def _make_node_folder(self, host: str) -> None:
        folder = self.containers.node_folder(host)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        (folder / "busy").write_bytes(bytes(BUSY_BYTES))
        (folder / "busy").chmod(0o666)

    def clear_busy(self, host: str, slot: int) -> None:
        """Nobody is busy at this slot of the node's counter; for one whose owner is gone."""
        with (self.containers.node_folder(host) / "busy").open("r+b") as file:
            file.seek(4 * slot)
            file.write(bytes(4))

    # ── services ─────────────────────────────────────────────────────────────────────────────────────────────

    def start_service(
        self,
        id: str,
        node: str,
        command: Sequence[str] = STUB,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Started:
        """A container in the node's namespace and cgroup. mounts: file here → path inside, read-only.

        limits: its own, below the node's. CannotRun leaves nothing of it behind.
        """
        its_pod = self.pods[node]
        name = self.containers.of_service(id, node)
        self.containers.announce([name])
        more: dict[str, Any] = {"network_mode": f"container:{its_pod.container}"}
        if limits is not None and limits.cpu is not None:
            more["nano_cpus"] = int(limits.cpu * 1e9)
        if limits is not None and limits.memory is not None:
            more["mem_limit"] = int(limits.memory)
        try:
            begin = time.monotonic()
            container = self.containers.create(name, command, node, environment=environment, mounts=mounts, **more)
            created = time.monotonic()
            pid = self.containers.start(container, node)
            started = Started(id, node, container, pid, created - begin, time.monotonic() - created)
            watched = _watch(pid)
        except Exception:
            self.containers.remove([name])
            raise
        with self._lock:
            self.services[id] = started
            self._alive[id] = watched
        return started

    def let_go(self, id: str) -> None:
        """Its end is no surprise from here on: `died` does not name it."""
        self._forget(id)

    def retire(self, id: str, grace_s: float = 2.0) -> None:
        """`stop_service`, and its container is removed: of what moves all day long nothing may pile up."""
        self.stop_service(id, grace_s)
        with self._lock:
            gone = self.services.pop(id)
        try:
            self.api.remove_container(gone.container, v=True, force=True)
        except Exception as error:
            if engine.status_of(error) == 409:  # somebody removes it already: `close` looks whether it went
                return
            if engine.status_of(error) != 404:
                with self._lock:
                    self.services[id] = gone  # to be tried again
                raise CannotRun(f"Docker did not remove {id}: {engine.words(error)}") from error
        self.containers.ticked(self.containers.of_service(id, gone.node))

    def stop_service(self, id: str, grace_s: float = 2.0) -> None:
        """SIGTERM, and SIGKILL after `grace_s` (whole seconds, rounded up). Its container stays until `remove`."""
        self._forget(id)
        try:
            self.api.stop(self.services[id].container, timeout=math.ceil(grace_s))
        except Exception as error:
            if engine.status_of(error) not in (304, 404):  # it had stopped by itself
                raise CannotRun(f"Docker did not stop {id}: {engine.words(error)}") from error

    def kill_services(self, node: str) -> dict[str, bool]:
        """SIGKILL to every service on the node, not to its pause: id → whether the kernel says it is gone.

        Their ends are seen by `died`, as if nobody had asked for them.
        """
        with self._lock:
            mine = [s for s in self.services.values() if s.node == node and netns(s.pid) != 0]

        def kill(started: Started) -> bool:
            try:
                daemon = self.containers.client.api  # a crash is no order that Docker could be slow to take
                daemon.kill(started.container, signal="SIGKILL")
                daemon.wait(started.container, timeout=10)
            except Exception as error:
                if engine.status_of(error) not in (404, 409):  # it ended meanwhile
                    raise CannotRun(f"Docker did not kill {started.id}: {engine.words(error)}") from error
            return netns(started.pid) == 0

        return {started.id: bool(gone) for started, gone, _ in engine.each(kill, mine)}

    def signal(self, id: str, number: int) -> bool:
        """A signal to a service's first process, by the kernel; False when it has ended or was told to."""
        with self._lock:
            descriptor = self._alive.get(id)
            if descriptor is None:
                return False
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return False
        return True

    def remove(self, ids: Iterable[str]) -> None:
        """Kill and remove these services' containers, in threads."""
        with self._lock:
            gone = [self.services.pop(id) for id in ids if id in self.services]
        for started in gone:
            self._forget(started.id)
        self.containers.remove([self.containers.of_service(s.id, s.node) for s in gone])

    def died(self) -> list[str]:
        """Services that ended without `stop_service` or `remove`, each named once; asks the kernel only (pidfds)."""
        with self._lock:
            alive = dict(self._alive)
        if not alive:
            return []
        gone = _ended(alive)
        for id in gone:
            self._forget(id)
        return gone

    def astray(self) -> list[Difference]:
        """Nodes whose own container is dead, and containers that somebody paused; asks the kernel only."""
        found = [Difference(f"node {v}", "its container", "running", "dead") for v in _ended(self._pod_fds)]
        dead = {d.name for d in found}
        with self._lock:
            services = [self.services[id] for id in self._alive if id in self.services]
        watched = [(f"node {p.name}", p.cgroup, p.container) for p in self.pods.values()]
        watched += [(f"service {s.id}", self.pods[s.node].cgroup, s.container) for s in services]
        return found + [
            Difference(name, "its container", "running", "paused")
            for name, path, container in watched
            if name not in dead and self.cgroups.frozen(path, container)
        ]

    def why(self, id: str) -> str:
        """How a service's container ended, with its last words."""
        started = self.services[id]
        try:
            if netns(started.pid) == 0:  # the kernel knows before the daemon does: let it catch up
                self.api.wait(started.container, timeout=10)
            state = self.api.inspect_container(started.container)["State"]
        except Exception as error:
            return f"its container is gone ({engine.words(error)})"
        cause = "out of memory" if state.get("OOMKilled") else f"exit {state.get('ExitCode')}"
        return f"{cause}; last log lines: {self.logs(id, 5).strip() or '(none)'}"

    def logs(self, id: str, tail: int = 50) -> str:
        """Last lines a service, or a node's pause, wrote."""
        container = self.services[id].container if id in self.services else self.pods[id].container
        return self.containers.logs(container, tail)

    # ── read-back and end ────────────────────────────────────────────────────────────────────────────────────

    def verify(self, expected: Mapping[str, str]) -> list[str]:
        """Differences between what should run (the pods, and service → node) and what the kernel and Docker say."""
        states = self.containers.states()
        wanted = {self.containers.of_pod(p): (f"node {p}", self.pods[p], self.pods[p].pid) for p in self.pods}
        differences = []
        for id, node in expected.items():
            started = self.services.get(id)
            if node not in self.pods or started is None or started.node != node:
                found_on = "but was never started" if started is None else f"found on {started.node}"
                differences.append(f"service {id} should run on {node}, {found_on}")
            else:
                wanted[self.containers.of_service(id, node)] = (f"service {id}", self.pods[node], started.pid)
        for name, (what, pod, pid) in wanted.items():
            state = states.pop(name, "not there")
            if state != "running":
                differences.append(f"{what}: container {name} is {state}, should be running")
                continue
            if (inode := netns(pid)) != pod.netns:
                differences.append(f"{what}: in network namespace {inode}, its node's is {pod.netns}")
            if not self.cgroups.holds(pod.cgroup, pid):
                differences.append(f"{what}: process {pid} is not in cgroup {pod.cgroup}")
        for host, pod in self.pods.items():
            if not same(found := self.cgroups.limits(pod.cgroup), self._limits[host]):
                differences.append(f"node {host}: limits are {found}, should be {self._limits[host]}")
        return differences + [f"container {name} ({state}) is not expected" for name, state in states.items()]

    def close(self) -> dict[str, float]:
        """Remove every container and cgroup of the run; may be called again. Returns their number and the times, s."""
        begin = time.monotonic()
        self.api.seconds = self.api.share = 0.0
        for id in list(self._alive):
            self._forget(id)
        while self._pod_fds:
            os.close(self._pod_fds.popitem()[1])
        removed = self.containers.remove(None)
        middle = time.monotonic()
        self._remove_cgroups()
        self.pods.clear()
        self.services.clear()
        return {
            "containers": float(removed),
            "containers_s": middle - begin,
            "cgroups_s": time.monotonic() - middle,
        }

    def _remove_cgroups(self) -> None:
        """Rmdir is refused while the last process is still leaving: try for a few seconds."""
        deadline = time.monotonic() + 5.0
        while not cgroups.remove(self.names.cgroup):
            if time.monotonic() > deadline:
                raise CannotRun(f"the cgroup {self.names.cgroup} is still in use: `testbed clean` removes it later")
            time.sleep(0.02)
        self.ledger.done(*self._cgroup_undo)
        self._cgroup_undo.clear()

    def _forget(self, id: str) -> None:
        with self._lock:
            descriptor = self._alive.pop(id, None)
        if descriptor is not None:
            os.close(descriptor)


def _ended(descriptors: Mapping[str, int]) -> list[str]:
    """Those whose process is dead."""
    poll = select.poll()
    for descriptor in descriptors.values():
        poll.register(descriptor, select.POLLIN)
    ended = {descriptor for descriptor, _ in poll.poll(0)}
    return [name for name, descriptor in descriptors.items() if descriptor in ended]


def _watch(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise CannotRun(f"the container of process {pid} ended at once") from error
