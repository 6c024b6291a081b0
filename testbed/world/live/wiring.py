"""Addresses, neighbours, routes and settings inside the pods' namespaces: written by one shell per pod, and read back.

A host has one interface with a /16 address; its neighbours are static (nobody asks by ARP, so a switch needs no
flood), there is no default route and no IPv6. Its one route starts connections with a large window, and connections
keep their window when idle: without both, a payload sent now and then pays TCP's slow start every time, which no scale
of rates and delays scales along.
Everything is written by `replace`, so wiring a host again is harmless and mends what somebody removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from testbed.world.live.links import kernel
from testbed.world.live.names import address, mac

NETWORK, PREFIX = "10.77.0.0/16", 16
WINDOW = 60  # segments; initial congestion and receive window of every connection
THREADS = 2  # namespaces at a time: the calls are mostly fork and exec
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
    with ThreadPoolExecutor(THREADS) as pool:
        # -e: the first failure ends the script; ip -batch then names the line
        list(pool.map(lambda w: kernel.run(["sh", "-e"], w.netns, _script(w, everybody)), hosts))


def check(hosts: Sequence[Wire]) -> list[str]:
    """What differs, read back from the kernel: one sentence each, empty when all is as written."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [line for lines in pool.map(lambda w: _differences(w, hosts), hosts) for line in lines]


def _script(w: Wire, everybody: Iterable[Wire]) -> str:
    settings = [f"if [ -e /proc/sys/{key} ]; then echo {value} >/proc/sys/{key}; fi" for key, value in SYSCTLS.items()]
    batch = [
        "link set dev lo up",
        f"link set dev {w.interface} address {w.mac}",
        f"link set dev {w.interface} up",
        f"address replace {w.ip}/{PREFIX} dev {w.interface}",
        f"route replace {NETWORK} dev {w.interface} proto kernel scope link src {w.ip} "
        f"initcwnd {WINDOW} initrwnd {WINDOW}",
        *(f"neigh replace {o.ip} lladdr {o.mac} dev {w.interface} nud permanent" for o in everybody if o is not w),
    ]
    return "\n".join([*settings, "ip -batch - <<E", *batch, "E", ""])


def _differences(w: Wire, everybody: Sequence[Wire]) -> list[str]:
    found = _read(w)
    link = next((k for k in found["link"] if k.get("ifname") == w.interface), None)
    if link is None:
        return [f"host {w.host}: interface {w.interface} is missing"]
    ips = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]]
    routes = {r["dst"]: (r.get("dev"), str(r.get("metrics", [{}])[0].get("initcwnd", ""))) for r in found["route"]}
    neighbours = {n["dst"]: n["lladdr"] for n in found["neigh"] if "PERMANENT" in n["state"]}
    wanted = {o.ip: o.mac for o in everybody if o.host != w.host}
    facts: list[tuple[str, Any, Any]] = [
        ("MAC address", link["address"], w.mac),
        ("addresses", ips, [f"{w.ip}/{PREFIX}"]),
        ("routes (device, initial window)", routes, {NETWORK: (w.interface, str(WINDOW))}),
        ("settings", found["settings"], SYSCTLS),
        *(("neighbour " + ip, neighbours.get(ip), wanted.get(ip)) for ip in sorted(wanted.keys() | neighbours.keys())),
    ]
    if "UP" not in link["flags"]:
        facts.append(("interface", "down", "up"))
    return [f"host {w.host}: {what}: found {is_}, wanted {want}" for what, is_, want in facts if is_ != want]


def _read(w: Wire) -> Mapping[str, Any]:
    present = " ".join(SYSCTLS)
    script = (
        "ip -j address show; echo; ip -j neigh show; echo; ip -j route show; echo\n"
        f'for k in {present}; do if [ -e /proc/sys/$k ]; then read v </proc/sys/$k; echo "$k $v"; fi; done\n'
    )
    lines = [line for line in kernel.run(["sh"], w.netns, script).splitlines() if line]
    tables = [line for line in lines if line[0] == "["]
    settings = dict(line.split() for line in lines if line[0] != "[")
    # A kernel without IPv6 has no such files, and nothing to switch off.
    settings = {
        key: settings.get(key, value) if "ipv6" in key else settings.get(key, "") for key, value in SYSCTLS.items()
    }
    return dict(zip(("link", "neigh", "route"), map(json.loads, tables), strict=True)) | {"settings": settings}
