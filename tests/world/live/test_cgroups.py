"""Cgroup paths and files, on folders that stand for the hierarchies of other machines."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from testbed.world.live import cgroups
from testbed.world.live.cgroups import Cgroups, Limits, same, slice_name
from testbed.world.live.names import Names


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cgroup v2 hierarchy as files."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    monkeypatch.setattr(cgroups, "mounts", lambda: {"": tmp_path})
    return tmp_path


def test_v2_limits_are_written_read_back_and_handed_down(unified: Path) -> None:
    made = Cgroups("cgroupfs")
    path = f"{Names('ab12').cgroup}/n1"
    made.create(path, Limits(0.2, 2**20))
    folder = unified / path.lstrip("/")
    assert (folder / "cpu.max").read_text() == "20000 100000" and (folder / "memory.max").read_text() == "1048576"
    assert made.limits(path) == Limits(0.2, 2**20)
    for level in (unified, folder.parent, folder):
        assert (level / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    made.limit(path, Limits())
    assert made.limits(path) == Limits(None, None)


def test_v2_counters(unified: Path) -> None:
    folder = unified / "shaketable.run-ab12/n1"
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")
    (folder / "memory.current").write_text("4096\n")
    made = Cgroups("cgroupfs")
    assert made.cpu_seconds("/shaketable.run-ab12/n1") == 1.5
    assert made.memory_bytes("/shaketable.run-ab12/n1") == 4096


def test_slices_nest_by_hyphen_so_names_have_none() -> None:
    assert slice_name("/shaketable.run-ab12") == "shaketable_run_ab12.slice"
    assert slice_name("/shaketable.run-a-b/metro-1") == "shaketable_run_a_b-metro_1.slice"


def test_find_names_the_runs_of_both_drivers(unified: Path) -> None:
    for name in ("shaketable.run-ab12", "shaketable_run_cd34.slice", "system.slice", "docker", "shaketable"):
        (unified / name).mkdir()
    assert cgroups.find() == {"/shaketable.run-ab12": "ab12", "/shaketable.run-cd34": "cd34"}
    assert cgroups.find("cd34") == {"/shaketable.run-cd34": "cd34"}
    assert cgroups.find("other") == {}


def test_remove_takes_only_runs(unified: Path) -> None:
    (unified / "shaketable.run-ab12" / "n1").mkdir(parents=True)
    (unified / "system.slice").mkdir()
    with pytest.raises(ValueError, match="not a cgroup of a run"):
        cgroups.remove("/system.slice")
    assert cgroups.remove("/shaketable.run-ab12") and cgroups.remove("/shaketable.run-ab12")  # twice is once
    assert sorted(p.name for p in unified.iterdir()) == ["cgroup.controllers", "system.slice"]


@pytest.mark.parametrize(
    ("asked", "found", "equal"),
    [
        (Limits(1 / 3, None), Limits(0.33333, None), True),
        (Limits(0.001, None), Limits(0.01, None), True),  # the kernel takes no quota below 1 ms per period
        (Limits(0.5, None), Limits(None, None), False),
        (Limits(None, 5000.0), Limits(None, 4096.0), True),  # whole pages
        (Limits(None, 2**30), Limits(None, 2**29), False),
    ],
)
def test_same_up_to_the_kernels_units(asked: Limits, found: Limits, equal: bool) -> None:
    assert same(found, asked) is equal


@pytest.mark.live
def test_systemd_takes_the_limits_and_the_kernel_has_them() -> None:
    if not Path("/run/systemd/system").is_dir() or cgroups.version() != 2:
        pytest.skip("capability: no systemd with cgroup v2")
    made, names = Cgroups("systemd"), Names(f"t{uuid.uuid4().hex[:8]}")
    path = f"{names.cgroup}/n1"
    try:
        for asked in (Limits(16.0, 16e9), Limits(1 / 3, 2**28), Limits()):
            made.create(path, asked)
            assert same(made.limits(path), asked), asked
        assert names.cgroup in cgroups.find()
    finally:
        assert cgroups.remove(names.cgroup)
    assert names.run_id not in cgroups.find().values()
