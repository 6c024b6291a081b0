"""`testbed verify`: runs, verdicts, page and JUnit XML, with progress and the exit code of the worst claim."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from testbed.campaign import verify
from testbed.campaign.folder import write
from testbed.cli.folders import claiming
from testbed.cli.progress import Progress, stderr, stdout, tell
from testbed.report.junit import junit, words
from testbed.report.verdicts import page
from testbed.units import counted
from testbed.verdict.claims import EXIT


def verify_files(
    files: Sequence[Path],
    sets: Sequence[str],
    world: str,
    runs: int | None,
    out: Path | None,
    workers: int | None,
    as_json: bool,
) -> int:
    what = verify.subjects(claiming(files, sets), sets, runs)
    plan = verify.plan_of(what, sets, world)
    folder = out or Path("results") / f"verify-{what[0].file.stem}-{plan['sha256'][:8]}"
    said = stderr() if as_json else stdout()
    claims = counted(sum(len(s.claims) for s in what), "claim")
    runs_of_all = counted(sum(len(s.cells) for s in what), "run")
    stderr().print(f"{claims}, {runs_of_all} in the {world} world; records: {folder}")
    with Progress() as progress:
        found = verify.verify(what, sets, world, folder, workers or len(os.sched_getaffinity(0)), progress)
    for name, text in (
        ("verdicts.json", json.dumps(found, indent=1) + "\n"),
        ("verdicts.xml", junit(found)),
        ("index.html", page(found, plan)),
    ):
        write(folder / name, text)
    for c in found["claims"]:
        said.print(f"  {c['verdict'].upper():8}{c['file']} {c['id']}: {words(c)}")
    if found["family"] > 1:
        said.print(f"  levels corrected for {found['family']} claims at once (Holm)")
    said.print(f"  verdict {found['verdict'].upper()}      page: {folder / 'index.html'}")
    if as_json:
        tell(found)
    return EXIT[found["verdict"]]
