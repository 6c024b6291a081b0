"""A testbed held open: the whole story from other processes, and from Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testbed.api import Bed
from testbed.errors import CannotRun, InputError
from testbed.record.folder import read
from testbed.world.live.names import Names
from tests.live_run.kit import ROOT, SCENARIO, events, until
from tests.world.live.hosts_kit import traces

pytestmark = pytest.mark.live

CALM = ("--set", "faults=[]", "--set", "bandwidth=[]")
PAGE = ROOT / "docs" / "python-api.md"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed.cli", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
    )


def ports(run: str, link: int) -> str:
    """What the kernel says of the switch-side interfaces of a link."""
    names = [Names(run).port(link, end) for end in "ab"]
    return " ".join(Path(f"/sys/class/net/{n}/operstate").read_text().strip() for n in names)


def test_up_shaken_healed_and_down_from_other_processes(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    begun = command("up", str(SCENARIO), *CALM, "--for", "5 min", "--detach", "--out", str(folder))
    assert begun.returncode == 0, begun.stderr
    run = re.findall(r"run (\S+), process", begun.stdout)[0]
    try:
        bed = Bed.attach(run)
        trunk = [k["name"] for k in bed.status()["links"]].index("s1--s2")
        assert "down" not in ports(run, trunk)
        shaken = command("inject", "link_down", "s2--s1", "--for", "60 s", "--name", "cut", "--run", run)
        at = time.monotonic()
        assert shaken.returncode == 0, shaken.stderr
        assert "cut: link_down on s1--s2, in force" in shaken.stdout and "verified" in shaken.stdout
        seen = bed.status()
        assert time.monotonic() - at < 1.0
        assert [(f["name"], f["state"], f["verified"]) for f in seen["faults"]] == [("cut", "in_force", True)]
        assert "down" in ports(run, trunk)
        assert json.loads(command("status", "--run", run, "--json").stdout).keys() == seen.keys()
        with pytest.raises(InputError, match="Did you mean 'link_down'"):
            bed.inject("link_dwon", "s1--s2", length="5 s")
        with pytest.raises(InputError, match="`heal cut` first"):
            bed.inject("bandwidth_drop", "s1--s2", length="5 s")
        assert "reverted" in command("heal", "cut", "--run", run).stdout
        until(lambda: "down" not in ports(run, trunk) and bed.status()["faults"] == [], "healed")
    finally:
        ended = command("down", "--run", run)
    assert "link_down on s1--s2" in ended.stdout, ended.stderr
    summary = read(folder)[0]
    assert [(f["name"], f["verified"]) for f in summary["faults"]] == [("cut", True)]
    assert summary["tasks"]["offered"] > 0 and summary["claims"] == []
    kinds = [e["kind"] for e in events(folder)]
    assert kinds.index("fault_injected") < kinds.index("fault_applied") < kinds.index("fault_reverted")
    until(lambda: traces(run) == [], "nothing left")
    with pytest.raises(CannotRun, match=f"no testbed {run} is up"):
        Bed.attach(run)


def test_the_page_on_the_python_api_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its example, on the small scenario; and what it says of mistakes."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    code = "".join(block for block in blocks if "Bed" in block)
    assert 'Bed.up("scenarios/demo.yaml")' in code
    calm = 'sets=["faults=[]", "bandwidth=[]"], length="5 min"'
    code = code.replace('"scenarios/demo.yaml"', f"{str(SCENARIO)!r}, {calm}, out={str(tmp_path / 'run')!r}")
    space: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    exec(compile(code, str(PAGE), "exec"), space)
    summary, bed = space["summary"], space["bed"]
    assert [f["kind"] for f in summary["faults"]] == ["link_down", "loss"]
    assert all(f["verified"] for f in summary["faults"]), summary["faults"]
    until(lambda: traces(bed.run_id) == [], "nothing left")
    assert not os.path.exists(Names(bed.run_id).folder)
    with pytest.raises(CannotRun, match="does not answer"):
        bed.status()


def test_a_scenario_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Bed.up(tmp_path / "none.yaml")
