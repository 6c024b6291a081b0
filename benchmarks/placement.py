"""Core placement by both solvers: size, seconds, gap. `python -m benchmarks.placement [--seconds 60]`.

The instance is the reference scenario widened: 4 nodes and 20 tasks/s per cluster, five core services. A run ends at
the optimum or at the limit, whichever is first; the objective is given as a ratio to the best bound of any solver.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter

from rich.console import Console
from rich.table import Table

from controller.decision import Placement
from controller.model import Model
from controller.placement import LimitReached, place
from controller.placement.solver import BACKENDS
from tests.controller.instances import e12, small


def measure(model: Model, backend: str, seconds: float) -> tuple[Placement | None, float]:
    """The placement (None when the limit came first) and the seconds it took, building the program included."""
    begun = perf_counter()
    try:
        placement = place(model, backend=backend, nodes=None, seconds=seconds)
    except LimitReached:
        placement = None
    return placement, perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one solve (default 60)")
    parser.add_argument("--clusters", type=int, nargs="*", default=[3, 6, 12], help="sizes (default 3 6 12)")
    chosen = parser.parse_args(arguments)
    table = Table("nodes × services", "solver", "status", "seconds", "gap", "objective ÷ best bound")
    for model in (small(), *(e12(1, clusters) for clusters in chosen.clusters)):
        rows = {backend: measure(model, backend, chosen.seconds) for backend in BACKENDS}
        bound = max((p.bound for p, _ in rows.values() if p), default=float("nan"))
        for backend, (placement, seconds) in rows.items():
            size = f"{len(model.nodes)} × {len(model.core)}"
            if placement is None:
                table.add_row(size, backend, "none found", f"{seconds:.2f}", "", "")
            else:
                ratio = f"{placement.objective / bound:.4f}"
                table.add_row(size, backend, placement.status, f"{seconds:.2f}", f"{placement.gap:.2%}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
