"""Does Open vSwitch have what was asked for? Bridges and ports by OVSDB, flows by the switches themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.world.live import ovs
from testbed.world.live.difference import Difference

_FLOW = re.compile(r"cookie=(0x[0-9a-f]+), .*dl_dst=([0-9a-f:]{17}) actions=load:0->NXM_OF_IN_PORT\[\],output:(\d+)$")


def bridges(
    wanted: Sequence[ovs.Bridge], states: Mapping[str, ovs.BridgeState], run_id: str, datapath: str, port: int
) -> list[Difference]:
    """states: as found, by bridge. port: of the loopback, where the controller listens."""
    return [d for b in wanted for d in _bridge(b, states.get(b.name), run_id, datapath, port)]


def _bridge(
    wanted: ovs.Bridge, state: ovs.BridgeState | None, run_id: str, datapath: str, controller_port: int
) -> list[Difference]:
    name = f"bridge {wanted.name}"
    if state is None:
        return [Difference(name, "itself", "there", "missing")]
    facts: list[tuple[str, Any, Any]] = [
        ("datapath id", f"{state.datapath_id:016x}", f"{wanted.datapath_id:016x}"),
        ("datapath", state.datapath, datapath),
        ("fail mode", state.fail_mode, "secure"),
        ("run", state.run, run_id),
        ("controllers", state.controllers, (f"tcp:127.0.0.1:{controller_port}",)),
    ]
    for interface, number in wanted.ports.items():
        port = state.ports.get(interface)
        if port is None:
            facts.append((f"port {interface}", "missing", "there"))
        elif port.error:
            facts.append((f"port {interface}", port.error, "no error"))
        else:
            facts.append((f"port {interface}: OpenFlow port and run", (port.ofport, port.run), (number, run_id)))
    facts += [(f"port {other}", "there", None) for other in state.ports if other not in wanted.ports]
    return [Difference(name, what, want, is_) for what, is_, want in facts if is_ != want]


def flows(
    wanted: Sequence[ovs.Bridge], sites: Sequence[str], expected: Mapping[str, Mapping[str, int]], cookie: int
) -> list[Difference]:
    """expected: {site: {MAC: port}}; sites name the bridges in order. Flows and groups that are not ours are named."""
    found = []
    for b, site in zip(wanted, sites, strict=True):
        try:
            ours, strange = _flows(b.name, cookie)
        except ovs.CannotRun as error:
            found.append(Difference(f"switch {site}", "its flows", "to be read", str(error)))
            continue
        found += [Difference(f"switch {site}", "a flow or group of somebody else", None, text) for text in strange]
        found += compare(site, expected[site], ours)
    return found


def compare(site: str, expected: Mapping[str, int], found: Mapping[str, int]) -> list[Difference]:
    """Output port by MAC, as wanted and as found."""
    return [
        Difference(f"switch {site}", f"frames to {mac}", _port(expected.get(mac)), _port(found.get(mac)))
        for mac in sorted(expected.keys() | found.keys())
        if expected.get(mac) != found.get(mac)
    ]


def _port(number: int | None) -> str:
    return f"output port {number}"


def _flows(bridge: str, cookie: int) -> tuple[dict[str, int], list[str]]:
    """Our flows by MAC; and those that are neither ours nor the drop at the end."""
    ours: dict[str, int] = {}
    strange = []
    for line in ovs.flows_of(bridge):
        match = _FLOW.search(line)
        if match and int(match[1], 16) == cookie:
            ours[match[2]] = int(match[3])
        elif f"cookie={cookie:#x}," not in line and "cookie=" in line:
            strange.append(line.strip())
    groups = ovs.run_ofctl("dump-groups", bridge).splitlines()
    return ours, strange + [line.strip() for line in groups if "group_id=" in line]
