"""A network namespace in words: interfaces, addresses, routes, neighbours, queueing disciplines, classes, filters.

Two snapshots of the same namespace differ exactly where somebody changed it; what traffic changes (counters, learnt
neighbours) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from testbed.world.live.netlink import Channel, Link

Key = tuple[str, str]  # interface, what of it
Snapshot = Mapping[Key, str]


def take(channel: Channel, ours: Callable[[Link], bool], hosts_own: bool, settings: bool) -> Snapshot:
    """ours: which interfaces count. hosts_own: the host's namespace, whose addresses and routes are not our business.
    settings: also what disciplines and classes were told; without it, only that they are there."""
    links = {link.index: link for link in channel.links().values() if ours(link)}
    found = {(link.name, "interface"): _state(link) for link in links.values()}
    found.update(_traffic_control(channel, links, settings))
    if not hosts_own:
        names = {index: link.name for index, link in links.items()}
        found.update({(names[i], f"address {ip}"): "there" for i, ip in channel.addresses() if i in names})
        for to, (by, window, control) in channel.routes().items():
            found[names.get(by, ""), f"route to {to}"] = f"initial window {window}, congestion control {control}"
        found.update({("", f"neighbour {ip}"): mac for ip, mac in channel.neighbours().items()})
    return found


def changed(before: Snapshot, after: Snapshot) -> Iterator[tuple[Key, str | None, str | None]]:
    """(key, before, after) where they differ; None: not there."""
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def _state(link: Link) -> str:
    carrier = "up" if link.running else "up without carrier" if link.up else "down"
    return f"{carrier}, {link.mac}, MTU {link.mtu}"


def _traffic_control(channel: Channel, links: Mapping[int, Link], settings: bool) -> Iterator[tuple[Key, str]]:
    for index, q in channel.qdiscs():
        if index not in links:
            continue
        name = links[index].name
        yield (name, f"queueing discipline {_handle(q.handle)}"), f"{q.kind} {q.settings if settings else ''}".strip()
        if q.kind in ("ingress", "clsact"):
            yield (name, "filters on arrival"), str(channel.ingress_filters(index))
        if q.kind == "htb":
            for c in channel.classes(index):
                told = f"{c.kind} {c.settings if settings else ''}"
                yield (name, f"class {_handle(c.handle)}"), told.strip()


def _handle(number: int) -> str:
    return f"{number >> 16 & 0xFFFF:x}:{number & 0xFFFF or '':x}" if number & 0xFFFF else f"{number >> 16 & 0xFFFF:x}:"
