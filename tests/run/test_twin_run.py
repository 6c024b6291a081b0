"""A run in the twin, from file to records: the same bytes each time, by anybody, with nothing of live's installed."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from testbed.cli import main
from testbed.record.folder import ask, read
from tests.cli.kit import ROOT, python
from tests.scenario.small import GOOD, written

SETS = ["--set", "run.warmup=2 s", "--set", "run.duration=16 s", "--set", "arrivals.rate=30 /s"]
#: What a clock may say in summary.json.
OFF_THE_CLOCK = (("placement", "seconds"), ("controller", "decide_s_p50"), ("controller", "decide_s_p99"))


def run(scenario: Path, out: Path, *words: str) -> int:
    return main(["run", str(scenario), "--in", "twin", *SETS, "--out", str(out), *words])


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    crash = "    - {name: crash, kind: node_crash, target: n2, at: 4 s, for: 5 s}\n"
    return written(tmp_path, GOOD, ("claims:\n", crash.replace("    -", "  -") + "claims:\n"))


def without_clock(summary: dict[str, Any]) -> dict[str, Any]:
    for part, key in OFF_THE_CLOCK:
        assert summary[part].pop(key) is not None
    return summary


def test_one_seed_is_one_run_byte_for_byte(scenario: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert run(scenario, a) == run(scenario, b) == 0
    for name in ("events.jsonl", "tasks.sqlite", "report.html"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    one, other = (without_clock(read(folder)[0]) for folder in (a, b))
    assert json.dumps(one) == json.dumps(other)
    assert one["valid"] and one["tasks"]["offered"] > 300 and len(one["faults"]) == 2
    assert read(a)[1] == read(b)[1], "metadata of one command line"


def test_another_seed_is_another_run(scenario: Path, tmp_path: Path) -> None:
    run(scenario, tmp_path / "a")
    run(scenario, tmp_path / "b", "--seed", "2")
    assert (tmp_path / "a" / "tasks.sqlite").read_bytes() != (tmp_path / "b" / "tasks.sqlite").read_bytes()


def test_policies_see_the_same_tasks(scenario: Path, tmp_path: Path) -> None:
    offered = []
    for policy in ("nothing", "two_tier"):
        run(scenario, tmp_path / policy, "--policy", policy)
        offered.append(ask(tmp_path / policy, "select id, ingress, type, at_s, deadline_s from tasks"))
    assert offered[0] == offered[1] != []


def test_it_needs_nothing_that_a_live_run_needs(scenario: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('docker', 'mininet', 'os_ken', 'paramiko'): sys.modules[name] = None\n"
        "from testbed.cli import main\n"
        f"sys.exit(main({['run', str(scenario), '--in', 'twin', *SETS, '--out', str(tmp_path / 'out')]!r}))\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out")[0]["world"] == "twin"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_can(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    become = f"import os; os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\n"
    if python("-c", become + f"import sys; sys.path.insert(0, {str(ROOT)!r}); import testbed.cli.run").returncode != 0:
        pytest.skip("nobody may not read this checkout or its environment")
    code = (
        f"{become}"
        "import sys, tempfile\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from testbed.cli import main\n"
        "folder = Path(tempfile.mkdtemp())\n"
        f"(folder / 's.yaml').write_text({GOOD!r})\n"
        f"code = main(['run', str(folder / 's.yaml'), '--in', 'twin', *{SETS!r}, '--out', str(folder / 'out')])\n"
        "import shutil; shutil.rmtree(folder)\n"
        "sys.exit(code)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
