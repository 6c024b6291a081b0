"""The two main figures: on-time rate against load, and against cost, with intervals over the runs.

`.venv/bin/python docs/examples/figures.py [FOLDER [SEEDS]]` from the repository's folder; in the twin, without root.
"""

import sys
from pathlib import Path

from testbed.api import Comparison, Scenario, compare


def study(folder: Path, seeds: int) -> Comparison:
    scenario = Scenario("scenarios/demo.yaml").changed({"run.duration": "20 s"})
    return compare(
        scenario, ["two_tier", "nearest"], seeds=seeds, world="twin", out=folder / "runs", sweep=("load", [1, 2])
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/figures")
    found = study(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    for name, svg in found.figures().items():
        (folder / name).write_text(svg + "\n", encoding="utf-8")
    for row in found.table().to_pylist():
        share, cost = 100 * row["on_time_mean"], row["cost_mean"]
        print(f"{row['policy']:10} load {row['value']}: {share:.1f} % at {cost:.1f} per slot")
