"""Addresses, neighbours, routes and settings inside the pods' namespaces: one `ip -batch` per pod, and read back.

A host has one interface with a /16 address; its neighbours are static (nobody asks by ARP, so a switch needs no
flood), there is no default route and no IPv6. Its one route starts connections with a large window, and connections
keep their window when idle: without both, a payload sent now and then pays TCP's slow start every time, which no scale
of rates and delays scales along. The congestion control is CUBIC, whatever the machine's own is: BBR, which paces,
shares a link otherwise, and a run must not depend on the host's default.
Everything is written by `replace`, so wiring a host again is harmless and mends what somebody removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.world.live.links import kernel
from testbed.world.live.links.tap import inside
from testbed.world.live.names import address, mac
from testbed.world.live.netlink import Channel

NETWORK, PREFIX = "10.77.0.0/16", 16
WINDOW = 60  # segments; initial congestion and receive window of every connection
CONGESTION = "cubic"  # every kernel has it
SYSCTLS = {
    "net/ipv4/tcp_slow_start_after_idle": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}
LONGEST_NAME = 15  # bytes of a Linux interface name


@dataclass(frozen=True, slots=True)
class Wire:
    """A host as it is to be wired. index: its place among nodes, then ingresses (names.address, names.mac)."""

    host: str
    index: int
    netns: str
    interface: str

    @property
    def ip(self) -> str:
        return address(self.index)

    @property
    def mac(self) -> str:
        return mac(self.index)


def interface_of(host: str) -> str:
    """Name of a host's interface inside its namespace: Mininet's "n1-eth0", or "eth0" where that is too long."""
    name = f"{host}-eth0"
    return name if len(name.encode()) <= LONGEST_NAME else "eth0"


def wire(hosts: Sequence[Wire], among: Sequence[Wire] | None = None) -> None:
    """Configure these hosts; among: all hosts of the network (default: these), each gets to know the others."""
    everybody = hosts if among is None else among
    kernel.each(lambda w: _wire(w, everybody), hosts)


def check(hosts: Sequence[Wire]) -> list[str]:
    """What differs, read back from the kernel: one sentence each, empty when all is as written."""
    return [line for w in hosts for line in _differences(w, hosts)]


def _wire(w: Wire, everybody: Iterable[Wire]) -> None:
    with inside(w.netns):
        for key, value in SYSCTLS.items():
            with suppress(FileNotFoundError):  # a kernel without IPv6 has nothing to switch off
                Path("/proc/sys", key).write_text(value)
    batch = [
        "link set dev lo up",
        f"link set dev {w.interface} address {w.mac}",
        f"link set dev {w.interface} up",
        f"address replace {w.ip}/{PREFIX} dev {w.interface}",
        f"route replace {NETWORK} dev {w.interface} proto kernel scope link src {w.ip} "
        f"initcwnd {WINDOW} initrwnd {WINDOW} congctl {CONGESTION}",
        *(f"neigh replace {o.ip} lladdr {o.mac} dev {w.interface} nud permanent" for o in everybody if o is not w),
    ]
    kernel.run(["ip", "-batch", "-"], w.netns, "\n".join(batch) + "\n")


def _differences(w: Wire, everybody: Sequence[Wire]) -> list[str]:
    with Channel(w.netns) as channel:
        link = channel.links().get(w.interface)
        if link is None:
            return [f"host {w.host}: interface {w.interface} is missing"]
        ips = [ip for index, ip in channel.addresses() if index == link.index]
        routes = {to: (w.interface if by == link.index else by, *rest) for to, (by, *rest) in channel.routes().items()}
        neighbours = channel.neighbours()
    wanted = {o.ip: o.mac for o in everybody if o.host != w.host}
    facts: list[tuple[str, Any, Any]] = [
        ("MAC address", link.mac, w.mac),
        ("addresses", ips, [f"{w.ip}/{PREFIX}"]),
        ("routes (device, initial window, congestion control)", routes, {NETWORK: (w.interface, WINDOW, CONGESTION)}),
        ("settings", _settings(w.netns), SYSCTLS),
        *(("neighbour " + ip, neighbours.get(ip), wanted.get(ip)) for ip in sorted(wanted.keys() | neighbours.keys())),
    ]
    if not link.up:
        facts.append(("interface", "down", "up"))
    return [f"host {w.host}: {what}: found {is_}, wanted {want}" for what, is_, want in facts if is_ != want]


def _settings(netns: str) -> dict[str, str]:
    """SYSCTLS as they are; a kernel without IPv6 has no such files, and nothing to switch off."""
    found = {}
    with inside(netns):
        for key, value in SYSCTLS.items():
            file = Path("/proc/sys", key)
            found[key] = file.read_text().strip() if "ipv6" not in key or file.exists() else value
    return found
