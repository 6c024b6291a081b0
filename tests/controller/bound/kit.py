"""Networks and instances for the bound's tests: one switch per domain, as in tests/controller/instances.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.bound import Network, Pipe, Port, Trunk
from controller.model import (
    INGRESS,
    Access,
    Core,
    Costs,
    Ingress,
    Input,
    Law,
    Light,
    Model,
    Node,
    Paths,
    Stage,
    TaskType,
)

GB, MBIT = 1e9, 1e6


def star(model: Model, trunks: Mapping[frozenset[str], float], node: float = 1e9, trunk: float = 8e8) -> Network:
    """One site per domain; ports of `node` bit/s (gateways ten times that) and 0.5 ms, trunks with the delays given."""
    ports = {v.name: _port(v.domain, node) for v in model.nodes} | {
        o.name: _port(o.domain, 10 * node) for o in model.ingresses
    }
    lines = [Trunk(a, b, Pipe(d, trunk, trunk)) for pair, d in trunks.items() for a, b in _both(pair)]
    return Network(ports, tuple(lines))


def _port(site: str, rate: float) -> Port:
    pipe = Pipe(0.5e-3, rate, rate)
    return Port(site, pipe, pipe)


def _both(pair: frozenset[str]) -> tuple[tuple[str, str], tuple[str, str]]:
    a, b = sorted(pair)
    return (a, b), (b, a)


def one(law: Law, work: float = 0.05, streams: int = 2, speed: float = 1.0, deadline: float = 10.0, tier: str = "core",
        cpu: float = 4.0) -> Model:  # fmt: skip
    """One service on one node, one gateway, one type of task without bytes: nothing but the service takes time."""
    costs = Costs(1, 1)
    core = (Core("m", work, 1.0, 1 * GB, streams, 0.0, costs, law),) if tier == "core" else ()
    light = (Light("m", work, 1.0, 0.1 * GB, 0.0, costs, law),) if tier == "light" else ()
    return Model(
        nodes=(Node("v", "west", cpu, 16 * GB, speed),),
        ingresses=(Ingress("o", "west", 1.0),),
        core=core,
        light=light,
        tasks=(TaskType("n", 1.0, deadline, 0.1, (Stage("s", "m", (Input(INGRESS, 0.0),)),), 0.0),),
        paths=Paths({}, {}),
        access=Access(1e9),
        load=1.0,
    )


def wider(network: Network, factor: float) -> Network:
    """The same network with `factor` times the bandwidth everywhere."""

    def more(pipe: Pipe) -> Pipe:
        return replace(pipe, rate=pipe.rate * factor, peak=pipe.peak * factor)

    ports = {k: Port(p.site, more(p.out), more(p.into)) for k, p in network.ports.items()}
    return Network(ports, tuple(replace(t, pipe=more(t.pipe)) for t in network.trunks))
