"""`testbed doctor`: what this machine can do, and what to type where it can't."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from testbed.cli.progress import stdout, tell
from testbed.world.live import capabilities


def diagnose(as_json: bool) -> int:
    """Print the table (or JSON); 0 when a live run is possible, else 4."""
    caps = capabilities.probe()
    problems = capabilities.problems(caps)
    if as_json:
        facts = {"capabilities": caps.as_json(), "problems": [asdict(p) for p in problems], "live": not problems}
        tell(facts)
        return 4 if problems else 0
    console = stdout(markup=True)
    table = Table("part", "found", "a live run uses", "to mend", box=None, pad_edge=False)
    for row in capabilities.table(caps):
        table.add_row(*row)
    console.print(table, soft_wrap=False)
    for p in problems:
        console.print(f"[red]missing[/red] {p.what}: {p.why}\n        → {p.mend}")
    console.print("live runs: " + ("[red]not possible here[/red]" if problems else "[green]possible[/green]"))
    return 4 if problems else 0
