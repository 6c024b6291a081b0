"""`testbed falsify`: the search, what it found in a sentence, and the counterexample's file."""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from testbed.campaign.counterexample import facts, write_scenario
from testbed.campaign.crew import crew, made
from testbed.campaign.falsify import Bench, Found, falsify
from testbed.campaign.folder import open_folder, write
from testbed.campaign.identity import build, identity
from testbed.campaign.parcel import Bundle, Order
from testbed.campaign.severity import KINDS, Disturbance, Window, candidates
from testbed.catalogue import nearest
from testbed.errors import InputError
from testbed.record.folder import plain
from testbed.run.prepare import load
from testbed.scenario.loader import text_and_hash
from testbed.scenario.model import Claim, Scenario
from testbed.scenario.resolve import resolve
from testbed.verdict.cells import Cell, digest


def falsify_claim(a: argparse.Namespace) -> int:
    """0: no disturbance of the budget breaks it · 1: a counterexample · 3: the budget of runs ended the search."""
    scenario = load(a.file, ())
    claim = _claim(a.file, scenario, a.claim)
    kinds = _kinds(a.kinds)
    if a.load_up_to <= 1:
        raise InputError(f"--load-up-to {a.load_up_to:g}: a factor on the load above 1, for example 4")
    out = a.out or Path("results") / f"falsify-{a.file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    rays = list(candidates(resolve(scenario, scenario.run.seed).topology, kinds))
    plan = {
        "kind": "falsify", "sha256_of_scenario": text_and_hash(a.file)[1], "claim": claim.id, "kinds": kinds,
        "together": a.together, "load_up_to": a.load_up_to, "seeds": a.seeds, "recheck": a.recheck, "build": build(),
    }  # fmt: skip
    open_folder(out, plan | {"sha256": digest(plan)})
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(rays)} disturbances against claim {claim.id}, at most {a.budget} twin runs; records: {out}")
    with crew(None, a.workers or len(os.sched_getaffinity(0)), live=False) as client:
        bench = Bench(scenario, claim, _runner(client, a.file, console), a.budget, a.load_up_to, a.seeds)
        found = falsify(bench, rays, a.together, a.recheck)
    write(out / "falsify.json", json.dumps(plain(facts(bench, found, a.budget - bench.budget)), indent=1) + "\n")
    _tell(console, bench, found)
    if found.schedule is None:
        return 3 if found.spent else 0
    if found.judged is None or found.judged["verdict"] != "fail":
        return 3
    file = write_scenario(a.file, bench, found, out)
    console.print(f"counterexample: {file}; `testbed verify {file} --in twin` makes the runs that judged it")
    if a.confirm:
        _confirm(file, out, console)
    return 1


def _claim(file: Path, scenario: Scenario, wanted: str | None) -> Claim:
    ids = [c.id for c in scenario.claims]
    if not ids:
        raise InputError(f"{file}: makes no claim, so there is nothing to break; add a `claims:` section")
    if wanted is not None and wanted not in ids:
        raise InputError(f"--claim {wanted}: {file} has no such claim. {nearest(wanted, ids)}")
    return scenario.claims[0 if wanted is None else ids.index(wanted)]


def _kinds(listed: str | None) -> list[str]:
    kinds = list(KINDS) if listed is None else list(dict.fromkeys(k.strip() for k in listed.split(",") if k.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--kinds {kind}: not one whose severity is defined. {nearest(kind, KINDS)}")
    if not kinds:
        raise InputError(f"--kinds: names none. {nearest('', KINDS)}")
    return kinds


def _runner(client: Any, file: Path, console: Console) -> Callable[[Sequence[Cell]], dict[Cell, Any]]:
    bundle, ours = Bundle.of(file, [()]), identity()

    def run(cells: Sequence[Cell]) -> dict[Cell, Any]:
        names = {f"r{i}": cell for i, cell in enumerate(cells)}
        orders = [Order(bundle, "twin", ((name, cell),), ours) for name, cell in names.items()]
        found: dict[Cell, Any] = {}
        for group in made(client, orders):
            for one in group:
                text = zlib.decompress(one.files["summary.json"]) if one.error is None else b"null"
                found[names[one.key]] = json.loads(text)
        console.print(f"  {len(cells)} runs: {'; '.join(dict.fromkeys(', '.join(c.sets) for c in cells))[:100]}")
        return found

    return run


def _tell(console: Console, bench: Bench, found: Found) -> None:
    window = Window.of(bench.scenario)

    def words(ds: Sequence[Disturbance]) -> str:
        return " and ".join(d.words(bench.most, window) for d in ds) or "nothing at all"

    for d, severity in sorted(found.margins.items()):
        held = f"holds up to {words([d])}" if severity is None else f"breaks at {words([d.at(severity)])}"
        console.print(f"  {held}")
    if found.spent:
        console.print("the budget of runs is spent; --budget gives it more")
    if found.schedule is not None and found.judged is not None:
        verdict = f"{found.judged['verdict'].upper()} on {found.judged['runs']} other seeds"
        console.print(f"{bench.claim.id} breaks under {words(found.schedule)}: {verdict}")
    elif found.margins:
        console.print(f"{bench.claim.id} holds, also under {words(found.tried)}")


def _confirm(file: Path, out: Path, console: Console) -> None:
    from testbed.cli.run import run_once

    console.print("confirming live")
    run_once(file, [], "live", out / "live", False, False)
