"""`--page` and `--metrics` of `run` and `up`: what is asked for, and the page beside the terminal's table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed.dashboard.page.feed import Ask, LivePage, Wanted
from testbed.errors import InputError
from testbed.run.loop import Listener
from testbed.run.prepare import Prepared
from testbed.world.base import SIMULATED


def wanted(arguments: argparse.Namespace) -> Wanted:
    """Raises InputError where one option needs another."""
    a = arguments
    if not a.page and (a.page_read_only or a.page_port is not None):
        raise InputError("--page-port and --page-read-only say how the live page is served: add --page")
    return Wanted((a.page_port or 0) if a.page else None, a.metrics, a.page_read_only)


@contextmanager
def live_page(
    wanted: Wanted, prepared: Prepared, run_id: str, out: Path, ask: Ask | None
) -> Iterator[tuple[LivePage | None, Callable[[Listener], Listener]]]:
    """The page that is up meanwhile, or None; and a listener with it beside. InputError for a simulated world."""
    if not wanted.anything:
        yield None, lambda listener: listener
        return
    if prepared.world in SIMULATED:
        raise InputError(
            f"--page and --metrics are for the live world: the {prepared.world} computes its time, so there is nothing "
            "to watch; run it without, its report.html has the same figures"
        )
    from testbed.dashboard.page.ground import ground_of

    with LivePage(wanted, run_id, out, ground_of(prepared, run_id), ask) as page:
        yield page, lambda listener: _both(listener, page.show)


def told(page: LivePage, ask: Ask | None) -> list[str]:
    """Where it is, for whoever started it."""
    lines = []
    if page.page is not None:
        hands = "" if page.hands else " (read-only)" if ask else " (read-only: a run is not shaken by hand, `up` is)"
        lines.append(f"live page: {page.page}{hands}")
    return [*lines, f"metrics: {page.metrics}"]


def _both(first: Listener, second: Listener) -> Listener:
    def listen(status: Mapping[str, Any]) -> None:
        first(dict(status))
        second(status)  # type: ignore[arg-type]

    return listen
