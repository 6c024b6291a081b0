"""What the reaper adds to a dead run's records, and to which files it adds nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from testbed.record.folder import EVENTS, MARKER, RunFolder
from testbed.world.live import afterword
from testbed.world.live.ledger import Ledger, Records, read

GONE = (afterword.EVENTS, afterword.MARKER)
FACTS = {"verb": "link_state", "target": "s1--s2", "verified": True, "evidence": "down"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 10 s at half speed, with one fault reverted and two in force."""
    folder = RunFolder(tmp_path / "results")
    Ledger("r1", tmp_path / "r1").keep(Records(folder.path, time.monotonic() - 20.0, 2.0))
    folder.event("prepared", run_id="r1")
    folder.event("fault_applied", 1.0, 1.0, fault="over", **FACTS)
    folder.event("fault_reverted", 2.0, 2.0, fault="over", **FACTS)
    folder.event("fault_applied", 3.0, 3.1, fault="cut", **FACTS)
    folder.event("fault_applied", 4.0, 4.1, fault="crowd", **FACTS | {"verb": "load", "verified": False})
    return folder


def events(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / EVENTS).read_text().splitlines()]


def test_the_names_are_those_of_the_records() -> None:
    assert GONE == (EVENTS, MARKER)


def test_every_fault_that_was_in_force_is_reverted_once_newest_first(run: RunFolder, tmp_path: Path) -> None:
    before = events(run)
    assert "2 faults were in force" in afterword.add(tmp_path / "r1", "the reaper")
    assert afterword.add(tmp_path / "r1", "clean") == "", "who comes second has nothing to say"
    assert events(run)[: len(before)] == before
    crowd, cut = events(run)[len(before) :]
    assert set(cut) == set(before[2]) | {"by"}
    assert (cut["fault"], cut["verified"], cut["by"], cut["planned_s"]) == ("cut", True, "the reaper", None)
    assert cut["actual_s"] == pytest.approx(10.0, abs=0.5)
    assert cut["evidence"].startswith("down; reverted: ") and "found nothing more of it" in cut["evidence"]
    assert (crowd["fault"], crowd["verified"]) == ("crowd", False), "what nobody counted is not verified"


@pytest.mark.parametrize("torn", [b"{", b'{"kind":"slot","planned_s":5', b"\xff\xfe"])
def test_a_torn_last_line_is_cut(run: RunFolder, tmp_path: Path, torn: bytes) -> None:
    with (run.path / EVENTS).open("ab") as file:
        file.write(torn)
    afterword.add(tmp_path / "r1", "the reaper")
    assert [e["kind"] for e in events(run)].count("fault_reverted") == 3


def test_complete_records_stay_as_they_are(run: RunFolder, tmp_path: Path) -> None:
    run.complete(latest=False)
    before = (run.path / EVENTS).read_bytes()
    assert afterword.add(tmp_path / "r1", "clean") == ""
    assert (run.path / EVENTS).read_bytes() == before


@pytest.mark.parametrize("what", ["gone", "a link", "a pipe", "a folder", "another run's", "nobody's", "empty"])
def test_no_other_file_is_written(run: RunFolder, tmp_path: Path, what: str) -> None:
    path, other = run.path / EVENTS, tmp_path / "other"
    os.rename(path, other)
    if what == "another run's":
        other.write_text(other.read_text().replace('"r1"', '"r2"'))
    before = other.read_bytes()
    if what == "a link":
        path.symlink_to(other)
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    elif what == "another run's":
        os.link(other, path)
    elif what in ("nobody's", "empty"):
        path.write_text("root:x:0:0\n" if what == "nobody's" else "")
    left = path.read_bytes() if path.is_file() else None
    said = afterword.add(tmp_path / "r1", "the reaper")
    assert "could not be told" in said or (what == "empty" and said == "")
    assert other.read_bytes() == before
    assert (path.read_bytes() if path.is_file() else None) == left


@pytest.mark.parametrize(
    "line", ['"records":"results"', '"records":3', '"records":"/x","origin":1.0', '"records":"/x\\u0000","dilate":1.0',
             '"records":"/x","origin":1.0,"dilate":0.0', '"records":"/x","origin":NaN,"dilate":1.0'],
)  # fmt: skip
def test_a_strangers_line_in_the_ledger_names_no_records(tmp_path: Path, line: str) -> None:
    Ledger("r1", tmp_path / "r1")
    with (tmp_path / "r1" / "ledger.jsonl").open("a") as file:
        file.write("{" + line + "}\n")
    assert read(tmp_path / "r1").records is None and afterword.add(tmp_path / "r1", "clean") == ""
