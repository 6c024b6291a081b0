"""The twin against the live world: three scenarios, undisturbed, with a trunk cut, with a node crash; one seed each.

`sudo ./shaketable bench agreement [--shift N] [--keep DIR] [--write docs/results.md]`, about 25 minutes of live runs.
--shift adds N to every seed: take one that nobody has looked at. Live runs in DIR are not made again, twin runs are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.tables import between
from testbed.campaign import agree
from testbed.cli.progress import Progress

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- agreement: begin -->", "<!-- agreement: end -->"
#: Scenario, disturbance → seed. Each was first run after the twin's constants were fixed.
SEEDS = {
    ("demo", "undisturbed"): 61,
    ("demo", "trunk cut"): 62,
    ("demo", "node crash"): 63,
    ("abilene", "undisturbed"): 44,
    ("abilene", "trunk cut"): 54,
    ("abilene", "node crash"): 55,
    ("e12", "undisturbed"): 51,
    ("e12", "trunk cut"): 52,
    ("e12", "node crash"): 53,
}
DISTURBED = {
    "undisturbed": "faults=[]",
    "trunk cut": "faults=[{name: cut, kind: link_down, target: any trunk, at: 20 s, for: 10 s}]",
    "node crash": "faults=[{name: crash, kind: node_crash, target: busiest node, at: 20 s, for: 10 s}]",
}
HEAD = (
    "| | seed | on time, live / twin | difference | largest of median latency, by type | largest of p95 "
    "| dip, live / twin | over after | bounds met |\n|---|---|---|---|---|---|---|---|---|"
)


def found(scenario: str, disturbance: str, seed: int, keep: Path) -> dict[str, Any]:
    """What agreement.json holds of one row; live once, the twin each time."""
    file, sets = ROOT / "scenarios" / f"{scenario}.yaml", [f"run.seed={seed}", DISTURBED[disturbance]]
    out = keep / f"{scenario}-{disturbance.replace(' ', '-')}-s{seed}"
    progress = Progress(Console(stderr=True, highlight=False, markup=False, soft_wrap=True))
    made = agree.make_runs(file, sets, agree.plan_of(file, sets, 1), out, [], progress)
    (pairs,) = agree.pairs_of(agree.runs_in(made))
    return agree.agreement(pairs)


def row(scenario: str, disturbance: str, result: dict[str, Any]) -> str:
    """One line of the table; differences are twin − live."""
    by = {(d["measure"], d["of"]): d for d in result["differences"]}
    rate = by["on-time rate", ""]
    dip, over = (
        next((d for (m, _), d in by.items() if m == measure), None) for measure in ("dip depth", "recovery time")
    )
    return (
        f"| {scenario}, {disturbance} | {result['seeds'][0]} | {rate['live']:.1%} / {rate['twin']:.1%} ".replace(
            "%", " %"
        )
        + f"| {rate['difference']:+.1f} points | {_largest(by, 'median latency')} | {_largest(by, 'p95 latency')} "
        + (f"| {dip['live'] * 100:.1f} / {dip['twin'] * 100:.1f} points " if dip else "| – ")
        + (f"| {_s(over['live'])} / {_s(over['twin'])} " if over else "| – ")
        + f"| {'yes' if result['verdict'] == 'pass' else result['verdict'].upper()} |"
    )


def _largest(by: dict[tuple[str, str], Any], measure: str) -> str:
    worst = max((d for (m, _), d in by.items() if m == measure), key=lambda d: abs(d["difference"]))
    return f"{worst['difference']:+.1f} % ({worst['of']})"


def _s(seconds: float | None) -> str:
    return "not" if seconds is None else f"{seconds:.1f} s"


def main(argv: Sequence[str] = ()) -> None:
    """Make what is missing, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(prog="bench agreement", description=__doc__)
    parser.add_argument("--shift", type=int, default=0, help="added to every seed (0)")
    parser.add_argument("--keep", type=Path, default=Path("results/agreement"), help="folder of the runs")
    parser.add_argument("--write", type=Path, help="document with the two marks")
    asked = parser.parse_args(list(argv))
    rows = [
        row(scenario, disturbance, found(scenario, disturbance, seed + asked.shift, asked.keep))
        for (scenario, disturbance), seed in SEEDS.items()
    ]
    table = "\n".join([HEAD, *rows])
    print(table)
    if asked.write:
        between(asked.write, BEGIN, END, table)


if __name__ == "__main__":
    main(sys.argv[1:])
