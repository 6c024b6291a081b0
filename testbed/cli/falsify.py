"""`testbed falsify`: the search, what it found in a sentence, and the counterexample's file."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from testbed.campaign.crew import crew
from testbed.campaign.folder import write
from testbed.campaign.hunt import RECORD, Caught, Effort, Hunt, hunt
from testbed.campaign.severity import KINDS, Disturbance, Window
from testbed.catalogue import nearest
from testbed.cli.progress import Budget, stderr, stdout, tell
from testbed.errors import InputError
from testbed.run.prepare import load
from testbed.scenario.model import Scenario
from testbed.units import counted
from testbed.verdict.cells import Cell, cells_of
from testbed.verdict.claims import holds
from testbed.verdict.decide import gather


def falsify_claim(a: argparse.Namespace) -> int:
    """0: no disturbance of the budget breaks it · 1: a counterexample · 3: neither could be said."""
    h = Hunt.of(a.file, a.claim, a.policy, effort(a))
    out = a.out or Path("results") / f"falsify-{a.file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    console = stderr() if a.json else stdout()
    stderr().print(
        f"{counted(len(h.rays()), 'disturbance')} against claim {h.claim.id}, at most {a.budget} twin runs; "
        f"records: {out}"
    )
    with Budget() as progress:
        progress.now("starting the workers")
        with crew(None, a.workers or len(os.sched_getaffinity(0)), live=False) as client:
            caught = hunt(client, h, out, progress)
    sentences(console, caught)
    if caught.file is not None:
        console.print(
            f"counterexample: {caught.file}; `testbed verify {caught.file} --in twin` makes the runs that judged it"
        )
        if a.confirm:
            _confirm(caught, out, console)
    if a.json:
        tell(json.loads((out / RECORD).read_text()) | {"folder": str(out)})
    return caught.code


def effort(a: argparse.Namespace) -> Effort:
    """Of the words that `falsify` and `margins` share. Raises InputError."""
    if not 1 < a.load_up_to < math.inf:  # nor nan
        raise InputError(f"--load-up-to {a.load_up_to:g}: a factor on the load above 1, for example 4")
    return Effort(tuple(_kinds(a.kinds)), a.together, a.load_up_to, a.seeds, a.recheck, a.budget)


def _kinds(listed: str | None) -> list[str]:
    kinds = list(KINDS) if listed is None else list(dict.fromkeys(k.strip() for k in listed.split(",") if k.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--kinds {kind}: not one whose severity is defined. {nearest(kind, KINDS)}")
    if not kinds:
        raise InputError(f"--kinds: names none. {nearest('', KINDS)}")
    return kinds


def sentences(console: Console, caught: Caught) -> None:
    """The margins and the outcome in sentences."""
    bench, found = caught.bench, caught.found
    window = Window.of(bench.scenario)

    def words(ds: Sequence[Disturbance]) -> str:
        return " and ".join(d.words(bench.most, window) for d in ds) or "nothing at all"

    for d, m in sorted(found.margins.items()):
        if m.breaks is None:
            console.print(f"  holds up to {words([d])}")
        elif m.breaks < 1.0 or m.holds == 0.0:
            console.print(f"  breaks at {words([d.at(m.breaks)])}")
        else:
            console.print(f"  holds still at {words([d.at(m.holds)])}, which is what its kind has, breaks at the most")
    if found.spent:
        console.print("the budget of runs is spent; --budget gives it more")
    if found.schedule is not None and found.judged is not None:
        verdict = f"{found.judged['verdict'].upper()} on {found.judged['runs']} other seeds"
        setting = f" at {found.question[0]}" if found.question and found.question[0] else ""
        console.print(f"{bench.claim.id} breaks{setting} under {words(found.schedule)}: {verdict}")
    elif caught.code == 0:
        console.print(f"{bench.claim.id} holds, also under {words(found.tried)}")
    elif found.judged is not None:
        console.print(f"{bench.claim.id}: what breaks it on the search's seeds does not fail on others")


def _confirm(caught: Caught, out: Path, console: Console) -> None:
    """One live run of the counterexample; what it says of the claim goes to falsify.json, too."""
    from testbed.cli.run import make_run

    assert caught.file is not None
    console.print("confirming live")
    scenario = load(caught.file, ())
    summary, words, _ = make_run(caught.file, list(_one_run(scenario)[0].sets), "live", out / "live")
    console.print(words)
    confirmed = confirmation(scenario, summary)
    console.print(f"live: {confirmed['words']}")
    write(out / RECORD, json.dumps({**caught.record, "confirmed": confirmed}, indent=1) + "\n")


def _one_run(scenario: Scenario) -> list[Cell]:
    """What a counterexample's only claim needs on its first seed."""
    return cells_of(scenario.claims[0].model_copy(update={"runs": 1}), scenario.run.seed)


def confirmation(scenario: Scenario, summary: dict[str, Any]) -> dict[str, Any]:
    """What one run of a counterexample says of its only claim. breaks: None where a single run can't say it."""
    claim = scenario.claims[0].model_copy(update={"runs": 1})
    if len(_one_run(scenario)) > 1:
        return {"breaks": None, "words": "the claim compares two settings, one run does not decide it"}
    evidence = gather(claim, scenario.run.seed, lambda cell: summary)
    if evidence.doubts:
        return {"breaks": None, "words": f"unknown, {'; '.join(evidence.doubts)}"}
    (value,) = evidence.questions[0].values
    breaks = not holds(claim, value)
    wanted = f"at least {claim.at_least:g}" if claim.at_least is not None else f"at most {claim.at_most:g}"
    words = f"{claim.metric} {value:.4g}, wanted {wanted}: {'it breaks here, too' if breaks else 'it holds here'}"
    return {"breaks": breaks, "estimate": value, "words": words}
