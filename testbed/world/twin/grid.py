"""The network's control and what can happen to network and nodes: cuts, squeezes, crashes, and when they are known.

What is known lags behind what is by the run's detection time, in both directions: a link that is down swallows what is
sent until new paths are installed, and one that is back is used again only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from controller.decision import Start
from controller.model import Paths
from testbed.errors import CannotRun
from testbed.topology.paths import Pairs, Routes, trunk_hops
from testbed.world.anew import anew, running
from testbed.world.base import Bed, Event
from testbed.world.congestion import Congestion
from testbed.world.rates import SIDES, Rates, Way
from testbed.world.shaping import FIELDS
from testbed.world.twin.engine import Engine
from testbed.world.twin.fleet import Fleet
from testbed.world.twin.layout import Network, losses

#: What "link_shape" may set here: a message does not know of doubled frames and of the order they come in.
SHAPES = FIELDS - {"duplicate", "reorder"}


class Grid:
    """at: plans a call at a nominal time. call: asks for a decision now."""

    def __init__(
        self,
        bed: Bed,
        network: Network,
        engine: Engine,
        fleet: Fleet,
        clock: Callable[[], float],
        at: Callable[..., None],
        note: Callable[[Event], None],
        call: Callable[[], None],
    ) -> None:
        self.bed, self.network, self.engine, self.fleet = bed, network, engine, fleet
        self.clock, self.at, self.note, self.call = clock, at, note, call
        self.rates = Rates(bed.topology, bed.tracks)
        self._place = {k.name: i for i, k in enumerate(bed.topology.links)}
        self.congestion = Congestion(bed.topology)
        self.detection = bed.scenario.run.detection
        self.down: frozenset[str] = frozenset()  # links, as path control knows
        self.dead: set[str] = set()  # nodes, as the run knows
        self._ran: dict[str, list[Start]] = {}  # node that is down → what it ran
        self._cut: set[str] = set()  # links, in truth
        self._made_of: tuple[dict[str, float], frozenset[str]] | None = None  # the costs
        self._late: dict[str, float] = {}  # disturbance → s by which path control reacts later
        self._unseen: dict[tuple[str, float], None] = {}  # (link, when it changed): not reacted to yet
        self._install()
        self.tell()

    # -- paths

    def paths(self) -> Paths:
        """Path costs as they are known now."""
        self._renew()
        return Paths(*self._costs)

    def _renew(self) -> bool:
        """Whether the costs are others than the last time."""
        made_of = (self.rates.at(self.clock()), self.down)
        if self._made_of == made_of:
            return False
        self._made_of, self._costs = made_of, self._routes.costs(made_of[0])
        return True

    def tell(self) -> None:
        """Hand the engine the costs for its next views, where they changed."""
        if self.congestion.watched:
            rates = self.rates.at(self.clock())
            costs = self._routes.costs(self.congestion.left(rates))
            toll = self._routes.tolls(self.congestion.prices(rates))
        elif self._renew():
            costs = self._costs
            toll = np.zeros(costs[0].matrix.shape)
        else:
            return
        delay, per_byte = costs
        self.engine.set_costs(delay.matrix, per_byte.matrix, toll)

    _costs: tuple[Pairs, Pairs]

    def measure(self) -> None:
        """Read what every direction has carried, as the network control does once a slot."""
        if self.congestion.watched:
            carried = self.engine.carried()
            names = ((f"{k.a}->{k.b}", f"{k.b}->{k.a}") for k in self.bed.topology.links)
            ways = [way for both in names for way in both]
            self.congestion.read(self.clock(), dict(zip(ways, carried.tolist(), strict=True)))

    def _install(self) -> None:
        """The switches' flows: next hops around the links that are known to be down."""
        self._routes = Routes(self.bed.topology, self.down)
        site = {s: i for i, s in enumerate(self.network.sites)}
        lane = {}
        for i, k in enumerate(self.bed.topology.links):
            lane[k.name, k.a], lane[k.name, k.b] = 2 * i, 2 * i + 1
        table = np.full((len(site), len(site)), -1)
        for target, hops in trunk_hops(self.bed.topology, self.down).items():
            for source, link in hops.items():
                table[site[source], site[target]] = lane[link, source]
        self.engine.set_next(table)

    # -- links

    def set_link(self, name: str, up: bool) -> str:
        """Down or up, at once; known after the detection time. Returns evidence.

        A host's only link that is known to be down has no flows: when it is up again, nothing passes until that is
        known, too. (A trunk is not used until then because no path leads over it.)
        """
        found = self.rates.link(name)
        link = found.name
        if not (up and found.role != "trunk" and link in self.down):
            self._open(link, up)
        (self._cut.discard if up else self._cut.add)(link)
        self._unseen[link, self.clock()] = None
        self.at(self._due(self.clock()), self._noticed, link, self.clock())
        return f"both directions {'up' if up else 'down'} in the twin"

    def _due(self, since: float) -> float:
        """When path control reacts to what has been so since then."""
        return since + self.detection + sum(self._late.values())

    def slow(self, disturbance: str, shape: Mapping[str, Any] | None) -> str:
        """Path control reacts later, also to what it has not reacted to yet; or as usual again (None). Evidence."""
        if shape is None:
            self._late.pop(disturbance, None)
        else:
            self._late[disturbance] = shape["delay"]
        for link, since in self._unseen:
            self.at(max(self._due(since), self.clock()), self._noticed, link, since)
        return f"path control reacts {sum(self._late.values()):g} s late in the twin"

    def lane(self, way: Way) -> int:
        """The engine's number of a direction."""
        return 2 * self._place[way.link] + SIDES.index(way.side)

    def _open(self, link: str, up: bool) -> None:
        for way in self.rates.ways(link):
            self.engine.set_lane(self.lane(way), up)

    def _noticed(self, link: str, since: float) -> None:
        """Path control reacts to a link whose state has been another one for the detection time."""
        if (link, since) not in self._unseen or self._due(since) > self.clock() + 1e-9:
            return  # done already, or it is to be later
        del self._unseen[link, since]
        is_down = link in self._cut
        if is_down == (link in self.down):
            return  # down and up again meanwhile: nothing changed
        now = self.clock()
        if not is_down:
            self._open(link, True)
        kind = "network_link_down" if is_down else "network_link_up"
        self.note(Event(kind, None, now, {"link": link, "port_at": since, "took_s": now - since}))
        self.down = self.down | {link} if is_down else self.down - {link}
        self._install()
        self.tell()
        self.engine.push()
        self.note(Event("network_paths", None, now, {"down": sorted(self.down)}))
        self.call()

    def reshape(self, name: str, disturbance: str, shape: Mapping[str, Any] | None) -> str:
        """Add a disturbance to a link or one direction, or take it away (None); rates are known at once. Evidence."""
        ways = self.rates.ways(name)
        for way in ways:
            self.rates.disturb(way, disturbance, shape)
            self.engine.squeeze(self.lane(way), self.rates.factor(way))
            now = self.rates.shape(way)
            self.engine.shape(self.lane(way), now.delay, now.jitter, losses(now))
        self.tell()
        self.engine.push()
        factors = "/".join(f"{self.rates.factor(way):g}" for way in ways)
        delays = "/".join(f"{1e3 * self.rates.shape(way).delay:g}" for way in ways)
        lost = "/".join(f"{100 * self.rates.shape(way).loss:g}" for way in ways)
        return f"at {factors} of its rate, {delays} ms, {lost} % lost in the twin"

    # -- nodes

    def crash(self, node: str) -> str:
        """The node's instances and what they hold are gone, its link is dead; known after the detection time."""
        self._ran[node] = running(self.fleet.instances.values(), node)
        victims = self.fleet.crash(node)
        self.set_link(self._own(node), False)
        self.at(self.clock() + self.detection, self._known, node, False, victims)
        return f"{len(victims)} instances ended, link down in the twin"

    def restore(self, node: str, again: bool = False) -> str:
        """It has power again: its link, and no instance; again: what ran there begins anew."""
        self.set_link(self._own(node), True)
        self.fleet.down_nodes.discard(node)
        self.at(self.clock() + self.detection, self._known, node, True, [])
        ran = self._ran.pop(node, [])
        if again:
            self.fleet.apply(anew(ran, self.fleet.instances, self.clock()))
        return "link up in the twin" + (f", {len(ran)} instances begin anew" if again else "")

    def _known(self, node: str, up: bool, victims: list[str]) -> None:
        (self.dead.discard if up else self.dead.add)(node)
        for name in victims:
            self.fleet.died(name)
        self.call()

    def _own(self, node: str) -> str:
        return next(k.name for k in self.bed.topology.links if k.role == "node" and node in (k.a, k.b))

    # -- verbs

    def do(self, verb: str, target: str, disturbance: str, shape: Mapping[str, Any] | None) -> str:
        """One verb of the World protocol; shape None takes a link_shape away. Evidence, or CannotRun."""
        if verb == "node_state" and shape and {"up"} <= set(shape) <= {"up", "again"}:
            again = bool(shape.get("again"))
            return self.restore(target, again) if shape["up"] else self.crash(target)
        if verb == "controller_slow" and set(shape or ()) <= {"delay"}:
            return self.slow(disturbance, shape)
        if verb == "link_state" and shape and set(shape) == {"up"}:
            return self.set_link(target, bool(shape["up"]))
        if verb == "link_shape" and set(shape or ()) <= SHAPES:
            return self.reshape(target, disturbance, shape)
        raise CannotRun(
            f"the twin can't do {verb} {dict(shape or {})}; it has link_state {{up}}, node_state {{up, again}} and "
            f"link_shape {{{', '.join(sorted(SHAPES))}}}; node_pause, node_cpu, node_memory, pace, kill, "
            "service_pause, errors, stale_view, controller_slow"
        )
