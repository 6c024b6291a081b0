"""Runs whose parts are killed at random moments, beside things of others: nothing of ours stays, all of theirs does."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.foreign import Foreign, foreign, twin
from tests.torture.kit import Blow, Tally, settle, strike, tiny

pytestmark = pytest.mark.live
SEED = int(os.environ.get("SHAKETABLE_TORTURE_SEED") or secrets.randbelow(10**6))
CHUNKS, KILLS = 6, 10  # of the long form: a chunk can be repeated alone, with its seed


@pytest.fixture(scope="module")
def others() -> Iterator[Foreign]:
    with foreign(secrets.token_hex(3)) as things:
        yield things


def torture(seed: int, kills: int, others: Foreign, folder: Path) -> Tally:
    """Runs struck until so many parts were killed. Each one that comes up shows that the one before left it room."""
    dice, tally, number = random.Random(seed), Tally(), 0
    theirs = others.state()
    while sum(tally.kills.values()) < kills:
        blow, number = Blow.drawn(dice), number + 1
        why = f"seed {seed}, run {number}: {blow}"
        with tiny(folder / f"r{number}") as run, twin(run.run_id) as names:
            for part in strike(run, blow):
                tally.kills[part] += 1
            settle(run, tally, why, names)
        assert others.state() == theirs, why
        print(f"{why}: so far {tally}", flush=True)
    with tiny(folder / "last") as run:
        assert run.end(60.0) in (0, 3), run.log.read_text()  # 3: whole, but late beside other work
        assert (run.folder / "complete").exists()
    return tally


def test_a_few_kills(others: Foreign, tmp_path: Path) -> None:
    """The short form, a part of it new at every call; its seed is printed when it fails."""
    torture(SEED, 5, others, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_many_kills(chunk: int, others: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tally = torture(SEED + chunk, KILLS, others, tmp_path)
    with capsys.disabled():
        print(f"\ntorture, seed {SEED + chunk}: {tally}")
