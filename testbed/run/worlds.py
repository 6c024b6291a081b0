"""The worlds by name, imported when asked for: the twin needs no Docker and the live world no compiler."""

from __future__ import annotations

from collections.abc import Callable

from testbed.errors import CannotRun
from testbed.load.bandwidth import Bins
from testbed.world.base import World

NAMES = ("live", "twin")
TRACE_BIN = 0.1  # s: a packet-opportunity trace as rates, where a world can't replay packets


def make_world(name: str, run_id: str, say: Callable[[str], None]) -> World:
    """A world that is not up yet. Raises CannotRun where its parts are missing.

    say: one line of progress; one that ends in "…" begins a step, over with the next line.
    """
    if name == "live":
        from testbed.world.live.world import LiveWorld

        return LiveWorld(run_id, say)
    try:
        from testbed.world.twin.world import TwinWorld
    except ModuleNotFoundError as error:
        raise CannotRun(f"the twin can't be imported ({error}); `./shaketable setup` mends it") from error
    return TwinWorld(run_id, say)


def bins() -> Bins:
    """Reads a packet-opportunity file as rates over TRACE_BIN."""
    from testbed.world.live.links.mahimahi import bins as read

    return lambda file: read(file, TRACE_BIN)
