"""Which engine runs: the compiled kernel where it can be, the reference where it can't."""

from __future__ import annotations

from collections.abc import Callable

from testbed.errors import CannotRun
from testbed.world.twin.calibration import Calibration
from testbed.world.twin.engine import Engine
from testbed.world.twin.layout import Layout

ENGINES = ("kernel", "reference")


def engine_for(
    layout: Layout, calibration: Calibration, wanted: str | None = None, say: Callable[[str], None] = lambda text: None
) -> Engine:
    """wanted: one of ENGINES; None: the fastest that does what the calibration asks for."""
    if wanted not in (None, *ENGINES):
        raise CannotRun(f"there is no engine {wanted!r}; there are: {', '.join(ENGINES)}")
    from testbed.world.twin.reference.engine import Reference

    return Reference(layout)
