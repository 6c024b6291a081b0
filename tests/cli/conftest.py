"""`testbed`: the command, in an empty working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.kit import Command


@pytest.fixture
def testbed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(tmp_path, capsys)
