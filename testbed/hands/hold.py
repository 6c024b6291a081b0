"""A testbed held open from end to end: prepared, brought up, worked on, brought down, recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun, InputError
from testbed.hands.desk import Desk
from testbed.run.execute import default_folder, execute, run_id_of
from testbed.run.loop import Listener
from testbed.run.prepare import Place, Prepared, ask, inabilities, prepare
from testbed.run.worlds import bins, make_world
from testbed.units import TIME, parse
from testbed.world.base import World

HOLD = "1 h"  # where nothing is said; every load is bounded
MOST_HOLD = 24 * 3600.0  # s
WORLD = "live"  # the twin has no time to work in: an hour of it is over in seconds


@dataclass(frozen=True)
class Held:
    """What is about to be brought up."""

    prepared: Prepared
    run_id: str
    out: Path
    world: World

    def run(self, opened: Callable[[], None], listener: Listener, say: Callable[[str], None]) -> dict[str, Any]:
        """Until `down`, a signal or the end of its time. The summary, as `execute`."""
        desk = Desk(self.prepared, self.run_id, self.out, opened)
        return execute(self.prepared, self.world, self.out, bins(), listener, say, self.run_id, hands=desk)


def hold(
    file: Path,
    sets: Sequence[str],
    out: Path | None,
    length: str | None,
    say: Callable[[str], None],
    place: Place = ask,
) -> Held:
    """Everything that can be said beforehand. length: with its unit, of nominal time. place: as in `prepare`.

    Raises InputError, CannotRun.
    """
    try:
        seconds = parse(length or HOLD, TIME, "duration")
    except ValueError as error:
        raise InputError(f"--for: {error}") from None
    if not 0.0 < seconds <= MOST_HOLD:
        raise InputError(f"--for {length}: a testbed is held open for more than 0 s and at most 24 h")
    prepared = prepare(file, sets, WORLD, place, held=seconds)
    if os.geteuid() != 0:
        raise CannotRun("a testbed on this machine needs root: sudo ./shaketable up …")
    run_id = run_id_of(prepared)
    world = make_world(WORLD, run_id, say)
    if problems := inabilities(prepared, world):
        raise CannotRun("the live world can't run this scenario:\n  " + "\n  ".join(problems))
    return Held(prepared, run_id, out or default_folder(prepared.scenario, Path("results")), world)
