"""Python's wall clock, stepped under a whole run: `sitecustomize` of every process of it (test_recovery.py).

From AT seconds of its life on, a process that asks for the wall clock is told a time so much later (STEP > 0) or
earlier. The machine's own clock stays. Monotonic clocks, which a step leaves alone, stay too.
"""

from __future__ import annotations

import os
import time

AT = float(os.environ["SHAKETABLE_TEST_STEP_AT"])
STEP = float(os.environ["SHAKETABLE_TEST_STEP"])


def stepped(ask, unit):  # type: ignore[no-untyped-def]
    begun = time.monotonic()
    return lambda: ask() + (int(STEP * unit) if time.monotonic() - begun > AT else 0)


time.time, time.time_ns = stepped(time.time, 1), stepped(time.time_ns, 1_000_000_000)
