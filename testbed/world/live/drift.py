"""Drift: what changed on the machine during a run without the run having done it.

Once a slot the watch compares what is with what was read back after the build:

    namespaces    the kernel says when something changes (rtnetlink); only then is the namespace read again
    Open vSwitch  its database says when something changes; only then are bridges and ports compared
    flows         os-ken counts the flows of every switch, and reads those of one switch whole, in turn
    containers    process descriptors for the dead, the freezer's files for the paused

Nothing is read while nothing changes, but for the counts. The run's own changes are told by `Network.own`: what one may
touch is taken as it is found, at the next look and until GRACE_S after the change, for a carrier settles late. A
difference is told once, and once more when it is over; it makes the run invalid, for what is measured is not what was
asked for. A source that does not answer is no difference: for how long the watch was blind to it is told, and kept.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Any

from testbed.errors import CannotRun
from testbed.world.base import Event
from testbed.world.live import ovs, snapshot
from testbed.world.live.difference import Difference
from testbed.world.live.docker_hosts import DockerHosts
from testbed.world.live.names import LABEL
from testbed.world.live.netlink import Channel, Link
from testbed.world.live.network import Network
from testbed.world.live.openflow import Silent
from testbed.world.live.ovsdb import Monitor

DATABASE = "Open vSwitch"
AGAIN_S = 0.5  # real s a slot waits for a database that has come back
GRACE_S = 1.0  # real s; the kernel settles a carrier within one


class _Space:
    """A namespace under watch. host: the pod's node; None: the host's own namespace."""

    def __init__(self, host: str | None, netns: str | None, links: frozenset[str], mark: str) -> None:
        self.host, self.links, self._alias = host, links, mark
        self.ears = Channel(netns, listen=True)
        self._eyes = Channel(netns)
        self.settings = True
        self._indices: frozenset[int] = frozenset()
        self.before = self.look()

    @property
    def name(self) -> str:
        return "the host" if self.host is None else f"host {self.host}"

    def look(self) -> snapshot.Snapshot:
        return snapshot.take(self._eyes, self._ours, self.host is None, self.settings)

    def dirty(self) -> bool:
        """Has the kernel told of a change to what is ours?"""
        told = {index for _, index in self.ears.heard()}
        if self.host is not None:
            return bool(told)
        known = {link.index for link in self._eyes.links().values() if self._ours(link)} if told else set()
        seen, self._indices = self._indices | known, frozenset(known) or self._indices
        return bool(told & (seen | {0}))

    def _ours(self, link: Link) -> bool:
        return link.name != "lo" if self.host is not None else link.alias == self._alias

    def close(self) -> None:
        self.ears.close()
        self._eyes.close()


class Watch:
    """begin → look, once a slot → close. Used from one thread."""

    def __init__(self, network: Network, hosts: DockerHosts) -> None:
        self.network, self.hosts = network, hosts
        self._spaces: list[_Space] = []
        self._switches: Monitor | None = None
        self._open: dict[str, dict[Any, Difference]] = {}  # source → key → what differs and was told
        self._looked = 0.0  # when the last look began, monotonic s
        self._dark: dict[str, float] = {}  # source that does not answer → since when, nominal s
        self.blind: list[dict[str, Any]] = []  # {what, since_s, for_s} of each that answered again
        self.spent_s = 0.0  # processor time of this thread in `look`

    def begin(self) -> None:
        """From now on everything is expected to stay as it is."""
        mark = f"{LABEL}={self.network.names.run_id}"
        ends = self.network.link_namespaces()
        for host, netns in ((None, None), *self.network.namespaces.items()):
            links = frozenset(link for link, where in ends.items() if netns in where)
            self._spaces.append(_Space(host, netns, links, mark))
        self._switches = Monitor()
        self._looked = time.monotonic()

    def look(self, now: float) -> list[Event]:
        """What differs since the last look, as events at nominal time `now`: "drift", "drift_over", "invalid"; and
        "blind", "blind_over" of sources."""
        begun = time.thread_time()
        events: list[Event] = []
        for source, found in self._sources():
            events += self._sight(source, found is not None, now)
            events += self._news(source, found, now) if found is not None else ()
        self.spent_s += time.thread_time() - begun
        return events

    def blind_until(self, now: float) -> list[dict[str, Any]]:
        """{what, since_s, for_s}: what the watch did not see, nominal s, with what it does not see now."""
        return self.blind + [{"what": w, "since_s": t, "for_s": now - t} for w, t in self._dark.items()]

    def _sight(self, source: str, seen: bool, now: float) -> list[Event]:
        if not seen and source not in self._dark:
            self._dark[source] = now
            return [Event("blind", None, now, {"what": source})]
        if seen and source in self._dark:
            since = self._dark.pop(source)
            self.blind.append({"what": source, "since_s": since, "for_s": now - since})
            return [Event("blind_over", None, now, {"what": source, "for_s": now - since})]
        return []

    def close(self) -> None:
        """The namespaces may go: an open socket in one would keep it."""
        for space in self._spaces:
            space.close()
        self._spaces.clear()
        if self._switches is not None:
            self._switches.close()
            self._switches = None

    def _sources(self) -> Iterable[tuple[str, dict[Any, Difference] | None]]:
        """Every source with all that differs there now, None while it does not answer; one where nothing changed since
        the last time is left out."""
        poll = select.poll()
        by_fd = {space.ears.fileno(): space for space in self._spaces}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        ready = {by_fd[fd] for fd, _ in poll.poll(0)}
        touched = self.network.touched(self._looked - GRACE_S)
        self._looked = time.monotonic()
        for space in self._spaces:
            own = touched & space.links
            if (space in ready and space.dirty()) or own or self._unsettled(space):
                yield space.name, self._compare(space, own)
        yield from self._bridges()
        yield "flows", self._flows()
        yield "containers", {(d.name, d.what): d for d in self.hosts.astray()}

    def _unsettled(self, space: _Space) -> bool:
        """A track began or ended on one of its links."""
        return space.settings == bool(self.network.playing & space.links)

    def _compare(self, space: _Space, own: frozenset[str]) -> dict[Any, Difference]:
        if self._unsettled(space):
            space.settings = not space.settings
            space.before = space.look()
        after = space.look()
        allowed = {i for link in own for i in self.network.interfaces_of(link)}
        found: dict[Any, Difference] = {}
        before = dict(space.before)
        for key, was, is_ in snapshot.changed(space.before, after):
            if own and (space.host is not None or key[0] in allowed):
                before.pop(key, None)
                if is_ is not None:
                    before[key] = is_
            else:
                found[key] = Difference(space.name, " ".join(filter(None, (key[1], key[0]))), was, is_)
        space.before = before
        return found

    def _flows(self) -> dict[Any, Difference] | None:
        try:
            return {(d.name, d.what): d for d in self.network.audit_flows()}
        except Silent:
            return None

    def _bridges(self) -> Iterable[tuple[str, dict[Any, Difference] | None]]:
        """The database may be started anew while we listen: that is a difference, until it answers again."""
        try:
            if self._switches is None:
                self._switches = Monitor(AGAIN_S)
            elif not self._switches.changed():
                return
        except (OSError, CannotRun) as error:
            if self._switches is not None:
                self._switches.close()
                self._switches = None
                yield DATABASE, {"gone": Difference(DATABASE, "its database", "answers", str(error))}
            yield DATABASE, None
            return
        states = ovs.states(self._switches.tables, [b.name for b in self.network.bridges])
        yield DATABASE, {(d.name, d.what): d for d in self.network.compare_bridges(states)}

    def _news(self, source: str, found: dict[Any, Difference], now: float) -> list[Event]:
        told = self._open.get(source, {})
        self._open[source] = found
        events = []
        for key, d in found.items():
            if told.get(key) != d:
                data = {"name": d.name, "what": d.what, "expected": d.expected, "found": d.found}
                events.append(Event("drift", None, now, data))
                events.append(Event("invalid", None, now, {"why": f"changed by somebody else: {d}"}))
        for key, d in told.items():
            if key not in found:
                events.append(Event("drift_over", None, now, {"name": d.name, "what": d.what, "found": d.expected}))
        return events
