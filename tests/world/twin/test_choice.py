"""Which engine runs, and where the compiled one is kept."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.world.twin.choice import engine_for
from testbed.world.twin.reference.engine import Reference
from tests.world.twin.random_beds import Story
from tests.world.twin.rig import Rig, chain

LAYOUT = Story(0, Reference).layout


@pytest.fixture
def no_numba(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("testbed.world.twin.kernel")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)


def test_without_numba_the_reference_runs_and_says_so(no_numba):
    said: list[str] = []
    assert isinstance(engine_for(LAYOUT, None, said.append), Reference)
    assert len(said) == 1 and "Numba" in said[0]


def test_a_kernel_that_was_asked_for_and_can_not_be_is_an_error(no_numba):
    with pytest.raises(CannotRun, match=r"needs Numba.*setup"):
        engine_for(LAYOUT, "kernel")


def test_an_engine_there_is_not():
    with pytest.raises(CannotRun, match="there is no engine 'warp'; there are: kernel, reference"):
        engine_for(LAYOUT, "warp")


def test_the_compiled_code_goes_where_it_can_be_written(monkeypatch, tmp_path):
    build = pytest.importorskip("testbed.world.twin.kernel.build", reason="capability: numba")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert build._folder().parent == tmp_path / "cache" / "shaketable"
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")  # nobody can write there
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = build._folder()
    assert Path(str(tmp_path)) in found.parents and found.stat().st_mode & 0o777 == 0o700


def test_older_kernels_make_room(monkeypatch, tmp_path):
    build = pytest.importorskip("testbed.world.twin.kernel.build", reason="capability: numba")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for k in range(12):
        (tmp_path / "shaketable" / f"kernel-{k}").mkdir(parents=True)
    (tmp_path / "shaketable" / "other").mkdir()
    found = build._folder()
    left = {p.name for p in (tmp_path / "shaketable").iterdir()}
    assert len(left) == build.KEPT + 1 and {found.name, "other"} <= left


def test_many_members_and_long_names_find_room():
    pytest.importorskip("numba", reason="capability: numba")
    rig = Rig("kernel", chain("m"))
    for _ in range(150):
        rig.engine.add("a-very-long-name-of-an-instance-that-nobody-would-choose", 0, 0, 1, 1.0, 0.1, 0, 1.0)
    last = rig.start("m", "a")
    rig.engine.push()
    for k in range(300):
        rig.task(0.001 * k, 0.01)
    rig.run(10.0)
    assert {int(v["member"]) for v in rig.visits} == {last} and len(rig.answers) == 300
