"""What the emulation adds to the nominal system, as named constants: measured on live runs, one meaning each.

Real seconds and wire bytes: they do not scale with a run, so in nominal terms a dilation divides the former and a
shrink multiplies the latter. `IDEAL` has none of it: the system of docs/mathematics.md itself.
How they were found: docs/twin.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How messages share a link (docs/twin.md), first in, first out by both. "pipelined": they flow over their hops packet
#: by packet, and into each other where they meet; "store": each hop waits for the whole message.
NetworkModel = Literal["pipelined", "store"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Real s unless said. frames: whether frame headers and packet headers are counted."""

    network: NetworkModel = "pipelined"
    frames: bool = True
    packet: float = 1514.0  # wire bytes of a full packet at layer 2
    segment: float = 1448.0  # of them, payload of TCP
    message_s: float = (
        0.0  # from a sender's decision to the receiver's, beside the network: two event loops, two stacks
    )
    local_s: float = 0.0  # the same between two services of one node
    service_s: float = 0.0  # by how much a service ends late: the event loop's timer
    dispatch_s: float = 0.0  # by how much a task is sent late
    boot_s: float = 0.0  # from the order to start until a container's program runs
    ready_s: float = 0.0  # from its being ready until the senders may hear of it
    stop_s: float = 0.0  # from "drained" until the container is gone
    poll_s: float = 0.0  # mean age of a condition when the one that waits for it looks
    rto_s: float = 0.2  # TCP: least time after which what was not acknowledged is sent again, beyond a round trip
    window: float = 0.0  # TCP: initial window in segments of a connection that begins; 0: no slow start
    handshake: bool = True  # a first request to an instance pays a round trip for its connection


#: No emulation: messages have no headers, programs and timers take no time, connections stand.
IDEAL = Calibration(frames=False, packet=0.0, rto_s=0.2, handshake=False)
#: As measured on the live world (docs/twin.md).
LIVE = Calibration(
    message_s=0.0010, local_s=0.0004, service_s=0.0005, dispatch_s=0.0002, boot_s=0.30, ready_s=0.015, stop_s=0.20,
    poll_s=0.005,
)  # fmt: skip
