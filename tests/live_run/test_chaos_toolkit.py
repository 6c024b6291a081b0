"""The real `chaos` on a running testbed: docs/chaos-toolkit.json from end to end, and how refusals end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from testbed import chaos
from testbed.api import Bed
from tests.live_run.kit import ROOT, SCENARIO, events, until
from tests.world.live.hosts_kit import traces

pytestmark = pytest.mark.live
EXPERIMENT = ROOT / "docs" / "chaos-toolkit.json"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("chaos") / "run"
    made = Bed.up(SCENARIO, sets=["faults=[]", "bandwidth=[]"], out=folder, length="5 min")
    try:
        made.wait_for(lambda s: s["on_time_rate_last_5_s"] is not None, 30.0)
        yield made
    finally:
        made.down()
    until(lambda: traces(made.run_id) == [], "nothing left")


def aimed(bed: Bed, value: Any) -> Any:
    """The experiment with every activity at this testbed, whatever else is up on the machine."""
    if isinstance(value, list):
        return [aimed(bed, v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: aimed(bed, v) for k, v in value.items()}
    if out.get("module") == "testbed.chaos":
        out["arguments"] = {**out.get("arguments", {}), "run": bed.run_id}
    return out


def run(folder: Path, experiment: Any) -> tuple[int, dict[str, Any]]:
    """chaos's exit code and journal."""
    file, journal = folder / "experiment.json", folder / "journal.json"
    file.write_text(json.dumps(experiment))
    words = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", str(folder / "chaos.log"), "run",
             "--rollback-strategy", "always", "--journal-path", str(journal), str(file)]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert journal.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(journal.read_text())


def test_the_experiment_of_the_document(bed: Bed, tmp_path: Path) -> None:
    code, journal = run(tmp_path, aimed(bed, json.loads(EXPERIMENT.read_text())))
    assert (code, journal["status"], journal["deviated"]) == (0, "completed", False), journal
    cut, looked = journal["run"]
    assert cut["output"]["name"] == "cut" and cut["output"]["faults"][0]["verified"] is True
    assert looked["output"] is True
    assert [f["name"] for f in journal["rollbacks"][0]["output"]] == ["cut"]
    until(lambda: bed.status()["faults"] == [], "healed")
    until(lambda: chaos.links_up(bed.run_id), "up again")  # the status is of the last slot
    assert not chaos.fault_in_force("cut", bed.run_id)
    kinds = [e["kind"] for e in events(bed.folder)]
    assert kinds.index("fault_injected") < kinds.index("fault_applied") < kinds.index("fault_reverted")


def test_what_the_testbed_refuses_fails_the_activity_in_its_words(bed: Bed, tmp_path: Path) -> None:
    experiment = aimed(bed, json.loads(EXPERIMENT.read_text()))
    experiment["method"][0]["provider"]["arguments"]["kind"] = "link_dwon"
    _, journal = run(tmp_path, experiment)
    failed = journal["run"][0]
    assert failed["status"] == "failed" and "Did you mean 'link_down'" in str(failed["exception"])


def test_probes(bed: Bed) -> None:
    run_id = bed.run_id
    assert chaos.instances("cut", run_id) >= 1 and chaos.instances(run=run_id) > chaos.instances("cut", run_id)
    assert chaos.value("tasks.offered", run_id) > 0 and chaos.value("links.0.up", run_id) is True
    assert chaos.heal("none-such", run_id) == []
    with pytest.raises(ActivityFailed, match=r"no 'links\.99\.up': at '99' there is list"):
        chaos.value("links.99.up", run_id)
    with pytest.raises(ActivityFailed, match="no testbed 20990101 is up"):
        chaos.on_time_rate("20990101")
