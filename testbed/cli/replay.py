"""`testbed replay`: a recorded run's observations through the policy again, and whether it decides the same."""

from __future__ import annotations

from pathlib import Path

from testbed.cli.progress import Progress, tell
from testbed.run.replay import replay

SHOWN = 10


def replay_folder(folder: Path, as_json: bool) -> int:
    """0: every decision is the recorded one; 1: one is not."""
    with Progress() as progress:
        progress.now("deciding again")
        found = replay(folder)
    if as_json:
        tell({"decisions": found.decisions, "differences": list(found.differences)})
        return 1 if found.differences else 0
    if not found.differences:
        tell(f"{folder}: {found.decisions} decisions, every one as recorded")
        return 0
    lines = [f"{folder}: {found.decisions} decisions, not all as recorded"]
    lines += [f"  {line}" for line in found.differences[:SHOWN]]
    if len(found.differences) > SHOWN:
        lines.append(f"  … and {len(found.differences) - SHOWN} more")
    tell("\n".join(lines))
    return 1
