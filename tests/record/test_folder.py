"""A run's folder: whole or not at all, never over somebody's results."""

import json
import os

import numpy as np
import pytest

from controller.decision import Drain
from testbed.errors import CannotRun, InputError
from testbed.record.folder import CHUNK, MARKER, PER, RunFolder, ask, plain, read, read_rows
from testbed.record.tables import DONE, DROPPED, EXPIRED, ON_TIME, Names, stage_rows, task_rows
from tests.load.builders import model

NAN = float("nan")
NAMES = Names.of(model())
TASKS = task_rows([(1, 0.5, 0.7, 0.2, 0.001, 0, 0, 1, ON_TIME), (2, 0.6, 0.5, NAN, 0.0, 1, 1, 2, EXPIRED)])
STAGES = stage_rows(
    [
        (1, 0.5, 0.6, 0.7, NAMES.instance("image-1"), 0, 1, 0, 1, DONE),
        (2, 0.6, NAN, NAN, NAMES.instance("llm-1"), 1, 0, 1, 2, DROPPED),
    ]
)


def test_what_is_written_is_read(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.event("origin", 0.0, 0.0)
        folder.write_rows(TASKS, [STAGES[:1], STAGES[1:]], NAMES)
        folder.write_json("summary.json", {"a": 1})
        folder.write_json("metadata.json", {"b": float("nan")})
        with pytest.raises(InputError, match="completion marker"):
            read(tmp_path / "run")
        folder.complete()
    summary, metadata, events = read(tmp_path / "run")
    assert (summary, metadata, events[0]["kind"]) == ({"a": 1}, {"b": None}, "origin")
    tasks, stages = read_rows(tmp_path / "run")
    assert tasks == [
        (1, "gw1", "a", 0.5, 0.7, "on_time", 0.2, 1, 0.001),
        (2, "gw2", "b", 0.6, 0.5, "expired", None, 2, 0.0),
    ]
    assert stages == [
        (1, "image", "image", "image-1", "n1", 1, 0.5, 0.6, 0.7, "done"),
        (2, "llm", "llm", "llm-1", "n2", 2, 0.6, None, None, "dropped"),
    ]
    assert (tmp_path / "latest").resolve() == tmp_path / "run"
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        ["events.jsonl", "tasks.sqlite", "summary.json", "metadata.json", MARKER]
    )


@pytest.mark.parametrize("n", [0, 1, PER - 1, PER, PER + 1, 3 * CHUNK + PER + 5])
def test_every_row_is_written_once_and_in_order(tmp_path, n):
    tasks = np.repeat(TASKS[:1], n)
    tasks["id"] = np.arange(1, n + 1)
    with RunFolder(tmp_path / "run") as folder:
        folder.write_rows(tasks, [], NAMES)
    assert [i for (i,) in ask(tmp_path / "run", "select id from tasks order by rowid")] == list(range(1, n + 1))


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        RunFolder(tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    with RunFolder(tmp_path / "run") as folder:
        folder.write("summary.json", "old")

        def full(number):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CannotRun, match=r"No space left on device.*free some space"):
            folder.write("summary.json", "new")
        assert (tmp_path / "run" / "summary.json").read_text() == "old"
        assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


def test_an_unwritable_folder_is_an_error_one_can_act_on(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="--out"):
        RunFolder(tmp_path / "file" / "run")


def test_plain_is_json():
    value = plain({("a", "b"): {1.0, 2.0}, "inf": float("inf"), "row": Drain("image-1"), "t": (1, None)})
    assert json.loads(json.dumps(value, allow_nan=False))["a b"] == [1.0, 2.0]
    assert value["inf"] is None and value["row"] == {"id": "image-1"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_under_sudo_results_belong_to_whoever_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "4242")
    monkeypatch.setenv("SUDO_GID", "4343")
    with RunFolder(tmp_path / "results" / "run") as folder:
        folder.write("summary.json", "{}")
        folder.complete()
    made = [tmp_path / "results", *(tmp_path / "results").rglob("*")]
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in made} == {(4242, 4343)}
    assert tmp_path.stat().st_uid != 4242


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
