"""`testbed run`: one run with its table, its closing summary and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.cli.page import live_page, told
from testbed.cli.progress import Progress, stderr, tell
from testbed.dashboard.page.feed import NONE, Wanted
from testbed.dashboard.table import Dashboard
from testbed.errors import CannotRun
from testbed.record.folder import read
from testbed.report.closing import closing
from testbed.run.execute import default_folder, execute, run_id_of
from testbed.run.prepare import inabilities, prepare, telling
from testbed.run.summary import INTERRUPTED
from testbed.run.worlds import bins, make_world
from testbed.verdict.claims import EXIT


def run_once(
    file: Path, sets: Sequence[str], world_name: str, out: Path | None, as_json: bool, observations: bool = False,
    page_wanted: Wanted = NONE,
) -> int:  # fmt: skip
    """Prepare, run, print. Returns the exit code of design.md §5."""
    summary, words, folder = make_run(file, sets, world_name, out, observations, page_wanted)
    if as_json:
        stderr().print(words)
    tell(read(folder)[0] if as_json else words)
    if INTERRUPTED in summary["invalid_because"]:
        return 130
    return EXIT[summary["verdict"]]


def make_run(
    file: Path, sets: Sequence[str], world_name: str, out: Path | None, observations: bool = False,
    page_wanted: Wanted = NONE,
) -> tuple[dict[str, Any], str, Path]:  # fmt: skip
    """Prepare and run, told on stderr. (summary, the closing words, the records' folder)"""
    with Progress() as progress:
        prepared = prepare(file, sets, world_name, telling(progress.now))
    run_id = run_id_of(prepared)
    folder = out or default_folder(prepared.scenario, Path("results"))
    with Dashboard(stderr()) as board, live_page(page_wanted, prepared, run_id, folder, None) as (page, beside):
        board.say(f"{prepared.scenario.name}: {prepared.scenario.question}")
        board.say(f"run {run_id}, seed {prepared.seed}, policy {prepared.scenario.policy.name}; records: {folder}")
        for line in told(page, None) if page is not None else ():
            board.say(line)
        world = make_world(world_name, run_id, board.say)
        if problems := inabilities(prepared, world):
            raise CannotRun(f"the {world_name} world can't run this scenario:\n  " + "\n  ".join(problems))
        summary = execute(
            prepared, world, folder, bins(), beside(board.show), board.say, run_id, observations=observations or None
        )
        words = closing(summary, str(folder))
        if page is not None:
            page.close(words)
    return summary, words, folder
