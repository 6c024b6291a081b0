"""The ledger: promised before made, readable after any death of its writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.errors import CannotRun, InputError
from testbed.world.live import ledger
from testbed.world.live.clean import clean
from testbed.world.live.ledger import Ledger, Owner


def test_what_is_added_and_not_done_is_pending_oldest_first(tmp_path: Path) -> None:
    book = Ledger("r1", tmp_path / "r1")
    first = book.add("container", name="a")
    second, third = book.add_all([("bridge", {"name": "b"}), ("cgroup", {"path": "/c"})])
    book.done(second)
    state = ledger.read(tmp_path / "r1")
    assert [(e.number, e.kind, dict(e.fields)) for e in state.pending] == [
        (first, "container", {"name": "a"}),
        (third, "cgroup", {"path": "/c"}),
    ]
    assert [e.number for e in book.pending()] == [first, third]
    assert (state.run_id, state.closed) == ("r1", False)


def test_closed_only_when_nothing_is_pending(tmp_path: Path) -> None:
    book = Ledger("r1", tmp_path / "r1")
    number = book.add("interface", name="sk-x")
    assert [e.number for e in book.close()] == [number]
    assert not ledger.read(tmp_path / "r1").closed
    book.done(number)
    assert book.close() == []
    assert ledger.read(tmp_path / "r1").closed


def test_entry_is_on_disk_when_add_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync comes after the write and before `add` returns."""
    book = Ledger("r1", tmp_path / "r1")
    seen: list[str] = []
    real = os.fsync

    def spy(file: int) -> None:
        seen.append((tmp_path / "r1/ledger.jsonl").read_text())
        real(file)

    monkeypatch.setattr(ledger.os, "fsync", spy)
    book.add("container", name="a")
    assert len(seen) == 1 and '"name":"a"' in seen[0]


@pytest.mark.parametrize("keep", range(1, 40, 7))
def test_a_torn_last_line_is_skipped(tmp_path: Path, keep: int) -> None:
    book = Ledger("r1", tmp_path / "r1")
    book.add("container", name="whole")
    whole = book.path.read_bytes()
    book.add("container", name="é" * 20)
    book.path.write_bytes(whole + book.path.read_bytes()[len(whole) :][:keep])
    assert [e.fields["name"] for e in ledger.read(tmp_path / "r1").pending] == ["whole"]


@pytest.mark.parametrize(
    "line",
    [
        "[]", "null", "7", '"text"', "{", "{}", "[" * 100_000, "\xff\xfe", '{"n":"x","kind":"container","name":"c"}',
        '{"n":1}', '{"n":1,"kind":[]}', '{"n":1,"kind":"container"}', '{"n":1,"kind":"container","name":["a"]}',
        '{"n":1,"kind":"cgroup","path":7}', '{"n":1,"done":"yes"}', '{"n":[],"done":true}', '{"closed":"no"}',
        '{"kind":"owner"}', '{"kind":"owner","pid":-1,"start_time":1,"boot":"b"}',
        '{"kind":"owner","pid":"1","start_time":1,"boot":"b"}', '{"kind":"owner","run":"other"}',
    ],
)  # fmt: skip
def test_lines_of_the_wrong_form_are_skipped(tmp_path: Path, line: str) -> None:
    """Nobody but root writes there; nothing that stands there may break the reader or name another run all the same."""
    book = Ledger("r1", tmp_path / "r1")
    book.add("container", name="before")
    before = ledger.read(tmp_path / "r1")
    with book.path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    assert ledger.read(tmp_path / "r1") == before
    assert before.run_id == "r1" and before.owner == Owner.myself()


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", "a b", "-x", "x" * 65, "a\n"])
def test_a_run_id_is_a_plain_name(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="can't be a run's id"):
        Ledger(run_id, tmp_path / "r1")
    with pytest.raises(InputError, match="not a run's id"):
        clean(run_id)


def test_nobody_else_writes_there_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Ledger("r1", tmp_path / "runs" / "r1")
    finally:
        os.umask(before)
    modes = [
        p.stat().st_mode & 0o777 for p in (tmp_path / "runs", tmp_path / "runs/r1", tmp_path / "runs/r1/ledger.jsonl")
    ]
    assert modes == [0o755, 0o700, 0o600]


def test_missing_field_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'sysctl' needs .'new', 'old'., as text"):
        Ledger("r1", tmp_path / "r1").add("sysctl", path="/proc/sys/x")


def test_second_ledger_of_a_live_run_is_refused(tmp_path: Path) -> None:
    Ledger("r1", tmp_path / "r1")
    with pytest.raises(CannotRun, match=f"already going on .process {os.getpid()}."):
        Ledger("r1", tmp_path / "r1")


def test_ledger_of_a_dead_run_asks_for_clean(tmp_path: Path) -> None:
    code = "import sys, pathlib, testbed.world.live.ledger as l; l.Ledger('r1', pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "r1")], check=True)
    owner = ledger.read(tmp_path / "r1").owner
    assert owner is not None and not owner.alive()
    with pytest.raises(CannotRun, match=r"testbed clean --run r1"):
        Ledger("r1", tmp_path / "r1")


def test_owner_is_alive_only_with_its_own_start_time_and_boot() -> None:
    me = Owner.myself()
    assert me.alive()
    assert not Owner(me.pid, me.start_time + 1, me.boot).alive()  # the pid went to another process
    assert not Owner(me.pid, me.start_time, "another boot").alive()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not collected
    assert ledger.start_time(child.pid) is None
    child.wait()


def test_full_disk_is_told_and_the_torn_line_does_no_harm(tmp_path: Path) -> None:
    """/dev/full takes the place of the open file: every write ends in ENOSPC."""
    book = Ledger("r1", tmp_path / "r1")
    book.add("container", name="before")
    good, book._file = book._file, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(CannotRun, match=r"No space left on device.*Free some space"):
        book.add("container", name="refused")
    book._file = good
    assert [e.fields["name"] for e in book.pending()] == ["before"]


@pytest.mark.live
def test_full_file_system_by_short_writes(tmp_path: Path) -> None:
    """A tmpfs of 16 KiB: the write that no longer fits is refused; all before it can be read, and later ones too."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "shaketable-test", str(tmp_path)], check=True)
    try:
        book = Ledger("r1", tmp_path / "r1")
        names = []
        with pytest.raises(CannotRun, match="No space left"):
            for number in range(1000):
                book.add("container", name=f"{number:0100}")
                names.append(f"{number:0100}")
        assert [e.fields["name"] for e in ledger.read(tmp_path / "r1").pending] == names
        subprocess.run(["mount", "-o", "remount,size=64k", str(tmp_path)], check=True)
        book.add("container", name="later")
        assert [e.fields["name"] for e in ledger.read(tmp_path / "r1").pending] == [*names, "later"]
        os.close(book._file)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_lines_are_json_objects(tmp_path: Path) -> None:
    book = Ledger("r1", tmp_path / "r1")
    book.add("fault", verb="link_state", target="a--b", shape={"up": False})
    owner, fault = [json.loads(line) for line in book.path.read_text().splitlines()]
    assert owner["kind"] == "owner" and owner["pid"] == os.getpid()
    assert fault == {"n": 1, "kind": "fault", "verb": "link_state", "target": "a--b", "shape": {"up": False}}
