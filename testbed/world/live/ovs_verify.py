"""Does Open vSwitch have what was asked for? Bridges and ports by OVSDB, flows by the switches themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.world.live import ovs

_FLOW = re.compile(r"cookie=(0x[0-9a-f]+), .*dl_dst=([0-9a-f:]{17}) actions=load:0->NXM_OF_IN_PORT\[\],output:(\d+)$")


def bridges(wanted: Sequence[ovs.Bridge], run_id: str, datapath: str, controller_port: int) -> list[str]:
    """What differs, one sentence each."""
    states = ovs.state_of([b.name for b in wanted])
    return [line for b in wanted for line in _bridge(b, states.get(b.name), run_id, datapath, controller_port)]


def _bridge(
    wanted: ovs.Bridge, state: ovs.BridgeState | None, run_id: str, datapath: str, controller_port: int
) -> list[str]:
    if state is None:
        return [f"bridge {wanted.name} is missing"]
    facts: list[tuple[str, Any, Any]] = [
        ("datapath id", f"{state.datapath_id:016x}", f"{wanted.datapath_id:016x}"),
        ("datapath", state.datapath, datapath),
        ("fail mode", state.fail_mode, "secure"),
        ("run", state.run, run_id),
        ("controllers", state.controllers, (f"tcp:127.0.0.1:{controller_port}",)),
    ]
    lines = [f"bridge {wanted.name}: {what}: found {is_}, wanted {want}" for what, is_, want in facts if is_ != want]
    for name, number in wanted.ports.items():
        port = state.ports.get(name)
        if port is None:
            lines.append(f"bridge {wanted.name}: port {name} is missing")
        elif port.error:
            lines.append(f"bridge {wanted.name}: port {name}: {port.error}")
        elif port.ofport != number or port.run != run_id:
            found, want = (port.ofport, port.run), (number, run_id)
            lines.append(f"bridge {wanted.name}: port {name}: found {found} as OpenFlow port and run, wanted {want}")
    return lines + [f"bridge {wanted.name}: unknown port {name}" for name in state.ports if name not in wanted.ports]


def flows(
    wanted: Sequence[ovs.Bridge], sites: Sequence[str], expected: Mapping[str, Mapping[str, int]], cookie: int
) -> list[str]:
    """expected: {site: {MAC: port}}; sites name the bridges in order. Flows that are not ours are named too."""
    lines = []
    for b, site in zip(wanted, sites, strict=True):
        try:
            found, strange = _flows(b.name, cookie)
        except ovs.CannotRun as error:
            lines.append(f"switch {site}: {error}")
            continue
        lines += [f"switch {site}: a flow of somebody else: {text}" for text in strange]
        for mac in sorted(expected[site].keys() | found.keys()):
            is_, want = found.get(mac), expected[site].get(mac)
            if is_ != want:
                lines.append(f"switch {site}: frames to {mac}: found output port {is_}, wanted {want}")
    return lines


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
    return ours, strange
