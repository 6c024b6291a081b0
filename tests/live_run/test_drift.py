"""Somebody else's hand in a run: told within two slots with what was expected and found, and the verdict is unknown."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live_run.kit import CALM, Run, docker, ready

pytestmark = pytest.mark.live


def test_a_queue_put_on_a_link_and_a_service_paused(tmp_path: Path) -> None:
    done: dict[str, int] = {}
    made: dict[str, str] = {}

    def meddle(run: Run, status: dict[str, Any]) -> None:
        slot = status["slot"]
        if slot >= 4 and "queue" not in done:
            done["queue"] = slot
            network = run.world._network
            made["port"] = sorted(network.interfaces_of(next(k.name for k in network.topology.links)))[0]
            words = ["tc", "qdisc", "add", "dev", made["port"], "root", "handle", "9:", "pfifo", "limit", "500"]
            subprocess.run(words, check=True)
        if slot >= 8 and "pause" not in done:
            done["pause"] = slot
            victim = next(i for i in status["instances"] if i["service"] == "hear")
            made["service"] = victim["id"]
            docker("pause", run.container(victim["node"], victim["id"]))

    run = Run(ready(*CALM, "run.duration=6 s"), tmp_path / "run", meddle)
    summary = run()
    told = {e["what"]: e for e in run.events("drift")}
    slots = {e["slot"]: e["planned_s"] for e in run.events("slot")}
    queue, pause = told[f"queueing discipline 9: {made['port']}"], told["its container"]
    assert (queue["name"], queue["expected"]) == ("the host", None) and queue["found"].startswith("pfifo")
    assert (pause["name"], pause["expected"], pause["found"]) == (f"service {made['service']}", "running", "paused")
    first, second, *_ = sorted(slots.values())
    slot = second - first
    assert queue["actual_s"] - slots[done["queue"]] < 2.5 * slot, "within two slots, and the half of lateness"
    assert pause["actual_s"] - slots[done["pause"]] < 2.5 * slot
    assert not summary["valid"] and summary["verdict"] == "unknown"
    assert any("changed by somebody else" in why for why in summary["invalid_because"])
