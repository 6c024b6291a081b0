"""`testbed compare`: policies side by side on the same seeds, at one setting or at several.

DIR holds plan.json, runs/CELL/ (whole run folders), comparison.json, comparison.csv, index.html and its figures as SVG.
Differences are paired: every policy saw the same tasks, faults and fluctuations of a seed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.campaign.folder import open_folder
from testbed.campaign.grid import Job, Progress, check, run_all, summary_of
from testbed.errors import InputError
from testbed.record.folder import plain
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.verdict.cells import Cell, digest, seeds_from
from testbed.verdict.claims import value_of
from testbed.verdict.intervals import Sample
from testbed.verdict.multiple import holm

CONFIDENCE = 0.95  # of the two-sided intervals shown, and of the family of paired differences
#: What every policy and seed sets for itself: a sweep of it would show the same runs under several names.
TAKEN = {
    "run.seed": "the seeds are --seeds N, from run.seed on",
    "policy": "the policies are --policies A,B",
    "policy.name": "the policies are --policies A,B",
}
RATE, COST, BOUND = "on_time_rate", "cost.total_per_slot", "fluid_bound"


@dataclass(frozen=True, slots=True)
class Plan:
    """file under each policy × value of the sweep × seed. path: "" without a sweep, then values is ("",)."""

    file: Path
    sets: tuple[str, ...]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    world: str
    path: str = ""
    values: tuple[str, ...] = ("",)

    def cell(self, policy: str, value: str, seed: int) -> Cell:
        step = (f"{self.path}={value}",) if self.path else ()
        return Cell((f"policy.name={policy}", *step), seed)

    def as_json(self) -> dict[str, Any]:
        plan: dict[str, Any] = {
            "version": 1,
            "file": self.file.stem,
            "sha256_of_scenario": text_and_hash(self.file, self.sets)[1],
            "sets": list(self.sets),
            "policies": list(self.policies),
            "seeds": list(self.seeds),
            "world": self.world,
            "sweep": {"path": self.path, "values": list(self.values)} if self.path else None,
        }
        return plan | {"sha256": digest(plan)}


def plan_of(file: Path, sets: Sequence[str], policies: str, seeds: int, sweep: str | None, world: str) -> Plan:
    """From the command line; seeds run.seed, +1, …. Raises InputError."""
    scenario = load(file, sets)
    names = tuple(dict.fromkeys(p.strip() for p in policies.split(",") if p.strip()))
    if not names:
        raise InputError("--policies: names no policy; for example --policies two_tier,nearest")
    path = ""
    values: tuple[str, ...] = ("",)
    if sweep is not None:
        path, _, listed = sweep.partition("=")
        values = tuple(dict.fromkeys(v.strip() for v in listed.split(",") if v.strip()))
        if not path or not values:
            raise InputError(f"--sweep {sweep}: expected PATH=VALUE,VALUE,…, for example --sweep load=1,2,3")
        if path in TAKEN:
            raise InputError(f"--sweep {path}: {TAKEN[path]}")
    first = scenario.run.seed
    return Plan(file, tuple(sets), names, tuple(seeds_from(first, seeds, "--seeds")), world, path, values)


def compare(plan: Plan, out: Path, workers: int, progress: Progress) -> dict[str, Any]:
    """Make what is missing; returns what comparison.json holds."""
    cells = [plan.cell(p, v, s) for s in plan.seeds for v in plan.values for p in plan.policies]
    jobs = [Job(plan.file, Cell((*plan.sets, *c.sets), c.seed), plan.world, out / "runs" / c.name) for c in cells]
    check(jobs)
    described = plan.as_json()
    open_folder(out, described)
    failed = {str(o.job.folder.relative_to(out)): o.error for o in run_all(jobs, workers, progress) if o.error}
    rows = [_row(plan, out, p, v) for v in plan.values for p in plan.policies]
    differences(plan.policies[0], rows)
    return dict(plain({"plan": described, "confidence": CONFIDENCE, "rows": rows, "failed": failed}))


def _row(plan: Plan, out: Path, policy: str, value: str) -> dict[str, Any]:
    cells = {s: plan.cell(policy, value, s) for s in plan.seeds}
    found = {s: summary_of(out / "runs" / c.name) for s, c in cells.items()}
    return row_of(policy, value, found, [f"runs/{c.name}" for c in cells.values()])


def row_of(
    policy: str, value: str, found: Mapping[int, Mapping[str, Any] | None], runs_in: Sequence[str]
) -> dict[str, Any]:
    """One policy at one setting: means with intervals over its valid runs, and which runs they are.

    found: seed → summary, None where there is no run. runs_in: the folders of the runs.
    """
    good = {s: x for s, x in found.items() if x is not None and x["valid"] and value_of(x, RATE) is not None}
    row: dict[str, Any] = {
        "policy": policy,
        "value": value,
        "runs": len(good),
        "invalid": {s: "; ".join(x["invalid_because"]) for s, x in found.items() if x and not x["valid"]},
        "on_time": _share(_interval([value_of(x, RATE) for x in good.values()])),
        "cost": _interval([value_of(x, COST) for x in good.values()]),
        "bound": _mean([value_of(x, BOUND) for x in good.values()]),
        "by_seed": {s: {"on_time": value_of(x, RATE), "cost": value_of(x, COST)} for s, x in good.items()},
        "runs_in": list(runs_in),
    }
    row["share_of_bound"] = row["on_time"]["mean"] / row["bound"] if row["bound"] and good else None
    return row


def _interval(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, two-sided interval, smallest and largest."""
    x = [v for v in values if v is not None]
    if not x:
        return dict.fromkeys(("mean", "lower", "upper", "least", "most"))
    sample, one_sided = Sample.of(x), 1.0 - (1.0 - CONFIDENCE) / 2.0
    return {
        "mean": sample.mean, "lower": sample.lower(one_sided), "upper": sample.upper(one_sided),
        "least": min(x), "most": max(x),
    }  # fmt: skip


def _share(q: dict[str, float | None]) -> dict[str, float | None]:
    """An interval of a share: what lies beyond 0 and 1 is cut off. One run has none, which 0 to 1 would hide."""
    return {k: v if v is None or math.isinf(v) else min(max(v, 0.0), 1.0) for k, v in q.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    x = [v for v in values if v is not None]
    return math.fsum(x) / len(x) if x and len(x) == len(values) else None


def differences(policy: str, rows: Sequence[dict[str, Any]]) -> None:
    """Adds `against_first`: each row minus that of `policy` at the same value, seed by seed; Holm over all of them."""
    firsts = {r["value"]: r for r in rows if r["policy"] == policy}
    todo: list[tuple[dict[str, Any], Sample]] = []
    for row in rows:
        first = firsts[row["value"]]
        shared = sorted(set(row["by_seed"]) & set(first["by_seed"]))
        row["against_first"] = None
        if row is not first and len(shared) > 1:
            pairs = [row["by_seed"][s]["on_time"] - first["by_seed"][s]["on_time"] for s in shared]
            todo.append((row, Sample.of(pairs)))
    p = [min(1.0, 2.0 * min(s.p_above(0.0), s.p_below(0.0))) for _, s in todo]
    for (row, s), (shown, level), value in zip(todo, holm(p, [1.0 - CONFIDENCE] * len(p)), p, strict=True):
        word = ("better" if s.mean > 0 else "worse") if shown else "no difference shown"
        row["against_first"] = {"mean": s.mean, "p": value, "level": level, "verdict": word}


def table(found: Mapping[str, Any]) -> str:
    """comparison.csv: one row per policy and setting."""
    sweep = found["plan"]["sweep"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["policy", *([sweep["path"]] if sweep else []), "runs", "on_time", "on_time_lower", "on_time_upper"]
    writer.writerow([*head, "worst_seed", "cost", "cost_lower", "cost_upper", "fluid_bound", "difference", "p"])
    for r in found["rows"]:
        d = r["against_first"] or {"mean": None, "p": None}
        a, c = r["on_time"], r["cost"]
        key = [r["policy"], *([r["value"]] if sweep else []), r["runs"]]
        writer.writerow(
            [*key, a["mean"], a["lower"], a["upper"], a["least"], c["mean"], c["lower"], c["upper"], r["bound"],
             d["mean"], d["p"]]
        )  # fmt: skip
    return out.getvalue()
