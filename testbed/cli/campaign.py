"""`testbed campaign`: runs on workers, with progress and time left; a table and a page per world."""

from __future__ import annotations

import json
import os
from pathlib import Path

from testbed.campaign import campaign, compare
from testbed.campaign.campaign_file import read_plan
from testbed.campaign.folder import write
from testbed.campaign.identity import build
from testbed.cli.progress import Progress, stderr, tell
from testbed.report.comparison import figures, page


def make_campaign(file: Path, address: str | None, workers: int | None, resume: bool, out: Path, as_json: bool) -> int:
    """0 when every run of the plan was made, 3 otherwise. A run that is invalid was made; its row says so."""
    console = stderr()
    plan = read_plan(file, build())
    missing = campaign.open_campaign(plan, out, resume)
    there = f", {plan.total - len(missing)} are there" if len(missing) < plan.total else ""
    console.print(f"{plan.total} runs, plan {plan.described['sha256'][:12]}{there}; records: {out}")
    with Progress() as progress:
        progress.now("starting the workers")
        failed = campaign.run(plan, missing, out, address, workers or len(os.sched_getaffinity(0)), progress)
    campaign.write_table(plan, out, failed)
    places = {"table": str(out / "results.parquet")}
    for world in plan.worlds:
        found = campaign.comparison(plan, out, world, failed)
        folder = out / world
        folder.mkdir(exist_ok=True)
        pictures = figures(found)
        files = {"comparison.json": json.dumps(found, indent=1) + "\n", "comparison.csv": compare.table(found)}
        files |= {name: text + "\n" for name, text in pictures.items()} | {"index.html": page(found, pictures)}
        for name, text in files.items():
            write(folder / name, text)
        places[f"page of the {world} world"] = str(folder / "index.html")
    if failed:
        console.print(f"{len(failed)} of {plan.total} runs could not be made; --resume tries them again")
    if as_json:
        lost = {f"{world} {cell.name}": why for (world, cell), why in failed.items()}
        tell({"plan": plan.described["sha256"], "runs": plan.total, "failed": lost, "written": places})
    else:
        tell("\n".join(f"{what}: {where}" for what, where in places.items()))
    return 3 if failed else 0
