"""`testbed doctor --links`: what links of known shape do on this machine, as a table."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime

from rich.table import Table

from testbed.cli.progress import Progress, stdout, tell
from testbed.errors import CannotRun, InputError
from testbed.world.live import capabilities
from testbed.world.live.links import calibration, choice
from testbed.world.live.links.scratch import scratch

LOOK_S = 1.0  # how long the machine is watched beforehand
SLOWEST = 100.0  # dilation: an hour and a quarter; who asks for more has mistyped
BUSY = 0.25  # share of the processors others use: what is outside its bounds then says nothing about the links


def calibrate(as_json: bool, dilate: float = 1.0) -> int:
    """dilate: as a run of this dilation has its links, errors in nominal time. The exit code:
    0 all within their bounds, 1 some outside, 3 some outside while others used the machine, 4 not possible here."""
    if not 1.0 <= dilate <= SLOWEST:
        raise InputError(f"--dilate {dilate:g}: 1 to {SLOWEST:g} is allowed; a calibration takes K times 45 s")
    if os.geteuid() != 0:
        raise CannotRun("links are made in namespaces of their own, which takes root: sudo ./shaketable doctor --links")
    plan = calibration.steps(choice.offered(capabilities.features()))
    if not plan:
        raise CannotRun("this kernel offers no link backend: `./shaketable doctor` says what is missing")
    others, began, before = _others(), time.monotonic(), capabilities.cpu_times()
    with Progress() as progress, scratch(f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}") as place:
        bench = calibration.Bench(place, dilate)
        rows = list(calibration.calibrate(bench, plan, lambda what, left: progress.now(f"calibrating {what}", left)))
    took = time.monotonic() - began
    stolen = (capabilities.cpu_times().steal - before.steal) / took
    outside = [row for row in rows if row.within is False]
    verdict = "pass" if not outside else "unknown" if others > BUSY else "fail"
    if as_json:
        facts = {
            "dilate": dilate,
            "rows": [asdict(row) for row in rows],
            "others": others,
            "stolen": stolen,
            "seconds": took,
            "verdict": verdict,
        }
        tell(facts)
    else:
        _print(rows, others, stolen, took, dilate, verdict)
    return {"pass": 0, "fail": 1, "unknown": 3}[verdict]


def _others() -> float:
    """Share of the processors in use before anything of ours runs."""
    before = capabilities.cpu_times()
    time.sleep(LOOK_S)
    after = capabilities.cpu_times()
    busy = after.busy - before.busy + after.steal - before.steal
    return busy / max(busy + after.idle - before.idle, 1e-9)


def _print(rows: list[calibration.Row], others: float, stolen: float, took: float, dilate: float, verdict: str) -> None:
    table = Table("backend", "quantity", "configured", "measured", "bound", "", box=None, pad_edge=False)
    for row in rows:
        mark = "[green]within[/green]" if row.within else "[red]outside[/red]"
        measured = f"{row.value:.3f} {row.unit}" if row.unit != "p" else f"p = {row.value:.3f}"
        table.add_row(row.backend, row.quantity, row.configured, measured, row.bound, mark)
    console = stdout(markup=True)
    console.width = max(100, console.width)  # a narrow table would break its figures
    console.print(table, soft_wrap=False)
    used = f"others used {others:.0%} of the processors beforehand, {stolen:.1%} of one was stolen meanwhile"
    scale = "" if dilate == 1.0 else f" at a dilation of {dilate:g}, in nominal time"
    console.print(f"{len(rows)} quantities{scale} in {took:.0f} s; {used}")
    if verdict == "unknown":
        console.print("[yellow]unknown[/yellow]: something is outside, on a busy machine: measure again alone")
    else:
        console.print("[green]all within their bounds[/green]" if verdict == "pass" else "[red]some are outside[/red]")
