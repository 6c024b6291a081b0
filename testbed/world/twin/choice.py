"""Which engine runs: the compiled kernel where it can be, the reference where it can't."""

from __future__ import annotations

from collections.abc import Callable

from testbed.errors import CannotRun
from testbed.world.twin.engine import Engine
from testbed.world.twin.layout import Layout
from testbed.world.twin.reference.engine import Reference

ENGINES = ("kernel", "reference")
SLOWER = 20  # times, about: the reference against the kernel


def engine_for(layout: Layout, wanted: str | None = None, say: Callable[[str], None] = lambda text: None) -> Engine:
    """wanted: one of ENGINES; None: the kernel, or the reference where Numba can't be used (which is said)."""
    if wanted not in (None, *ENGINES):
        raise CannotRun(f"there is no engine {wanted!r}; there are: {', '.join(ENGINES)}")
    if wanted == "reference":
        return Reference(layout)
    try:
        return _kernel(layout, say)
    except ImportError as error:  # not installed, or not for this NumPy
        if wanted == "kernel":
            raise CannotRun(f"the compiled engine needs Numba: {error}. Run `./shaketable setup`") from error
        say(f"the twin runs in plain Python, some {SLOWER} times slower, for want of Numba ({error})")
        return Reference(layout)


def _kernel(layout: Layout, say: Callable[[str], None]) -> Engine:
    from testbed.world.twin.kernel import build

    how = "loading the twin's kernel" if build.WARM else f"compiling the twin's kernel once (about {build.SECONDS} s)"
    say(f"{how} …")
    from testbed.world.twin.kernel.engine import Kernel

    return Kernel(layout)
