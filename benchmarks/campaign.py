"""How well a campaign uses two workers: the same twin runs on one and on two, wall time against wall time.

    efficiency = T1 / (2 T2)

T is the command from its start to its end: starting the workers, sending, writing every run's folder, the table and the
page are all in it. With two cores the client's own work has no core of its own in T2, and is in it, too. The tables of
both are compared byte by byte.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from testbed.campaign.campaign_file import SCENARIOS

LOAD = SCENARIOS / "campaigns" / "load.yaml"


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench campaign", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="at least so many, by more seeds of load.yaml (1000)")
    a = parser.parse_args(words)
    campaign = yaml.safe_load(LOAD.read_text())
    each = len(campaign["grid"]["load"]) * len(campaign["policies"])
    campaign["seeds"]["count"] = math.ceil(a.runs / each)
    runs = each * campaign["seeds"]["count"]
    with tempfile.TemporaryDirectory(prefix="shaketable-bench-") as name:
        file = Path(name) / "load.yaml"
        file.write_text(yaml.safe_dump(campaign))
        warm(Path(name) / "warm")
        taken = {n: timed(file, Path(name) / f"on{n}", n) for n in (2, 1)}
        tables = {n: (Path(name) / f"on{n}" / "results.parquet").read_bytes() for n in taken}
    print(f"{runs} twin runs of {LOAD.name} ({each} settings, {campaign['seeds']['count']} seeds)\n")
    print("| workers | wall | runs/s | processor, all processes |\n| --- | --- | --- | --- |")
    for n in sorted(taken):
        wall, cpu = taken[n]
        print(f"| {n} | {wall:.1f} s | {runs / wall:.2f} | {cpu:.1f} s |")
    print(f"\nparallel efficiency on 2 workers: {taken[1][0] / (2 * taken[2][0]):.1%}")
    print(f"the two tables are {'the same, byte for byte' if tables[1] == tables[2] else 'DIFFERENT'}")
    if tables[1] != tables[2]:
        raise SystemExit(1)


def warm(out: Path) -> None:
    """Have the twin's kernel compiled, once for all."""
    words = [sys.executable, "-m", "testbed.cli", "run", str(SCENARIOS / "demo.yaml"), "--in", "twin"]
    subprocess.run([*words, "--out", str(out)], capture_output=True, check=True)


def timed(file: Path, out: Path, workers: int) -> tuple[float, float]:
    """(wall, processor time of all its processes), s."""
    words = [sys.executable, "-m", "testbed.cli", "campaign", str(file), "--workers", str(workers), "--out", str(out)]
    used, begun = _children(), time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return time.monotonic() - begun, _children() - used


def _children() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
