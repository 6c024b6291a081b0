"""What does not change during a run, as arrays: hosts, links, services, task types, rules. Both engines read it.

Nominal units: s, bytes, bytes per second. Indices: hosts are nodes, then ingresses (the view's endpoints); *members*,
who send and receive, are gateways 0 … G−1, then instances in the order of their creation; a link has two *lanes*,
2k for a→b and 2k+1 for b→a.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.light.routing import INGRESS, StageSpec, TypeSpec
from testbed.scenario.model import Run
from testbed.topology.model import Shape, Topology
from testbed.world.twin.calibration import Calibration

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GRACE_DEADLINES, GRACE_REAL = 2.0, 5.0  # containers/gateway/task.py
JOIN_GRACE_REAL = 5.0  # containers/stub/service.py
RTO_DOUBLINGS = 9  # of TCP's timer: at most some 120 s real, as Linux has it
ROUNDS = 6  # of retransmission that are told apart
LOGISTIC = 0.5513288954217921  # √3/π: scale of the logistic distribution of deviation 1
REPORT_AT = 0.7  # containers/stub/service.py: part of a view interval
RECENT_INTERVALS = 3.0  # testbed/world/live/hub.py
HEADERS = 66.0  # wire bytes of a packet that are not payload: Ethernet, IP, TCP with timestamps
PREFIX = 12.0  # wire bytes of a frame before its header (docs/wire.md)
NOT_SHARED = 1e18  # bytes/s: a lane that is no bottleneck


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts, sites and lanes. up[h], down[h]: lanes from and to a host; leads[l]: site a lane ends at, −1 at a host."""

    hosts: tuple[str, ...]
    domains: tuple[str, ...]
    domain: Ints  # [H]
    sites: tuple[str, ...]
    site: Ints  # [H]
    links: tuple[str, ...]
    up: Ints  # [H]
    down: Ints  # [H]
    leads: Ints  # [L]
    rate: Floats  # [L] bytes/s
    delay: Floats  # [L] s
    jitter: Floats  # [L] s
    loss: Floats  # [L] losses per packet, 0..1: bursts count once

    @classmethod
    def of(cls, topology: Topology) -> Network:
        """The lanes of a resolved topology."""
        every = (*topology.nodes, *topology.ingresses)
        hosts = tuple(h.name for h in every)
        sites = tuple(s.name for s in topology.sites)
        host, site = {h: i for i, h in enumerate(hosts)}, {s: i for i, s in enumerate(sites)}
        domains = tuple(dict.fromkeys((*topology.domains(), *(h.domain for h in every))))
        up, down = np.full(len(hosts), -1), np.full(len(hosts), -1)
        leads, rate, delay, jitter, loss = [], [], [], [], []
        for i, k in enumerate(topology.links):
            for a, b, shape, lane in ((k.a, k.b, k.ab, 2 * i), (k.b, k.a, k.ba, 2 * i + 1)):
                leads.append(site.get(b, -1))
                rate.append(shape.rate / 8.0)
                delay.append(shape.delay)
                jitter.append(shape.jitter)
                loss.append(losses(shape))
                if a in host:
                    up[host[a]] = lane
                if b in host:
                    down[host[b]] = lane
        return cls(
            hosts, domains, np.array([domains.index(h.domain) for h in every]), sites,
            np.array([site[h.site] for h in every]), tuple(k.name for k in topology.links), up, down,
            np.array(leads), np.array(rate), np.array(delay), np.array(jitter), np.array(loss),
        )  # fmt: skip


def losses(shape: Shape) -> float:
    """Losses per packet of a direction: a burst is one; a corrupted packet is dropped by its receiver."""
    return 1.0 - (1.0 - shape.loss / max(shape.loss_burst, 1.0)) * (1.0 - shape.corrupt)


@dataclass(frozen=True, slots=True)
class Types:
    """Task types by position of their stages (S: the most a type has; E: the most edges out of or into a stage).

    outs[n, 0]: edges from the gateway, outs[n, 1 + s]: from stage s. head[n, s]: wire bytes of a request's header.
    """

    specs: tuple[TypeSpec, ...]
    stages: Ints  # [n] how many
    service: Ints  # [n, S]
    joins: Ints  # [n, S] place among the type's joins, −1: not a join
    width: int  # joins of the type that has most of them, at least 1
    ins: Ints  # [n, S] how many inputs
    in_stage: Ints  # [n, S, E] −1: the gateway
    in_bytes: Floats  # [n, S, E]
    outs: Ints  # [n, 1 + S] how many
    out_stage: Ints  # [n, 1 + S, E]
    out_bytes: Floats  # [n, 1 + S, E]
    sinks: Ints  # [n] how many
    sink: Ints  # [n, S] 1: its result goes to the gateway
    output: Floats  # [n]
    head: Floats  # [n, S] wire bytes

    @classmethod
    def of(cls, specs: tuple[TypeSpec, ...], services: tuple[str, ...]) -> Types:
        n, S = len(specs), max((len(t.stages) for t in specs), default=1)
        E = max((len(_edges(t)) for t in specs), default=1)
        shape = (n, S)
        out = cls(
            specs, np.zeros(n, np.int64), np.zeros(shape, np.int64), np.full(shape, -1),
            max([1, *(sum(len(s.inputs) > 1 for s in t.stages) for t in specs)]),
            np.zeros(shape, np.int64), np.zeros((n, S, E), np.int64), np.zeros((n, S, E)),
            np.zeros((n, 1 + S), np.int64), np.zeros((n, 1 + S, E), np.int64), np.zeros((n, 1 + S, E)),
            np.zeros(n, np.int64), np.zeros(shape, np.int64), np.array([t.output for t in specs]), np.zeros(shape),
        )  # fmt: skip
        for i, t in enumerate(specs):
            out._fill(i, t, services)
        return out

    def _fill(self, n: int, t: TypeSpec, services: tuple[str, ...]) -> None:
        place = {s.name: k for k, s in enumerate(t.stages)} | {INGRESS: -1}
        joins = 0
        self.stages[n] = len(t.stages)
        for k, stage in enumerate(t.stages):
            self.service[n, k] = services.index(stage.service)
            if len(stage.inputs) > 1:
                self.joins[n, k], joins = joins, joins + 1
            self.head[n, k] = header_bytes(t, stage)
            for source, size in stage.inputs:
                self.in_stage[n, k, self.ins[n, k]] = place[source]
                self.in_bytes[n, k, self.ins[n, k]] = size
                self.ins[n, k] += 1
                row = 1 + place[source]
                self.out_stage[n, row, self.outs[n, row]] = k
                self.out_bytes[n, row, self.outs[n, row]] = size
                self.outs[n, row] += 1
        for name in t.sinks():
            self.sink[n, place[name]] = 1
            self.sinks[n] += 1


def _edges(t: TypeSpec) -> list[tuple[str, float]]:
    return [i for s in t.stages for i in s.inputs]


def header_bytes(t: TypeSpec, stage: StageSpec) -> float:
    """Wire bytes of a REQUEST's header (docs/wire.md) with numbers of the usual length in it."""
    number = 12345.123456789012
    header: dict[str, Any] = {
        "task": 1234, "type": t.name, "from": stage.inputs[0][0], "src": "n12", "attempt": 1, "deadline": number,
        "bind": {s.name: [f"{s.service}-12", "10.77.0.12", 7000] for s in t.stages if len(s.inputs) > 1},
        "work": {s.name: 0.012345678901234567 for s in t.stages}, "size": 1.0, "reply": ["10.77.0.12", 7000],
        "gw": "gw1", "stage": stage.name,
    }  # fmt: skip
    return float(len(json.dumps(header, separators=(",", ":"))))


RESULT_HEAD, FAILED_HEAD = 45.0, 70.0  # wire bytes of the headers {"task", "attempt", "stage"[, "why"]}


@dataclass(frozen=True, slots=True)
class Rules:
    """How senders, queues and gateways behave; nominal s, bytes."""

    interval: float
    report: float
    recent: float
    edf: bool
    limit: int
    early_drop: bool
    admission: bool
    contention: float
    grace_deadlines: float
    grace: float
    join_grace: float
    seed: int
    rule: str  # controller.light.routing.RULES
    shrink: float
    frames: bool
    packet: float  # a full one; 0: of no size (a message flows through its hops as a fluid); inf: store and forward
    segment: float
    message: float
    local: float
    service: float
    dispatch: float
    rto: float
    window: float  # initial window, bytes; 0: no slow start
    handshake: bool

    @classmethod
    def of(cls, run: Run, c: Calibration, seed: int, rule: str) -> Rules:
        d, s = run.dilate, run.shrink
        return cls(
            run.view_interval, REPORT_AT * run.view_interval, RECENT_INTERVALS * run.view_interval, run.queue == "edf",
            run.queue_limit, run.early_drop, run.admission, run.contention, GRACE_DEADLINES, GRACE_REAL / d,
            0.0 if run.early_drop else JOIN_GRACE_REAL / d, seed, rule, s, c.frames,
            math.inf if c.network == "store" else c.packet * s, c.segment, c.message_s / d, c.local_s / d,
            c.service_s / d, c.dispatch_s / d, c.rto_s / d, c.window * c.segment * s, c.handshake,
        )  # fmt: skip

    def frame(self, payload: float, head: float) -> float:
        """Nominal bytes at layer 2 of a message with `payload` nominal bytes and a header of `head` wire bytes."""
        wire = float(math.floor(payload / self.shrink + 0.5))
        if not self.frames:
            return wire * self.shrink
        wire += PREFIX + head
        return (wire + HEADERS * math.ceil(wire / self.segment)) * self.shrink


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything fixed. gateways: host of each; services: names."""

    network: Network
    gateways: Ints
    services: tuple[str, ...]
    types: Types
    rules: Rules
