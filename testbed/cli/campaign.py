"""`testbed campaign`: runs on workers, with progress and time left; a table and a page per world."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from testbed.campaign import campaign
from testbed.campaign.campaign_file import read_plan
from testbed.campaign.crew import crew
from testbed.campaign.identity import build
from testbed.cli.compare import write_comparison
from testbed.cli.progress import Progress, stderr, tell
from testbed.errors import InputError
from testbed.vm.host import Keys, need_paramiko


def make_campaign(a: argparse.Namespace) -> int:
    """0 when every run of the plan was made, 3 otherwise. A run that is invalid was made; its row says so."""
    console = stderr()
    workers, out = _workers(a), Path(a.out)
    plan = read_plan(a.file, build())
    missing = campaign.open_campaign(plan, out, a.resume)
    there = f", {plan.total - len(missing)} are there" if len(missing) < plan.total else ""
    console.print(f"{plan.total} runs, plan {plan.described['sha256'][:12]}{there}; records: {out}")
    with Progress() as progress:
        progress.now("starting the workers")
        failed = campaign.run(plan, missing, out, workers, progress)
        progress.now("writing the table")
        campaign.write_table(plan, out, failed)
    places = {"table": str(out / "results.parquet")}
    for world in plan.worlds:
        found = campaign.comparison(plan, out, world, failed)
        folder = out / world
        folder.mkdir(exist_ok=True)
        write_comparison(folder, found)
        places[f"page of the {world} world"] = str(folder / "index.html")
    if failed:
        console.print(f"{len(failed)} of {plan.total} runs could not be made; --resume tries them again")
    if a.json:
        lost = {f"{world} {cell.name}": why for (world, cell), why in failed.items()}
        tell({"plan": plan.described["sha256"], "runs": plan.total, "failed": lost, "written": places})
    else:
        tell("\n".join(f"{what}: {where}" for what, where in places.items()))
    return 3 if failed else 0


def _workers(a: argparse.Namespace) -> Callable[[bool], campaign.Crew]:
    """Those of a host list, of a scheduler, or processes here. Raises InputError."""
    if a.hosts is None:
        if a.key or a.known_hosts:
            raise InputError("--key and --known-hosts are for the machines of --hosts FILE")
        return lambda live: crew(a.scheduler, a.workers or len(os.sched_getaffinity(0)), live)
    if a.scheduler or a.workers:
        raise InputError("--hosts says who works; leave out --scheduler and --workers (in the list: workers=N)")
    need_paramiko("--hosts")
    from testbed.campaign.hosts import read_hosts
    from testbed.campaign.ssh import ssh_crew

    machines = read_hosts(a.hosts)
    return lambda live: ssh_crew(machines, Keys(a.key, a.known_hosts))
