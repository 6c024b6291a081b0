"""The twin beside SimPy and Ciw, its growth with nodes and tasks, and its speed on the reference scenario.

`./shaketable bench twin [--customers N] [--million] [--figure docs/twin-growth.svg]`. Each figure is taken in a process
of its own, so that memory is that process's. Targets: ten times SimPy's and Ciw's tasks per second; the reference
scenario 200 times faster than real; 1,000 nodes and 1,000,000 tasks in 120 s and 2 GB (--million). Speeds are per
second of CPU, of which a run has one thread: what else the machine does is then mostly left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.growth_figure import figure

ROOT = Path(__file__).resolve().parents[1]
#: (groups of four nodes, tasks) of the two ladders: more nodes for as many tasks, more tasks on as many nodes.
NODES = ((3, 10_000), (12, 10_000), (50, 10_000), (250, 10_000))
TASKS = ((3, 1_000), (3, 3_000), (3, 10_000), (3, 30_000), (3, 100_000))
MILLION = (250, 1_000_000)
REFERENCE = (3, 3_000)
MB = 1e6


def child(module: str, *words: object, **variables: str) -> dict[str, Any]:
    """What `python -m benchmarks.<module>` prints, on one core, from this folder. variables: of its environment."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def beside(customers: int) -> None:
    """The same tandem in three simulators; ratios to the twin."""
    rows = {name: child("tandem", name, customers) for name in ("twin", "simpy", "ciw")}
    ours = rows["twin"]
    table = Table("simulator", "customers per CPU s", "twin is", "peak MB", "of them for the run", "mean waits, s",
                  title=f"three M/M/4 in tandem at 0.8, {customers:,} customers")  # fmt: skip
    for name, r in rows.items():
        waits = ", ".join(f"{r[f'wait{k}']:.4f}" for k in range(3))
        ratio = "" if name == "twin" else f"{ours['rate'] / r['rate']:.1f} × faster"
        table.add_row(
            name, f"{r['rate']:,.0f}", ratio, f"{r['peak_bytes'] / MB:.0f}", f"{r['more_bytes'] / MB:.0f}", waits
        )
    Console().print(table)
    with TemporaryDirectory(prefix="twin-kernel-") as cache:
        compiled = child("tandem", "twin", 100, XDG_CACHE_HOME=cache)["first"]
    print(
        f"the twin's kernel: {compiled:.1f} s of CPU to compile it, once; {ours['first']:.1f} s to load it after that"
    )


def ladder(steps: Sequence[tuple[int, int]], title: str) -> list[dict[str, Any]]:
    table = Table(
        "nodes", "tasks", "CPU s", "clock s", "tasks per CPU s", "× real time", "peak MB", "on time", title=title
    )
    rows = []
    for groups, tasks in steps:
        r = child("grown", groups, tasks)
        rows.append(r)
        table.add_row(
            f"{r['nodes']:,}", f"{r['tasks']:,}", f"{r['seconds']:.2f}", f"{r['wall']:.2f}",
            f"{r['tasks'] / r['seconds']:,.0f}", f"{r['nominal'] / r['seconds']:.0f}",
            f"{r['peak_bytes'] / MB:.0f}", f"{r['on_time'] / r['tasks']:.1%}",
        )  # fmt: skip
    Console().print(table)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; write the figure where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000, help="of the tandem (default 100,000)")
    parser.add_argument("--million", action="store_true", help="also 1,000 nodes and 1,000,000 tasks")
    parser.add_argument("--figure", type=Path, help="write the growth as SVG to this file")
    chosen = parser.parse_args(arguments)
    beside(chosen.customers)
    policy = child("reference")
    print(
        f"reference scenario at 1×, two_tier, {policy['tasks']:,} tasks: {policy['seconds']:.2f} s of CPU "
        f"({policy['wall']:.2f} s on the clock) for {policy['nominal']:.0f} s, "
        f"{policy['nominal'] / policy['seconds']:.0f} × real time "
        f"(placement, {policy['placement']:.2f} s, apart; of the rest {policy['world']:.2f} s in the world)"
    )
    nodes = ladder(NODES, "more nodes, as many tasks (nobody decides)")
    tasks = ladder(TASKS, "more tasks, as many nodes (nobody decides)")
    if chosen.million:
        ladder([MILLION], "target: 120 s, 2,000 MB")
    if chosen.figure:
        chosen.figure.write_text(figure(nodes, tasks), encoding="utf-8")
        print(f"figure: {chosen.figure}")


if __name__ == "__main__":
    main()
