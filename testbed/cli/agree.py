"""`testbed agree`: both worlds on the same seeds, their differences as a table, agreement.json and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed.campaign import agree
from testbed.cli.progress import Progress, stderr, tell
from testbed.errors import InputError
from testbed.report.agreement import markdown, text
from testbed.units import counted
from testbed.verdict.claims import EXIT, overall


def agree_on(
    file: Path | None, sets: Sequence[str], seeds: int, against: Sequence[Path], out: Path | None, form: str
) -> int:
    """form: "text", "markdown" or "json". Without a file the runs in `against` are compared and nothing is run."""
    if file is None and not against:
        raise InputError("agree needs a scenario FILE to run, or --against DIR with runs to compare")
    if file is None and sets:
        raise InputError("--set changes a scenario that is run; with --against alone nothing is run")
    folder = out
    if file is not None:
        plan = agree.plan_of(file, sets, seeds)
        folder = out or Path("results") / f"agree-{file.stem}-{plan['sha256'][:8]}"
        known = agree.runs_in(against)
        stderr().print(f"{counted(seeds, 'seed')} in each world; records: {folder}")
        with Progress() as progress:
            made = agree.make_runs(file, sets, plan, folder, known, progress)
        groups = agree.pairs_of(agree.runs_in(made))
    else:
        groups = agree.pairs_of(agree.runs_in(against))
    found = [agree.agreement(pairs) for pairs in groups]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        agree.write(folder / "agreement.json", found if len(found) > 1 else found[0])
    if form == "json":
        tell(found if len(found) > 1 else found[0])
    else:
        tell("\n\n".join((markdown if form == "markdown" else text)(f) for f in found))
    return EXIT[overall(found, valid=True)]
