"""Nodes that crash and return: what is done to them, and when the testbed may know.

A host that loses its power says nothing: no FIN, no RST. So its link goes down first and its services are killed
after it. Its pause container stays, for the services' network namespace hangs on it (a restarted one would get a new,
empty namespace). What the run knows of a node lags behind what is by the detection time, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.decision import Start
from testbed.world.anew import anew, running
from testbed.world.live.docker_hosts import DockerHosts
from testbed.world.live.fleet import Fleet
from testbed.world.live.network import Network


@dataclass(slots=True)
class _Change:
    """A node went down (victims: the instances it took with it) or up; known from `known_at` on, nominal s."""

    node: str
    up: bool
    known_at: float
    victims: tuple[str, ...] = ()


@dataclass
class Crashes:
    """clock: nominal s. detection: nominal s from a change until it is known."""

    network: Network
    hosts: DockerHosts
    fleet: Fleet
    clock: Callable[[], float]
    detection: float
    known_down: set[str] = field(default_factory=set)
    victims: set[str] = field(default_factory=set)  # services of all crashes: their ends are told by `tick` alone
    _ran: dict[str, list[Start]] = field(default_factory=dict)  # node that is down → what it ran
    _coming: list[_Change] = field(default_factory=list)

    def crash(self, node: str) -> tuple[bool, str]:
        """Take the node down. Whether link and processes are gone by the kernel's word, and that word."""
        self._ran[node] = running(list(self.fleet.instances.values()), node)
        self.fleet.down_nodes.add(node)
        cut, evidence = self.network.set_link_state(self._link(node), False)
        victims = tuple(sorted(i.id for i in list(self.fleet.instances.values()) if i.node == node))
        self._coming.append(_Change(node, False, self.clock() + self.detection, victims))
        self.victims.update(victims)
        killed = self.hosts.kill_services(node)
        self.victims.update(killed)
        alive = sorted(id for id, gone in killed.items() if not gone)
        count = f"{len(killed)} services killed" + (f", still alive: {', '.join(alive)}" if alive else "")
        return cut and not alive, f"{count}; link {evidence}"

    def restore(self, node: str, again: bool = False) -> tuple[bool, str]:
        """Give it power again: its link, and no service; again: what ran there begins anew."""
        up, evidence = self.network.set_link_state(self._link(node), True)
        self.fleet.down_nodes.discard(node)
        self._coming.append(_Change(node, True, self.clock() + self.detection))
        ran = self._ran.pop(node, [])
        if again:
            self.fleet.apply(anew(ran, self.fleet.instances, self.clock()))
        return up, f"link {evidence}" + (f"; {len(ran)} services begin anew" if again else "")

    def tick(self) -> bool:
        """Let what is due become known. True when something did: a decision is called for."""
        now = self.clock()
        due = [c for c in self._coming if c.known_at <= now]
        self._coming = [c for c in self._coming if c.known_at > now]
        for change in due:
            (self.known_down.discard if change.up else self.known_down.add)(change.node)
            for name in change.victims:
                self.fleet.died(name)
        return bool(due)

    def _link(self, node: str) -> str:
        return next(k.name for k in self.network.topology.links if k.role == "node" and node in (k.a, k.b))
