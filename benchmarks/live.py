"""How fast the demo's edge comes up and goes away, against the same containers started one by one.

The comparison is `docker run` in a loop for as many idle containers of the same image, without any network: what a
script around the Docker command line does, and less than a working edge. Bounded: one build of each, then removed.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from testbed.errors import ShaketableError
from testbed.record.tables import Names
from testbed.run.execute import bed_of, run_id_of
from testbed.run.prepare import prepare
from testbed.world.live import capabilities, engine, images
from testbed.world.live.links.mahimahi import bins
from testbed.world.live.names import LABEL
from testbed.world.live.world import LiveWorld

ROOT = Path(__file__).resolve().parents[1]


def one_by_one(image: str, count: int, run_id: str) -> tuple[float, float]:
    """(start, stop) seconds of `count` containers, each with its own command; removed by their ids."""
    ids = []
    before = time.perf_counter()
    for _ in range(count):
        words = ["docker", "run", "-d", "--network", "none", "--label", f"{LABEL}={run_id}", image]
        ids.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip())
    started = time.perf_counter() - before
    before = time.perf_counter()
    for name in ids:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)
    return started, time.perf_counter() - before


def main() -> None:
    """Print the table, or why not."""
    if missing := capabilities.problems(capabilities.probe()):
        print(f"not possible here: {missing[0].what}: {missing[0].why} → {missing[0].mend}")
        return
    p = prepare(ROOT / "scenarios" / "demo.yaml", [], "live")
    image = images.ensure(engine.connect())
    run_id = run_id_of(p)
    world = LiveWorld(run_id, lambda text: None)
    before = time.perf_counter()
    try:
        world.up(bed_of(p, run_id, lambda f: bins(f, 0.1), Names.of(p.resolved.model)))
        up = time.perf_counter() - before
        count = len(engine.connect().containers.list(filters={"label": f"{LABEL}={run_id}"}))
    except ShaketableError as error:
        print(f"not possible here: {error}")
        return
    finally:
        before = time.perf_counter()
        world.down()
        down = time.perf_counter() - before
    start, stop = one_by_one(image, count, run_id)
    print(f"demo's edge, {count} containers, 15 links verified and measured: up {up:.1f} s, down {down:.1f} s")
    print(f"`docker run` one by one, {count} idle containers, no network:   up {start:.1f} s, down {stop:.1f} s")
    print(f"ratio: up {up / start:.2f}, down {down / stop:.2f}")


if __name__ == "__main__":
    main()
