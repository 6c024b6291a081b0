"""The os-ken application: keeps the switches' flows at what openflow_paths.table says. Runs in openflow_process only.

Three kinds of threads: os-ken's own only pass on what happened; one reads commands; one *worker* does everything
else, in order, so nothing here needs a lock. The worker waits for a switch by an event per transaction id, which
os-ken's threads set.
A switch that connects is asked what it holds; only the difference is written. So a restart wipes nothing.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

# This order is os-ken's own: app_manager before anything of os_ken.controller.
from os_ken.base import app_manager  # isort: skip
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import nicira_ext, ofproto_v1_3

from testbed.world.live import openflow_paths as paths

PRIORITY = 100  # of a host's flow; the table miss has 0
ANSWER_S = 5.0  # a switch that has not answered a barrier by then is taken for gone (it reconnects and is read again)
MASK = (1 << 64) - 1
NEED_A_PLAN = frozenset({"recompute", "counters", "audit"})


@dataclass
class Waiting:
    """For a switch's answer. gone: its connection ended first."""

    datapath: Any
    parts: list[Any] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    gone: bool = False

    def over(self, datapath: Any) -> None:
        if datapath is self.datapath and not self.done.is_set():
            self.gone = True
            self.done.set()


class PathApp(app_manager.OSKenApp):
    """channel: the connected command socket, one JSON object a line in both directions."""

    OFP_VERSIONS: ClassVar = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, channel: socket.socket, port: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channel, self.port = channel, port
        self.inbox: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.pending: dict[tuple[int, int], Waiting] = {}
        self.plan: paths.Plan | None = None
        self.sites: dict[int, str] = {}
        self.links: dict[tuple[str, int], str] = {}
        self.datapaths: dict[str, Any] = {}  # connected and brought up to date
        self.held: paths.Table = {}  # what the switches have
        self.port_down: set[tuple[str, int]] = set()
        self.told_down: frozenset[str] = frozenset()  # by command
        self.seen: dict[str, tuple[bool, float]] = {}  # link → (up, when its port said so), not reacted to yet
        self.down: frozenset[str] = frozenset()  # what the paths avoid
        self.slow_s = 0.0  # by which every reaction to a port comes later than it should, a fault's doing
        self.waiters: list[int] = []
        self.turn = 0  # of the switches, to tell their flows whole
        self.count: Counter[str] = Counter()

    def start(self) -> Any:
        thread = super().start()
        for target in (self._read, self._work):
            threading.Thread(target=target, daemon=True).start()
        return thread

    # What os-ken tells us: passed on, nothing more.

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        if event.datapath.state == DEAD_DISPATCHER:  # nobody shall wait for what it will never say
            for waiting in list(self.pending.values()):
                waiting.over(event.datapath)
        self.inbox.put(("switch", event.datapath))

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port(self, event: Any) -> None:
        self.inbox.put(("port", (event.msg, time.monotonic())))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_error(self, event: Any) -> None:
        self.inbox.put(("error", event.msg))

    @set_ev_cls(
        [
            ofp_event.EventOFPBarrierReply, ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPAggregateStatsReply, ofp_event.EventOFPGroupDescStatsReply,
        ],
        MAIN_DISPATCHER,
    )  # fmt: skip
    def on_answer(self, event: Any) -> None:
        msg = event.msg
        waiting = self.pending.get((msg.datapath.id, msg.xid))
        if waiting is None:
            return
        body = getattr(msg, "body", None) or []
        waiting.parts.extend(body if isinstance(body, list) else [body])
        if not getattr(msg, "flags", 0) & ofproto_v1_3.OFPMPF_REPLY_MORE:
            waiting.done.set()

    # The owner.

    def _read(self) -> None:
        with self.channel.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                self.inbox.put(("command", json.loads(line)))
        os._exit(0)  # the owner is gone; os-ken's threads would outlive a return

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(0)

    def _event(self, kind: str, **data: Any) -> None:
        self._send({"t": "event", "kind": kind, **data})

    # The worker.

    def _work(self) -> None:
        try:
            self._send({"t": "listening", "port": self.port})
            while True:
                try:
                    kind, what = self.inbox.get(timeout=self._until_due())
                except queue.Empty:
                    self._react()
                    continue
                getattr(self, f"_do_{kind}")(what)
                self._react()
        except BaseException as error:  # a dead worker behind living threads would look healthy
            self.logger.exception("path control stopped")
            self._event("failed", error=repr(error), at=time.monotonic())
            os._exit(1)

    def _until_due(self) -> float | None:
        if not self.seen or self.plan is None:
            return None
        patience = self.plan.detection_s + self.slow_s
        return max(0.0, min(at for _, at in self.seen.values()) + patience - time.monotonic())

    def _react(self) -> None:
        """Links whose change has been known for detection_s: report them, then compute and install new paths."""
        if self.plan is None:
            return
        now = time.monotonic()
        due = {link: was for link, was in self.seen.items() if was[1] + self.plan.detection_s + self.slow_s <= now}
        for link, (up, at) in due.items():
            del self.seen[link]
            if up == (link in self.down):
                self._event("link_up" if up else "link_down", link=link, at=now, port_at=at, took_s=now - at)
        if due:
            self._install(now)

    def _do_command(self, message: dict[str, Any]) -> None:
        what, ident = message["t"], message["id"]
        answer: dict[str, Any] = {}
        if what == "configure":
            self._configure(paths.Plan.from_wire(message["plan"]), frozenset(message["down"]))
            self.slow_s = message["slow_s"]
        elif self.plan is None and what in NEED_A_PLAN:  # asked while it is started anew
            answer = {"error": "it has not been told the network yet"}
        elif what == "slow":
            self.slow_s = message["seconds"]
        elif what == "wait":
            self.waiters.append(ident)
            self._answer_waiters()
            return
        elif what == "recompute":
            self.told_down = frozenset(message["down"])
            answer = self._install(time.monotonic())
        elif what == "status":
            answer = self._status()
        elif what == "counters":
            answer = {"counters": self._counters()}
        elif what == "audit":
            answer = {"differences": self._audit()}
        elif what == "quit":
            self._send({"t": "reply", "id": ident})
            os._exit(0)
        else:
            answer = {"error": f"there is no command {what!r}"}
        self._send({"t": "reply", "id": ident, **answer})

    def _configure(self, plan: paths.Plan, down: frozenset[str]) -> None:
        self.plan, self.told_down = plan, down
        self.sites = {dpid: site for site, dpid in plan.datapaths.items()}
        self.links = {(site, port): k for site, ports in plan.ports.items() for k, port in ports.items()}

    def _status(self) -> dict[str, Any]:
        missing = [s for s in self.plan.datapaths if s not in self.datapaths] if self.plan else []
        flows = {site: len(flows) for site, flows in self.held.items()}
        return {
            "connected": sorted(self.datapaths), "missing": missing, "flows": flows,
            "down": sorted(self.down), "refused": self.count["refused"], "errors": self.count["errors"],
            "slow_s": self.slow_s,
        }  # fmt: skip

    def _do_switch(self, datapath: Any) -> None:
        site = self.sites.get(datapath.id)
        if datapath.state == DEAD_DISPATCHER:
            if site is not None and self.datapaths.get(site) is datapath:
                del self.datapaths[site]
                self._event("switch_gone", site=site, at=time.monotonic())
        elif site is None:
            self._refuse(datapath)
        else:
            self._welcome(site, datapath)
            self._answer_waiters()

    def _refuse(self, datapath: Any) -> None:
        self.count["refused"] += 1
        ofp = datapath.ofproto
        refusal = datapath.ofproto_parser.OFPErrorMsg(
            datapath, type_=ofp.OFPET_BAD_REQUEST, code=ofp.OFPBRC_EPERM, data=b"not a switch of this run"
        )
        datapath.send_msg(refusal, close_socket=True)
        if self.count[f"refused {datapath.id}"] == 0:  # it will try again and again: tell once
            self._event("switch_refused", datapath_id=f"{datapath.id:016x}", at=time.monotonic())
        self.count[f"refused {datapath.id}"] += 1

    def _welcome(self, site: str, datapath: Any) -> None:
        """Read what the switch holds, and write only what differs from the paths in force."""
        assert self.plan is not None
        flows = self._ask(datapath, self._flow_request(datapath))
        if flows is None:
            return
        self.datapaths[site] = datapath
        self.held[site] = {f.match.get("eth_dst"): _output(f) for f in flows if f.priority and "eth_dst" in f.match}
        for number in self.plan.ports[site].values():
            port = datapath.ports.get(number)
            self._note(site, number, up=port is not None and not _is_down(port, datapath.ofproto))
        miss = datapath.ofproto_parser.OFPFlowMod(datapath, cookie=self.plan.cookie, priority=0, instructions=[])
        if not any(f.priority == 0 for f in flows):
            datapath.send_msg(miss)  # what a secure switch does anyway, but counted
        self._install(time.monotonic())

    def _note(self, site: str, number: int, up: bool) -> None:
        (self.port_down.discard if up else self.port_down.add)((site, number))

    def _do_port(self, what: tuple[Any, float]) -> None:
        msg, at = what
        site, number = self.sites.get(msg.datapath.id), msg.desc.port_no
        if site is None or (site, number) not in self.links:
            return
        ofp, link = msg.datapath.ofproto, self.links[site, number]
        before = self._link_down(link)
        self._note(site, number, up=msg.reason != ofp.OFPPR_DELETE and not _is_down(msg.desc, ofp))
        after = self._link_down(link)
        if before != after:
            # Down and up again within the detection time leaves one entry, which then says: nothing changed.
            self.seen[link] = (not after, at)

    def _link_down(self, link: str) -> bool:
        return any(self.links[end] == link for end in self.port_down)

    def _do_error(self, msg: Any) -> None:
        self.count["errors"] += 1
        site = self.sites.get(msg.datapath.id)
        self._event("openflow_error", site=site, type=msg.type, code=msg.code, at=time.monotonic())

    def _install(self, began: float) -> dict[str, Any]:
        """Bring all connected switches to the paths without the links that are down."""
        assert self.plan is not None
        unripe = set(self.seen)
        ports = {self.links[end] for end in self.port_down}
        # A link whose detection time still runs keeps the role it had.
        down = frozenset((ports - unripe) | (self.down & unripe) | self.told_down)
        wanted = paths.table(self.plan, down)
        old = {site: self.held.get(site, {}) for site in self.datapaths}
        new = {site: wanted[site] for site in self.datapaths}
        complete = len(new) == len(wanted)
        steps = paths.rounds(self.plan, old, new) if complete else [_unordered(old, new)]
        for step in steps:
            self._write(step)
        changed, moved = sum(map(len, steps)), down != self.down
        self.down = down
        result = {
            "changed": changed, "took_s": time.monotonic() - began, "down": sorted(down),
            "unreachable": paths.unreachable(self.plan, down),
        }  # fmt: skip
        if moved:
            self._event("paths", at=time.monotonic(), **result)
        return result

    def _write(self, changes: list[paths.Change]) -> None:
        """Send the changes, then one barrier to each switch concerned, and wait for all of them."""
        assert self.plan is not None
        concerned: dict[str, Any] = {}
        for change in changes:
            datapath = concerned[change.site] = self.datapaths[change.site]
            datapath.send_msg(_flow_mod(datapath, change, self.plan.cookie))
        barriers = [(s, d, self._post(d, d.ofproto_parser.OFPBarrierRequest(d))) for s, d in concerned.items()]
        for site, datapath, waiting in barriers:
            if self._await(datapath, waiting) is None:
                self.datapaths.pop(site, None)
        for change in changes:
            flows = self.held.setdefault(change.site, {})
            if change.port is None:
                flows.pop(change.mac, None)
            else:
                flows[change.mac] = change.port

    def _counters(self) -> dict[str, Any]:
        """Per site: packets by host, and packets that matched no flow."""
        assert self.plan is not None
        hosts = {mac: host for host, mac in self.plan.macs.items()}
        found = {}
        for site, datapath in list(self.datapaths.items()):
            flows = self._ask(datapath, self._flow_request(datapath)) or []
            packets = {hosts[f.match["eth_dst"]]: f.packet_count for f in flows if f.priority}
            found[site] = {"packets": packets, "missed": sum(f.packet_count for f in flows if f.priority == 0)}
        return found

    def _audit(self) -> list[list[Any]]:
        """[site, what, expected, found] where a switch does not hold what was written.

        Every switch counts its flows, ours and all. One whose counts are wrong, and one more in turn, tells them whole
        (os-ken takes 0.1 ms to read a flow): a flow whose action alone was changed is found when its switch's turn
        comes.
        """
        assert self.plan is not None
        there = list(self.datapaths.items())
        asked = [(s, d, [self._post(d, self._count_request(d, mask)) for mask in (MASK, 0)]) for s, d in there]
        suspects = {there[self.turn % len(there)][0]} if there else set()
        self.turn += 1
        for site, datapath, requests in asked:
            ours, every = ((a[0].flow_count if a else None) for a in (self._await(datapath, xid) for xid in requests))
            if ours != len(self.held.get(site, {})) + 1 or every != ours:  # one more: the drop at the end
                suspects.add(site)
        return [found for site, datapath in there if site in suspects for found in self._differences(site, datapath)]

    def _differences(self, site: str, datapath: Any) -> list[list[Any]]:
        assert self.plan is not None
        flows = self._ask(datapath, self._flow_request(datapath, mask=0))
        groups = self._ask(datapath, datapath.ofproto_parser.OFPGroupDescStatsRequest(datapath, 0))
        if flows is None or groups is None:
            return []  # it has gone, which is an event of its own
        ours = {f.match.get("eth_dst"): _output(f) for f in flows if f.cookie == self.plan.cookie and f.priority}
        held = self.held.get(site, {})
        found = [
            [site, f"frames to {mac}", f"output port {held.get(mac)}", f"output port {ours.get(mac)}"]
            for mac in sorted(held.keys() | ours.keys(), key=str)
            if held.get(mac) != ours.get(mac)
        ]
        if not any(f.cookie == self.plan.cookie and not f.priority for f in flows):
            found.append([site, "the drop of what matches nothing", "there", "missing"])
        strange = [f"flow {f.match}, priority {f.priority}" for f in flows if f.cookie != self.plan.cookie]
        strange += [f"group {g.group_id}" for g in groups]
        return found + [[site, text, None, "there"] for text in strange]

    def _count_request(self, datapath: Any, mask: int) -> Any:
        assert self.plan is not None
        ofp = datapath.ofproto
        everything = datapath.ofproto_parser.OFPMatch()
        return datapath.ofproto_parser.OFPAggregateStatsRequest(
            datapath, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, self.plan.cookie, mask, everything
        )

    def _flow_request(self, datapath: Any, mask: int = MASK) -> Any:
        assert self.plan is not None
        ofp = datapath.ofproto
        return datapath.ofproto_parser.OFPFlowStatsRequest(
            datapath, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, self.plan.cookie, mask
        )

    def _post(self, datapath: Any, message: Any) -> int:
        """Send a request whose answer will be waited for; returns its transaction id."""
        xid = datapath.set_xid(message)
        waiting = self.pending[datapath.id, xid] = Waiting(datapath)
        datapath.send_msg(message)
        if datapath.state == DEAD_DISPATCHER:  # it went before it could be asked
            waiting.over(datapath)
        return xid

    def _await(self, datapath: Any, xid: int) -> list[Any] | None:
        waiting = self.pending[datapath.id, xid]
        answered = waiting.done.wait(ANSWER_S)
        del self.pending[datapath.id, xid]
        return waiting.parts if answered and not waiting.gone else None

    def _ask(self, datapath: Any, message: Any) -> list[Any] | None:
        return self._await(datapath, self._post(datapath, message))

    def _answer_waiters(self) -> None:
        if self.plan is not None and len(self.datapaths) == len(self.plan.datapaths):
            for ident in self.waiters:
                self._send({"t": "reply", "id": ident})
            self.waiters.clear()


def _output(flow: Any) -> Any:
    """The port its last action sends to; its actions in words where that is none of ours."""
    actions = [a for i in flow.instructions for a in getattr(i, "actions", ())]
    known = len(actions) == 2 and hasattr(actions[-1], "port")
    return actions[-1].port if known else f"{[type(a).__name__ for a in actions]}"


def _is_down(port: Any, ofp: Any) -> bool:
    return bool(port.state & ofp.OFPPS_LINK_DOWN or port.config & ofp.OFPPC_PORT_DOWN)


def _unordered(old: paths.Table, new: paths.Table) -> list[paths.Change]:
    """While switches are still missing there is no path to keep unbroken: everything at once."""
    adds = [paths.Change(s, m, p) for s, flows in new.items() for m, p in flows.items() if old[s].get(m) != p]
    return adds + [paths.Change(s, m, None) for s, flows in old.items() for m in flows if m not in new[s]]


def _flow_mod(datapath: Any, change: paths.Change, cookie: int) -> Any:
    ofp, parser = datapath.ofproto, datapath.ofproto_parser
    match = parser.OFPMatch(eth_dst=change.mac)
    if change.port is None:
        return parser.OFPFlowMod(
            datapath, cookie=cookie, cookie_mask=MASK, command=ofp.OFPFC_DELETE_STRICT, priority=PRIORITY,
            match=match, out_port=ofp.OFPP_ANY, out_group=ofp.OFPG_ANY,
        )  # fmt: skip
    # A switch does not send a frame out of the port it came by, and while paths change that is the way back for what
    # is under way. A frame that came by port 0 (there is none) may go anywhere: ovs-actions(7), "hairpin".
    anywhere = parser.NXActionRegLoad(ofs_nbits=nicira_ext.ofs_nbits(0, 15), dst="in_port_nxm", value=0)
    actions = [anywhere, parser.OFPActionOutput(change.port)]
    instructions = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
    # ADD overwrites a flow of the same match and priority in one step: at no moment is there none.
    return parser.OFPFlowMod(
        datapath, cookie=cookie, command=ofp.OFPFC_ADD, priority=PRIORITY, match=match, instructions=instructions
    )
