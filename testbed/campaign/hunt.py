"""One search from its question to what it leaves: `falsify` makes one, `margins` one per file and policy."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.campaign.counterexample import facts, write_scenario
from testbed.campaign.crew import made
from testbed.campaign.falsify import Bench, Found, falsify
from testbed.campaign.folder import open_folder, write
from testbed.campaign.grid import Progress
from testbed.campaign.identity import build, identity
from testbed.campaign.parcel import Bundle, Order
from testbed.campaign.severity import Disturbance, candidates
from testbed.catalogue import nearest
from testbed.errors import InputError
from testbed.record.folder import plain
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.scenario.model import Claim, Scenario
from testbed.scenario.resolve import resolve
from testbed.verdict.cells import Cell, digest

RECORD = "falsify.json"
WIDE = 80  # characters on what is run, in a line of progress


@dataclass(frozen=True, slots=True)
class Effort:
    """What may disturb and how much is spent on it; the words of `testbed falsify`."""

    kinds: tuple[str, ...]
    together: int
    load_up_to: float
    seeds: int
    recheck: int
    budget: int


@dataclass(frozen=True, slots=True)
class Hunt:
    """A claim of a file, with the file's policy or another one."""

    file: Path
    scenario: Scenario
    claim: Claim
    sets: tuple[str, ...]
    effort: Effort

    @classmethod
    def of(cls, file: Path, claim: str | None, policy: str | None, effort: Effort) -> Hunt:
        """claim: None is the first one. Raises InputError for a bad file, claim or policy."""
        sets = () if policy is None else (f"policy.name={policy}",)
        scenario = load(file, sets)
        return cls(file, scenario, _claim(file, scenario, claim), sets, effort)

    def rays(self) -> list[Disturbance]:
        return list(candidates(resolve(self.scenario, self.scenario.run.seed).topology, self.effort.kinds))

    def plan(self) -> dict[str, Any]:
        e = self.effort
        plan: dict[str, Any] = {
            "kind": "falsify", "sha256_of_scenario": text_and_hash(self.file, self.sets)[1], "claim": self.claim.id,
            "kinds": list(e.kinds), "together": e.together, "load_up_to": e.load_up_to, "seeds": e.seeds,
            "recheck": e.recheck, "budget": e.budget, "build": build(),
        }  # fmt: skip
        return plan | {"sha256": digest(plan)}


@dataclass(frozen=True, slots=True)
class Caught:
    """What a search left. file: the counterexample, None without one."""

    bench: Bench
    found: Found
    record: dict[str, Any]
    file: Path | None

    @property
    def code(self) -> int:
        """1: a counterexample · 0: it holds · 3: spent, or what broke it on these seeds did not on others."""
        if self.file is not None:
            return 1
        undecided = self.found.spent or any(m.breaks is not None for m in self.found.margins.values())
        return 3 if undecided or self.found.margins == {} else 0


def hunt(client: Any, h: Hunt, out: Path, progress: Progress) -> Caught:
    """Search, and write falsify.json and the counterexample into `out`."""
    open_folder(out, h.plan())
    rays, begun, e = h.rays(), time.monotonic(), h.effort
    bench = Bench(h.scenario, h.claim, _runner(client, h, progress), e.budget, e.load_up_to, e.seeds)
    found = falsify(bench, rays, e.together, e.recheck)
    failed = found.schedule is not None and found.judged is not None and found.judged["verdict"] == "fail"
    file = write_scenario(h.file, h.sets, bench, found, out) if failed else None
    targets = Counter(r.kind for r in rays)
    record = plain(facts(bench, found, e.budget - bench.budget, {k: targets[k] for k in e.kinds}))
    caught = Caught(bench, found, record, file)
    record["counterexample"] = None if file is None else file.name
    record["exit_code"] = caught.code
    record["seconds"] = round(time.monotonic() - begun, 1)  # the only figure here that a clock gave
    write(out / RECORD, json.dumps(record, indent=1) + "\n")
    return caught


def _claim(file: Path, scenario: Scenario, wanted: str | None) -> Claim:
    ids = [c.id for c in scenario.claims]
    if not ids:
        raise InputError(f"{file}: makes no claim, so there is nothing to break; add a `claims:` section")
    if wanted is not None and wanted not in ids:
        raise InputError(f"--claim {wanted}: {file} has no such claim. {nearest(wanted, ids)}")
    return scenario.claims[0 if wanted is None else ids.index(wanted)]


def _short(setting: str) -> str:
    """A setting for a line of progress: of a fault its kind and target."""
    path, _, value = setting.partition("=")
    if not path.startswith("faults.") or not value.startswith("{"):
        return setting
    fault = json.loads(value)
    return f"{fault['kind']} {fault['target']}"


def _runner(client: Any, h: Hunt, progress: Progress) -> Callable[[Sequence[Cell]], dict[Cell, Any]]:
    bundle, ours, most = Bundle.of(h.file, [h.sets]), identity(), h.effort.budget
    bound = h.claim.metric == "fluid_bound"
    ended = 0

    def run(cells: Sequence[Cell]) -> dict[Cell, Any]:
        nonlocal ended
        names = {f"r{i}": cell for i, cell in enumerate(cells)}
        orders = [
            Order(bundle, "twin", ((name, Cell((*h.sets, *cell.sets), cell.seed)),), ours, bound)
            for name, cell in names.items()
        ]
        found: dict[Cell, Any] = {}
        words = "; ".join(dict.fromkeys(", ".join(map(_short, c.sets)) or "undisturbed" for c in cells))
        words = words if len(words) <= WIDE else words[: WIDE - 1] + "…"
        progress(ended, most, words)
        for group in made(client, orders):
            for one in group:
                text = zlib.decompress(one.files["summary.json"]) if one.error is None else b"null"
                found[names[one.key]] = json.loads(text)
        ended += len(cells)
        progress(ended, most, words)
        return found

    return run
