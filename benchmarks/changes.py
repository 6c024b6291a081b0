"""What a change of a link's shape costs the traffic on it: numbered datagrams at 95 % of the rate, twenty changes."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import replace

from testbed.world.live.links.tap import inside
from testbed.world.live.names import address
from testbed.world.live.network import Network

CHANGES, EVERY_S, LOAD = 20, 0.2, 0.95
PAYLOAD, HEADERS = 1000, 42  # bytes; Ethernet, IP and UDP
PORT = 9000


def changes_under_load(network: Network, link: str) -> str:
    """One line: between n0 and n1, over this link. Rates go up and down by 4 % above the configured one."""
    made = network.topology.link(link)
    socks = []
    for node in ("n0", "n1"):
        with inside(network.namespaces[node]):
            socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender, receiver = socks
    receiver.bind((address(1), PORT))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    receiver.settimeout(1.0)
    got: set[int] = set()
    ends_at = time.monotonic() + EVERY_S * (CHANGES + 2)
    listening = threading.Thread(target=_receive, args=(receiver, got))
    listening.start()
    sent: list[int] = []
    sending = threading.Thread(target=_send, args=(sender, made.ab.rate * LOAD, ends_at, sent))
    sending.start()
    took = []
    for i in range(CHANGES):
        time.sleep(EVERY_S)
        shape = replace(made.ab, rate=made.ab.rate * (1.04 if i % 2 == 0 else 1.0))
        begun = time.monotonic()
        network.backend(link).change(link, "both", shape)
        took.append(time.monotonic() - begun)
    sending.join()
    listening.join()
    for s in socks:
        s.close()
    took.sort()
    kind = network.backends_by_link()[link]
    return (
        f"{CHANGES} changes of both directions of a {kind} link at {LOAD:.0%} load: {sent[0] - len(got)} of {sent[0]} "
        f"datagrams lost; a change takes {took[len(took) // 2] * 1e3:.1f} ms p50, {took[-1] * 1e3:.1f} ms at most"
    )


def _send(door: socket.socket, rate: float, until: float, sent: list[int]) -> None:
    gap, count, due = 8 * (PAYLOAD + HEADERS) / rate, 0, time.monotonic()
    filler = bytes(PAYLOAD - 4)
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        door.sendto(struct.pack("!I", count) + filler, (address(1), PORT))
        count, due = count + 1, due + gap
    sent.append(count)


def _receive(door: socket.socket, got: set[int]) -> None:
    """Until nothing came for a second."""
    while True:
        try:
            got.add(struct.unpack("!I", door.recv(2048)[:4])[0])
        except TimeoutError:
            return
