"""One short run, as a user starts it; its records serve every test that only reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.record.folder import read_rows
from tests.conftest import missing_for_live
from tests.live_run.kit import ROOT, SCENARIO, events
from tests.world.live.hosts_kit import traces


@dataclass(frozen=True)
class Recorded:
    folder: Path
    done: subprocess.CompletedProcess[str]
    summary: dict[str, Any]
    metadata: dict[str, Any]
    events: list[dict[str, Any]]
    tasks: list[tuple[Any, ...]]  # id, ingress, type, at, deadline, outcome, latency, attempts, lag
    stages: list[tuple[Any, ...]]  # task, stage, service, instance, node, attempt, arrived, started, finished, outcome


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    if missing := missing_for_live():
        pytest.skip(f"live tests cannot run here: {missing}")
    folder = tmp_path_factory.mktemp("results") / "first"
    words = [sys.executable, "-m", "testbed.cli", "run", str(SCENARIO), "--out", str(folder), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert (folder / "complete").exists(), done.stderr
    summary, metadata = (json.loads((folder / f"{name}.json").read_text()) for name in ("summary", "metadata"))
    assert traces(metadata["run_id"]) == []
    yield Recorded(folder, done, summary, metadata, events(folder), *read_rows(folder))
