"""The compiled kernel and the reference are one engine: the same tables, byte for byte, in every random story."""

from __future__ import annotations

import json

import pytest

from testbed.world.twin.engine import (
    DONE,
    DRAINED,
    DROPPED,
    EXPIRED,
    LATE,
    LOST,
    ON_TIME,
    REFUSED,
    RELEASED,
    UNANSWERED,
)
from testbed.world.twin.reference.engine import Reference
from tests.world.twin.kit import ROOT, run, words
from tests.world.twin.random_beds import Story

pytest.importorskip("numba", reason="capability: numba")


@pytest.mark.parametrize("seed", range(60))
def test_kernel_and_reference_tell_one_story(seed):
    from testbed.world.twin.kernel.engine import Kernel

    ours, theirs = Story(seed, Kernel).tell(), Story(seed, Reference).tell()
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == b, f"entry {k} of {len(ours)} differs"


def test_the_stories_are_about_something():
    """Every outcome of tasks and visits, retries, drains and releases occur in them, or equality would prove little."""
    outcomes, visited, attempts, signals = set(), set(), set(), set()

    class Watched(Reference):
        def take(self):
            answers, visits, arrivals = super().take()
            outcomes.update(answers["outcome"].tolist())
            attempts.update(answers["attempts"].tolist())
            visited.update(visits["outcome"].tolist())
            return answers, visits, arrivals

    for seed in range(60):
        signals.update(entry[2] for entry in Story(seed, Watched).tell() if isinstance(entry, tuple))
    assert outcomes == {ON_TIME, LATE, EXPIRED, REFUSED, UNANSWERED} and visited == {DONE, DROPPED, LOST}
    assert {0, 1, 2} < attempts and signals == {RELEASED, DRAINED}


def test_a_whole_run_is_the_same_by_either_engine(tmp_path):
    sets = ["run.duration=12 s", "run.seed=2", "faults.0.at=3 s", "faults.1.at=6 s", "faults.2.at=10 s"]
    for engine in ("kernel", "reference"):
        run(tmp_path / engine, ROOT / "scenarios" / "demo.yaml", sets, engine)
    assert words(tmp_path / "kernel") == words(tmp_path / "reference")


@pytest.mark.parametrize("node", ["n7", "n9", "n11"])
def test_what_was_on_its_way_to_a_dead_node_is_sent_again_alike(tmp_path, node):
    """Several requests at once: while they are sent again, new views make the senders rank their targets anew."""
    crash = [{"kind": "node_crash", "target": node, "at": "2 s", "for": "2 s"}]
    sets = ["load=2", "run.warmup=1 s", "run.duration=3 s", "run.seed=8", f"faults={json.dumps(crash)}"]
    for engine in ("kernel", "reference"):
        run(tmp_path / engine, ROOT / "scenarios" / "e12.yaml", sets, engine)
    assert words(tmp_path / "kernel") == words(tmp_path / "reference")
