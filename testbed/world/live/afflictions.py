"""What the live world does to nodes' processors, to services and to its own control; read back, and taken away again.

A service that hangs, or stands on a node that does, is stopped by SIGSTOP: the kernel keeps its sockets and goes on
acknowledging, and whatever has to remove it still can, which a frozen cgroup would not allow Docker to.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.world.live.cgroups import Limits, same
from testbed.world.live.docker_hosts import DockerHosts
from testbed.world.live.fleet import Fleet
from testbed.world.live.hub import Hub
from testbed.world.live.openflow import PathControl
from testbed.world.troubles import VERBS, chosen

MARGIN = 32e6  # bytes a squeezed node may use beyond what it does
PATIENCE_S = 2.0  # real s for the kernel to stop, start or end a process

Outcome = tuple[bool, str]  # whether it was read back as wanted, and what was read


@dataclass
class Afflictions:
    """dilate: real s per nominal s. killed: instances ended by a fault, whose deaths are no surprise."""

    hosts: DockerHosts
    fleet: Fleet
    hub: Hub
    control: PathControl
    dilate: float
    killed: set[str] = field(default_factory=set)
    _stopped: dict[str, list[str]] = field(default_factory=dict)  # disturbance → instances it holds
    _held: set[str] = field(default_factory=set)  # disturbances that hold the views
    _lost: set[str] = field(default_factory=set)  # that keep path control away
    _late: dict[str, float] = field(default_factory=dict)  # disturbance → delay of Docker calls, real s

    _failing: dict[str, float] = field(default_factory=dict)  # disturbance → share of Docker calls
    _reactions: dict[str, float] = field(default_factory=dict)  # disturbance → delay of path control, real s

    def verbs(self) -> dict[str, tuple[frozenset[str], Callable[[str, str, Mapping[str, Any] | None], Outcome]]]:
        """Verb → the fields of its shape, and what does it (shape None: undoes it)."""
        everyone = frozenset({"all"})
        return {
            "node_pause": (frozenset(), self._pause),
            "service_pause": (everyone, self._pause),
            "kill": (everyone, self._kill),
            "stale_view": (frozenset(), self._hold),
            "docker_slow": (frozenset({"delay"}), self._slow),
            "docker_failing": (frozenset({"share"}), self._fail),
            "controller_slow": (frozenset({"delay"}), self._react_late),
            "controller_lost": (frozenset(), self._lose),
        }

    # -- slower, and failures

    def trouble(self, name: str, verb: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        """One of troubles.VERBS."""
        assert verb in VERBS
        troubles = self.fleet.troubles
        troubles.set(name, verb, target, shape)
        self.fleet.tell_troubles()
        if verb in ("node_cpu", "node_memory"):
            return self._limit(target)
        hit = [i for i in list(self.fleet.instances.values()) if target in (i.service, i.node)]
        words = {
            f"{i.id} ×{troubles.pace(i.service, i.node):g}, {100 * troubles.errors(i.service):g} % fail" for i in hit
        }
        return True, f"told {len(hit)} instances" + (f": {'; '.join(sorted(words))}" if words else "")

    def _limit(self, node: str) -> Outcome:
        """The node's cgroup as all squeezes in force want it. Memory in use stays, and MARGIN: the kernel shall hold
        back what is new, not end what runs."""
        pod, own = self.hosts.pods[node], self.hosts.limits(node)
        keep, left = self.fleet.troubles.keep(node), self.fleet.troubles.memory(node)
        used = self.hosts.cgroups.memory_bytes(pod.cgroup)
        memory = own.memory
        if memory is not None and left < 1.0:
            memory = min(memory, max(memory * left, used + MARGIN))
        wanted = Limits(own.cpu if own.cpu is None else own.cpu * keep, memory)
        try:
            self.hosts.limit(node, wanted)
        except OSError as error:  # the kernel gives no page back: said, and not verified
            return False, f"the kernel refuses the limit: {error}"
        found = self.hosts.cgroups.limits(pod.cgroup)
        words = f"the node's cgroup allows {found.cpu:g} cores" if found.cpu else f"{found}"
        if found.memory is not None:
            words += f" and {found.memory / 1e6:.0f} MB, of which {used / 1e6:.0f} MB are used"
        return same(found, wanted), words

    # -- standing still, and ends

    def _pause(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        """Stop instances, or let those go on that no other disturbance holds."""
        if shape is None:
            mine = self._stopped.pop(name, [])
            kept = {id for ids in self._stopped.values() for id in ids}
            sent = [id for id in mine if id not in kept and self.hosts.signal(id, signal.SIGCONT)]
            wrong = [id for id in sent if not self._comes_to(id, stopped=False)]
            return not wrong, f"{len(sent)} of {len(mine)} go on" + (f", not {', '.join(wrong)}" if wrong else "")
        here = dict(self.fleet.instances)
        if "all" in shape:
            aimed = chosen({id: i.service for id, i in here.items()}, target, bool(shape["all"]))
        else:
            aimed = sorted(id for id, i in here.items() if i.node == target)
        mine = self._stopped[name] = [id for id in aimed if self.hosts.signal(id, signal.SIGSTOP)]
        wrong = [id for id in mine if not self._comes_to(id, stopped=True)]
        return bool(mine) and not wrong, f"stopped: {', '.join(mine) or 'no instance there'}"

    def _comes_to(self, id: str, stopped: bool) -> bool:
        """Whether the kernel says so in time; an instance that ended meanwhile is no longer asked about."""
        end = time.monotonic() + PATIENCE_S
        started = self.hosts.services.get(id)
        while started is not None and (found := process_state(started.pid)) not in ("", "Z", "X"):
            if (found == "T") == stopped:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def _kill(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        if shape is None:
            return True, "the policy replaces it"
        instances = {id: i.service for id, i in list(self.fleet.instances.items())}
        victims = chosen(instances, target, bool(shape["all"]))
        self.killed.update(victims)
        pids = {id: s.pid for id in victims if (s := self.hosts.services.get(id)) is not None}
        sent = [id for id in pids if self.hosts.signal(id, signal.SIGKILL)]
        end = time.monotonic() + PATIENCE_S
        while alive := [id for id in sent if process_state(pids[id]) not in ("", "Z", "X")]:
            if time.monotonic() > end:
                break
            time.sleep(0.002)
        return bool(sent) and not alive, f"killed: {', '.join(sent) or 'no instance there'}"

    # -- control

    def _hold(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        (self._held.discard if shape is None else self._held.add)(name)
        version = self.hub.hold(bool(self._held))
        return True, f"views held back after number {version}" if self._held else f"views pushed again: {version}"

    def _slow(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        if shape is None:
            self._late.pop(name, None)
        else:
            self._late[name] = shape["delay"] * self.dilate
        self.hosts.api.seconds = sum(self._late.values())
        return True, f"Docker calls {self.hosts.api.seconds:g} s late"

    def _fail(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        if shape is None:
            self._failing.pop(name, None)
        else:
            self._failing[name] = shape["share"]
        self.hosts.api.share = 1.0 - math.prod(1.0 - x for x in self._failing.values())
        return True, f"{self.hosts.api.share:.0%} of Docker calls fail; {self.hosts.api.failed} have so far"

    def _react_late(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        if shape is None:
            self._reactions.pop(name, None)
        else:
            self._reactions[name] = shape["delay"] * self.dilate
        return self.control.slow(sum(self._reactions.values()))

    def _lose(self, name: str, target: str, shape: Mapping[str, Any] | None) -> Outcome:
        before = bool(self._lost)
        (self._lost.discard if shape is None else self._lost.add)(name)
        if before == bool(self._lost):
            return True, "another fault keeps it away"
        if self._lost:
            return self.control.lose(), "os-ken ended"
        return self.control.find(), "os-ken runs, every switch is connected"


def process_state(pid: int) -> str:
    """A process's state by /proc: "S", "R", "T" (stopped), "Z", …; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
