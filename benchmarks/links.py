"""What a link costs: processor time of the relay per 100 Mbit/s, how many links a core carries, and how late it gets.

Frames of full size cross relay links between two namespaces at their rate; the relay's own processor time over the
bits it delivered, and lateness of its departures. "Links per core" is what would fill one core at that price.
"""

from __future__ import annotations

import secrets

from testbed.errors import ShaketableError
from testbed.topology.model import Shape
from testbed.world.live import capabilities
from testbed.world.live.links.measure import measure
from testbed.world.live.links.scratch import Scratch, scratch

SECONDS = 4.0  # of saturation; the figures are per bit
DELAY = 0.005  # s
#: links at a time, bit/s of each
LOADS = ((1, 10e6), (1, 100e6), (5, 10e6), (10, 10e6), (20, 5e6))


def loaded(place: Scratch, count: int, rate: float) -> str:
    """One row: `count` relay links at `rate` at once."""
    with place.links("relay", 1, [Shape(rate, DELAY)] * count) as (backend, links):
        own = backend.lateness()["cpu_s"]
        measure([place.probe(i, rate) for i in range(count)], SECONDS, together=True)
        late = backend.lateness()
        flows = [backend.counters(k.name).ab for k in links]
    bits = 8 * sum(flow.bytes for flow in flows)
    price = (late["cpu_s"] - own) / bits * 1e8
    per_frame = (late["cpu_s"] - own) / sum(flow.packets for flow in flows)
    carried = f"{price:5.3f} CPU-s per 100 Mbit ({per_frame * 1e6:4.1f} µs a frame)"
    fill = f"{1e8 / price / rate:5.1f} such links fill a core"
    lateness = f"late p50 {late['p50'] * 1e3:.2f} p99 {late['p99'] * 1e3:.2f} ms"
    return f"relay {count:3} × {rate / 1e6:3.0f} Mbit/s   {carried}   {fill}   {lateness}"


def main() -> None:
    """Print the table, or why not."""
    features = capabilities.features()
    if not (features.get("tun") and features.get("htb")):
        print("not possible here: needs root, TAP devices and htb → sudo ./shaketable bench")
        return
    try:
        with scratch(f"bench-{secrets.token_hex(3)}") as place:
            for count, rate in LOADS:
                print(loaded(place, count, rate), flush=True)
    except ShaketableError as error:
        print(f"not possible here: {error}")


if __name__ == "__main__":
    main()
