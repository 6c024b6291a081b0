"""The time a search has left at most: by the pace of its runs, not by the start of its workers."""

from __future__ import annotations

import pytest

from testbed.cli.progress import Budget
from testbed.dashboard import step


def test_the_pace_is_that_of_the_runs_after_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(step.time, "monotonic", lambda: now[0])
    progress = Budget()
    progress(0, 1500, "undisturbed")
    now[0] += 60.0  # the workers start, compile and place
    progress(3, 1500, "undisturbed")
    assert progress.line() == "[3 of at most 1500] undisturbed"
    now[0] += 50.0
    progress(103, 1500, "load=2")
    assert progress.line() == "[103 of at most 1500] load=2  at most 12 min left", "1,397 runs at 0.5 s each"
    progress.now("starting the workers")
    progress(0, 10, "another search")
    now[0] += 4.0
    progress(2, 10, "another search")
    assert "left" not in progress.line(), "of the search before nothing is known"
