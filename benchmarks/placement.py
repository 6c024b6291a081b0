"""Core placement: seconds and proven gap by size, beside the same program in PuLP and CBC.

`python -m benchmarks.placement [12x8 50x8 200x8 1000x5] [--seconds 60] [--runs 10]`. Instances: `benchmarks.instances`,
seeds 1, 2, …. Ours is `place` as the product calls it, tables and matrix included, no clock. Theirs is the
formulation of docs/mathematics.md without our strengthening, by `pulp.PULP_CBC_CMD`, with a limit in seconds.
Ratio: their objective by ours; above 1 ours is cheaper.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks.instances import instance
from controller.model import Model
from controller.placement import PlacementParameters, place
from controller.placement.program import build
from controller.placement.solver import Solved, solve

#: size → how many seeds: the small one often, the large ones once.
SIZES = {"12x8": 10, "50x8": 1, "200x8": 1, "1000x5": 1}


def plain(model: Model, parameters: PlacementParameters, seconds: float) -> tuple[Solved, float]:
    """What PuLP and CBC make of the plain program, and the seconds taken, building included."""
    begun = perf_counter()
    solved = solve(build(model, parameters).matrix(), "cbc", seconds=seconds)
    return solved, perf_counter() - begun


def row(size: str, seeds: int, seconds: float) -> tuple[str, ...]:
    """One line of the table: medians over the seeds."""
    nodes, services = (int(x) for x in size.split("x"))
    ours, gaps, theirs, ratios = [], [], [], []
    their_gaps = []
    for seed in range(1, seeds + 1):
        model, parameters = instance(nodes, services, seed)
        begun = perf_counter()
        placement = place(model, parameters)
        ours.append(perf_counter() - begun)
        gaps.append(placement.gap)
        if seconds > 0:
            solved, taken = plain(model, parameters, seconds)
            theirs.append(taken)
            their_gaps.append(solved.gap)
            ratios.append(solved.objective / placement.objective)
    median = statistics.median
    cells = (size.replace("x", " × "), str(seeds), f"{median(ours):.2f}", f"{max(ours):.2f}", f"{median(gaps):.2%}")
    if not theirs:
        return (*cells, "", "", "")
    return (*cells, f"{median(theirs):.2f}", f"{median(their_gaps):.2%}", f"{median(ratios):.4f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help=f"nodes x services (default {' '.join(SIZES)})")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of CBC; 0: without CBC (default 60)")
    parser.add_argument("--runs", type=int, help="seeds per size (default 10 for 12x8, else 1)")
    chosen = parser.parse_args(arguments)
    table = Table("nodes × services", "seeds", "s", "s max", "gap", "CBC s", "CBC gap", "CBC ÷ ours")
    for size in chosen.sizes:
        table.add_row(*row(size, chosen.runs or SIZES.get(size, 1), chosen.seconds))
    Console().print(table)


if __name__ == "__main__":
    main()
