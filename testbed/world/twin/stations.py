"""A queueing network on the twin's engine, without topology, policy or scenario: for closed forms and benchmarks.

    arrivals ─[wires 0]▶ station 0 ─[wires 1]▶ station 1 ─ … ─▶ done

Customers come at given times, each station has `workers` that share one queue, each service takes the given time, and
a message of given size crosses the wires before a station. Nothing else is in the way: no headers, no overheads, no
deadlines. With wires the message is pipelined or stored as `network` says (calibration.NetworkModel).

>>> import numpy as np
>>> from testbed.world.twin.stations import Station, simulate
>>> times = simulate([0.0, 1.0, 2.0], [Station("desk", workers=1)], [[1.5], [1.5], [1.5]], engine="reference")
>>> (times.started - times.arrived)[:, 0].tolist()          # waits: the second waits 0.5 s, the third 1.0 s
[0.0, 0.5, 1.0]
>>> times.ended[:, 0].tolist()
[1.5, 3.0, 4.5]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from controller.light.routing import ESTIMATE, INGRESS, StageSpec, TypeSpec
from testbed.world.twin.calibration import NetworkModel
from testbed.world.twin.choice import engine_for
from testbed.world.twin.engine import DONE, Engine
from testbed.world.twin.layout import NOT_SHARED, Floats, Ints, Layout, Network, Rules, Types

FAR = 1e15  # s: a deadline nobody meets
CHUNK = 1000  # customers offered, and taken, at a time: what an engine holds follows those present, not all
REPORTED = 100  # customers between two views


@dataclass(frozen=True, slots=True)
class Station:
    """workers share one queue, first come first served. wires: crossed in order on the way to it; bytes: by whom."""

    name: str
    workers: int = 1
    wires: tuple[Wire, ...] = ()
    bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Wire:
    """rate bit/s, delay s; loss 0..1 per packet."""

    rate: float
    delay: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Times:
    """[customer, station], s: when it came to the station, when its service began and when it ended."""

    arrived: Floats
    started: Floats
    ended: Floats


def simulate(
    arrivals: ArrayLike,
    stations: Sequence[Station],
    services: ArrayLike,
    *,
    network: NetworkModel = "pipelined",
    packet: float = 0.0,
    seed: int = 1,
    engine: str | None = None,
) -> Times:
    """arrivals [n] ascending, s; services [n, stations], s. packet: bytes, of "pipelined" (0: a fluid).

    engine: as TwinWorld's. seed: of losses.
    """
    at = np.ascontiguousarray(arrivals, dtype=float)
    work = np.ascontiguousarray(services, dtype=float).reshape(len(at), len(stations))
    layout, table = _layout(stations, _rules(at, seed, np.inf if network == "store" else packet))
    machine = engine_for(layout, engine)
    _build(machine, layout, table, stations)
    return _through(machine, at, np.full(len(at), FAR), work)


def _rules(at: Floats, seed: int, packet: float) -> Rules:
    span = max(float(at[-1]) if len(at) else 0.0, 1.0) / max(20.0, len(at) / REPORTED)
    return Rules(
        interval=span, report=0.7 * span, recent=3.0 * span, edf=False, limit=1 << 60, early_drop=False,
        admission=False, contention=0.0, grace_deadlines=1.0, grace=FAR, join_grace=FAR, seed=seed, rule=ESTIMATE,
        shrink=1.0, frames=False, packet=packet, segment=1448.0, message=0.0, local=0.0, service=0.0, dispatch=0.0,
        rto=0.2, window=0.0, handshake=False,
    )  # fmt: skip


def _layout(stations: Sequence[Station], rules: Rules) -> tuple[Layout, Ints]:
    """Host 0 is the source, host k + 1 station k; every host has a site, and one more for each trunk on the way."""
    hosts = ["source", *(s.name for s in stations)]
    site = list(range(len(hosts)))
    lanes: list[tuple[int, Wire]] = []  # (site it leads to, −1: a host; itself)
    free = Wire(NOT_SHARED * 8.0)
    up, down, sites = [], [], len(hosts)

    def lane(leads: int, wire: Wire) -> int:
        lanes.append((leads, wire))
        return len(lanes) - 1

    trunks: list[tuple[int, int, int]] = []  # from, to (a host's site), lane
    for k, station in enumerate(stations):
        wires = list(station.wires) or [free]
        last = wires.pop() if len(wires) > 1 else free
        here = sites if len(wires) > 1 else k + 1
        up.append(lane(here, wires[0]))
        for j, wire in enumerate(wires[1:]):
            following = k + 1 if j == len(wires) - 2 else sites + 1
            trunks.append((sites, k + 1, lane(following, wire)))
            sites += 1
        down.append(lane(-1, last))
    up.append(lane(0, free))  # results: from the last station to the source
    down.insert(0, lane(-1, free))
    net = Network(
        tuple(hosts), ("all",), np.zeros(len(hosts), np.int64), tuple(f"site{i}" for i in range(sites)),
        np.array(site), (), np.array(up), np.array(down), np.array([x for x, _ in lanes]),
        np.array([w.rate / 8.0 for _, w in lanes]), np.array([w.delay for _, w in lanes]),
        np.zeros(len(lanes)),
        np.array([w.loss for _, w in lanes]),
    )  # fmt: skip
    names = tuple(s.name for s in stations)
    stages = tuple(
        StageSpec(s.name, s.name, ((names[k - 1] if k else INGRESS, s.bytes),)) for k, s in enumerate(stations)
    )
    layout = Layout(
        net, np.zeros(1, np.int64), names, Types.of((TypeSpec("customer", FAR, 0.0, stages),), names), rules
    )
    table = np.full((sites, sites), -1)
    for here, there, number in trunks:
        table[here, there] = number
    return layout, table


def _build(machine: Engine, layout: Layout, table: Ints, stations: Sequence[Station]) -> None:
    """One instance per station, all costs nothing, one view. Without any wire they all stand where the source is."""
    apart = any(s.wires for s in stations)
    hosts = len(layout.network.hosts)
    machine.set_costs(*(np.zeros((hosts, hosts)) for _ in range(3)))
    machine.set_next(table)
    for k, station in enumerate(stations):
        machine.open(machine.add(station.name, k, k + 1 if apart else 0, station.workers, 1.0, 1.0, 0, 1.0))
    machine.push()


def _through(machine: Engine, at: Floats, due: Floats, work: Floats) -> Times:
    """Offer all customers, run until every one is through, and order what was reported. due [n]: relative, s."""
    out = np.full((3, *work.shape), np.nan)
    left, n = work.size, len(at)
    for first in range(0, n, CHUNK):
        part = slice(first, min(first + CHUNK, n))
        zeros = np.zeros(part.stop - first)
        none = zeros.astype(np.int64)
        machine.offer(none, none, at[part], due[part], zeros, zeros + 1.0, work[part])
        left -= _gather(machine, float(at[part][-1]), out)
    while left:
        left -= _gather(machine, machine.now * 2.0 + 1.0, out)
    return Times(*out)


def _gather(machine: Engine, until: float, out: Floats) -> int:
    """Run so far; how many visits were reported, whose times are in `out` now."""
    machine.run(until)
    _, visits, _ = machine.take()
    visits = visits[visits["outcome"] == DONE]
    for column, name in zip(out, ("arrived", "started", "ended"), strict=True):
        column[visits["task"], visits["stage"]] = visits[name]
    return len(visits)
