"""Which engine runs: the compiled kernel where it can be, the reference where it can't."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from testbed.errors import CannotRun
from testbed.world.twin.engine import Engine
from testbed.world.twin.layout import Layout

ENGINES = ("kernel", "reference")


def engine_for(layout: Layout, wanted: str | None = None, say: Callable[[str], None] = lambda text: None) -> Engine:
    """wanted: one of ENGINES; None: the kernel, or the reference where Numba is not installed (which is said)."""
    if wanted not in (None, *ENGINES):
        raise CannotRun(f"there is no engine {wanted!r}; there are: {', '.join(ENGINES)}")
    if wanted != "reference":
        if importlib.util.find_spec("numba") is not None:
            return _kernel(layout, say)
        if wanted == "kernel":
            raise CannotRun("the compiled engine needs numba, which is not installed: pip install numba")
        say("numba is not installed: the twin runs in plain Python, some thirty times slower")
    from testbed.world.twin.reference.engine import Reference

    return Reference(layout)


def _kernel(layout: Layout, say: Callable[[str], None]) -> Engine:
    from testbed.world.twin.kernel import build

    if not build.WARM:
        say(f"compiling the twin's kernel once, about {build.SECONDS} s")
    from testbed.world.twin.kernel.engine import Kernel

    return Kernel(layout)
