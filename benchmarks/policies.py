"""Every policy on the reference scenario in the twin: constant and moving load, faults, each node lost, waiting.

`.venv/bin/python -m benchmarks.policies [--seeds N] [--workers N] [--keep DIR] [--write docs/results.md]`. Seeds are 1
to N (10); those that parameters were tuned on (101 to 120) are never among them. Runs that lie whole in --keep are not
made again. --write puts the tables between the two marks of that file. Intervals are 95 % over seeds, two-sided.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import between
from controller import policies
from testbed.campaign.grid import Job, check, run_all, summary_of
from testbed.verdict.cells import Cell
from testbed.verdict.intervals import Sample

ROOT = Path(__file__).resolve().parents[1]
SCENARIO = ROOT / "scenarios" / "e12.yaml"
GATEWAYS = ("gw1", "gw2", "gw3")
TRUNKS = ("s1--s2", "s1--s3", "s2--s3")
NODES = tuple(f"n{k}" for k in range(1, 13))
TASKS = ("vqa", "speech", "ar", "rag")
BEGIN, END = "<!-- policies: begin -->", "<!-- policies: end -->"
#: The rivals that have to be beaten under moving load, and the share of their cost that may be spent on it.
TO_BEAT, COST_SHARE = ("reactive_fast", "static_peak"), 0.95

Summary = Mapping[str, Any]
Sets = tuple[str, ...]


def fault(kind: str, target: str, at: float, length: float, **parameters: object) -> dict[str, object]:
    found: dict[str, object] = {"kind": kind, "target": target, "at": f"{at} s", "for": f"{length} s"}
    return found | ({"with": parameters} if parameters else {})


def faults(*rows: dict[str, object]) -> str:
    return f"faults={json.dumps(rows)}"


#: 1× until 14 s, rising to 3× until 26 s, 3× until 36 s, 1× again: on top of the scenario's own bursts.
MOVING = faults(
    *(fault("load_ramp", g, 14, 12, to=3.0) for g in GATEWAYS),
    *(fault("load_spike", g, 26, 10, factor=3.0) for g in GATEWAYS),
)
LOADS: dict[str, Sets] = {**{f"{k:g}×": (f"load={k}",) for k in (1.0, 1.5, 2.0, 2.5, 3.0)}, "1→3→1×": (MOVING,)}
#: What disturbs a run at 1.5× from 20 to 40 s; {node} and {trunk}: the most loaded ones of that seed without a fault.
FAULTS: dict[str, Callable[[str, str], Sets]] = {
    "most loaded node crashes": lambda node, _: ("load=1.5", faults(fault("node_crash", node, 20, 20))),
    "most loaded trunk is cut": lambda _, trunk: ("load=1.5", faults(fault("link_down", trunk, 20, 20))),
    "trunks at 30 %": lambda *_: (
        "load=1.5",
        faults(*(fault("bandwidth_drop", k, 20, 20, keep=0.3) for k in TRUNKS)),
    ),
    "1→3× for 20 s": lambda *_: (faults(*(fault("load_spike", g, 20, 20, factor=3.0) for g in GATEWAYS)),),
}
TIGHT: Sets = tuple(f"tasks.{n}.epsilon=0.05" for n in TASKS)


@dataclass
class Runs:
    """Makes runs in `folder`, or finds them there; summaries by (policy, sets, seed)."""

    folder: Path
    seeds: range
    workers: int

    def make(self, wanted: Sequence[tuple[str, Sets, int]]) -> dict[tuple[str, Sets, int], Summary]:
        """policy, settings and seed of each → its summary; what could not run is left out and said."""
        jobs = {}
        for policy, sets, seed in dict.fromkeys(wanted):
            cell = Cell((f"policy.name={policy}", *sets), seed)
            jobs[policy, sets, seed] = Job(SCENARIO, cell, "twin", self.folder / cell.name)
        check(list(jobs.values()))
        failed = [o for o in run_all(list(jobs.values()), self.workers, _progress) if o.error]
        for outcome in failed:
            print(f"{outcome.job.cell.name}: {outcome.error}", file=sys.stderr)
        found = {key: summary_of(job.folder) for key, job in jobs.items()}
        return {key: s for key, s in found.items() if s is not None}


def _progress(ended: int, total: int, text: str, part: float = 0.0) -> None:
    if text.endswith("done") and (ended % 50 == 0 or ended == total):
        print(f"{ended} of {total}", file=sys.stderr, flush=True)


def interval(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Mean and half the width of its two-sided 95 % interval."""
    s = Sample.of([scale * v for v in values])
    if len(values) < 2 or max(values) == min(values):
        return f"{s.mean:.{digits}f}"
    half = max(s.mean - s.lower(0.975), s.upper(0.975) - s.mean)
    return f"{s.mean:.{digits}f} ± {half:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(r)} |" for r in (head, ["---"] * len(head), *rows)])


def by_load(runs: Runs) -> str:
    """On-time rate, cost and share of the fluid bound, policies × loads; then the goal under moving load."""
    names = policies.names()
    found = runs.make([(n, sets, k) for n in names for sets in LOADS.values() for k in runs.seeds])

    def all_of(name: str, sets: Sets, value: Callable[[Summary], float | None]) -> list[float]:
        got = [value(found[name, sets, k]) for k in runs.seeds if (name, sets, k) in found]
        return [x for x in got if x is not None]

    def cells(value: Callable[[Summary], float | None], scale: float) -> list[list[str]]:
        rows = {n: [all_of(n, sets, value) for sets in LOADS.values()] for n in names}
        return [[f"`{n}`", *(interval(x, scale) if x else "–" for x in row)] for n, row in rows.items()]

    head = ["policy", *LOADS]
    text = "On time, %:\n\n" + table(head, cells(on_time, 100.0))
    text += "\n\nCost per slot:\n\n" + table(head, cells(cost, 1.0))
    text += "\n\nShare of the fluid bound on the policy's own core placement, %:\n\n" + table(
        head, cells(of_bound, 100.0)
    )
    return text + "\n\n" + _goal(found, runs.seeds)


def on_time(s: Summary) -> float:
    return float(s["on_time_rate"])


def cost(s: Summary) -> float:
    return float(s["cost"]["total_per_slot"])


def of_bound(s: Summary) -> float | None:
    return s["on_time_rate"] / s["fluid_bound"] if s.get("fluid_bound") else None


def _goal(found: Mapping[tuple[str, Sets, int], Summary], seeds: range) -> str:
    """`two_tier` against those to beat, paired by seed."""
    rows = []
    for label in ("2×", "1→3→1×"):
        for rival in TO_BEAT:
            pairs = [(found["two_tier", LOADS[label], k], found[rival, LOADS[label], k]) for k in seeds]
            gain = [on_time(a) - on_time(b) for a, b in pairs]
            ratio = [cost(a) / cost(b) for a, b in pairs]
            met = sum(gain) >= 0.0 and sum(ratio) / len(ratio) <= COST_SHARE
            rows.append(
                [f"`{rival}`, {label}", interval(gain, 100.0, 2), interval(ratio, 100.0), "yes" if met else "no"]
            )
    head = [
        "`two_tier` against",
        "on time, points more",
        "cost, % of theirs",
        f"not worse at ≤ {100 * COST_SHARE:.0f} %",
    ]
    return "Paired by seed:\n\n" + table(head, rows)


def under_faults(runs: Runs) -> str:
    """On-time rate over the whole window, policies × faults."""
    plain: Sets = ("load=1.5",)
    first = runs.make([("two_tier", plain, k) for k in runs.seeds])
    hit = {}
    for k in runs.seeds:
        busy = first["two_tier", plain, k]["utilisation"]
        hit[k] = max(busy["nodes"], key=busy["nodes"].get), max(TRUNKS, key=busy["links"].__getitem__)
    names = policies.names()
    found = runs.make([(n, make(*hit[k]), k) for n in names for make in FAULTS.values() for k in runs.seeds])
    rows = []
    for n in names:
        rates = [
            [on_time(found[n, make(*hit[k]), k]) for k in runs.seeds if (n, make(*hit[k]), k) in found]
            for make in FAULTS.values()
        ]
        rows.append([f"`{n}`", *(interval(x, 100.0) if x else "–" for x in rates)])
    return "On time, %, from 20 to 40 s of a run at 1.5× (the last one at 1×):\n\n" + table(["policy", *FAULTS], rows)


def each_node(runs: Runs) -> str:
    """Every single node lost at 2×: the worst seed of each, σ as it is (survivors carry the nominal load) and 2."""
    return "\n\n".join(_each_node(runs, sigma) for sigma in (1, 2))


def _each_node(runs: Runs, sigma: int) -> str:
    planned: Sets = ("policy.parameters.sigma=2",) if sigma == 2 else ()
    sets = {v: ("load=2.0", faults(fault("node_crash", v, 20, 30)), *planned) for v in NODES}
    found = runs.make([("two_tier", s, k) for s in sets.values() for k in runs.seeds])
    rows = []
    for v, s in sets.items():
        rates = {k: on_time(found["two_tier", s, k]) for k in runs.seeds if ("two_tier", s, k) in found}
        worst = min(rates, key=rates.__getitem__)
        rows.append([v, interval(list(rates.values()), 100.0), f"{100 * rates[worst]:.1f} (seed {worst})",
                     f"{sum(r >= 0.84 for r in rates.values())} of {len(rates)}"])  # fmt: skip
    spent = interval([cost(s) for s in found.values()])
    head = f"`two_tier` at 2×, one node dead from 20 s to the end, σ = {sigma} (cost {spent}), on time in %:"
    return f"{head}\n\n" + table(["node", "mean", "worst seed", "seeds at 84 % or more"], rows)


def waiting(runs: Runs) -> str:
    """Waits beyond their budget at ε = 0.05, by service: pooled over seeds, and the worst seed."""
    sets: Sets = ("load=2.0", *TIGHT)
    found = runs.make([("two_tier", sets, k) for k in runs.seeds])
    services: dict[str, list[tuple[float, int]]] = {}
    for s in found.values():
        for m, w in s["waiting"].items():
            if w["violation_rate"] is not None:
                services.setdefault(m, []).append((w["violation_rate"], w["n"]))
    rows = []
    for m, seen in sorted(services.items()):
        excess = max(r - 0.05 - 2.0 * (0.05 * 0.95 / n) ** 0.5 for r, n in seen)
        upper = Sample.of([r for r, _ in seen]).upper(0.95)
        pooled = sum(r * n for r, n in seen) / sum(n for _, n in seen)
        rows.append([m, f"{100 * pooled:.2f}", f"{100 * upper:.2f}", f"{100 * max(r for r, _ in seen):.2f}",
                     "yes" if upper <= 0.05 and excess <= 0.0 else "no"])  # fmt: skip
    return "`two_tier` at 2×, ε = 5 %: waits beyond their budget, %:\n\n" + table(
        ["service", "pooled", "upper 95 % bound of the mean", "worst seed", "kept"], rows
    )


PARTS: dict[str, tuple[str, Callable[[Runs], str]]] = {
    "load": ("### Constant and moving load", by_load),
    "faults": ("### Faults", under_faults),
    "nodes": ("### Every node lost", each_node),
    "waiting": ("### Waiting", waiting),
}


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(prog="policies", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder of the runs; found whole there they are not made again")
    parser.add_argument("--write", type=Path, help="document with the two marks")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        runs = Runs(asked.keep or Path(scratch), range(1, asked.seeds + 1), asked.workers)
        parts = [PARTS[p] for p in asked.part or PARTS]
        text = "\n\n".join(f"{title}\n\n{make(runs)}" for title, make in parts)
    print(text)
    if asked.write:
        between(asked.write, BEGIN, END, f"Seeds 1 to {asked.seeds}, `--in twin`.\n\n{text}")


if __name__ == "__main__":
    main()
