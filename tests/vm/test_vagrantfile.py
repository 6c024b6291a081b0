"""The Vagrantfile, as Vagrant itself reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.vm.project import ROOT


def validate(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("vagrant") is None:
        pytest.skip("capability: no vagrant here")
    variables = {
        **os.environ,
        "VAGRANT_HOME": str(home),
        "VAGRANT_CWD": str(ROOT),
        "VAGRANT_DOTFILE_PATH": str(home / "d"),
    }
    return subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], capture_output=True, text=True, check=False,
        env={**variables, **environment},
    )  # fmt: skip


def test_vagrant_accepts_it_with_a_box_of_a_name_or_a_file(tmp_path: Path) -> None:
    box = tmp_path / "local.box"
    box.touch()
    for name in ("debian/bookworm64", str(box)):
        done = validate(tmp_path, SHAKETABLE_BOX=name, SHAKETABLE_CPUS="4", SHAKETABLE_MEMORY="8192")
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_size_that_is_no_number_is_refused(tmp_path: Path) -> None:
    assert validate(tmp_path, SHAKETABLE_CPUS="many").returncode != 0
