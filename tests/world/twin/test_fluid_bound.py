"""No simulated policy exceeds the fluid bound of its own tasks: several policies, loads, seeds, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.world.twin.calibration import IDEAL, LIVE
from tests.world.twin.kit import ROOT, run

SHORT = ["run.duration=8 s", "run.warmup=2 s"]
E12, DEMO, ABILENE = (ROOT / "scenarios" / f"{name}.yaml" for name in ("e12", "demo", "abilene"))


@pytest.mark.parametrize(
    ("file", "policy", "load", "seed"),
    [
        (E12, "two_tier", 1, 1),
        (E12, "two_tier", 3, 2),
        (E12, "static_peak", 1, 3),
        (E12, "static_peak", 3, 1),
        (E12, "static_peak", 6, 2),  # more than the core services can carry
        (E12, "nearest", 2, 4),
        (E12, "least_loaded", 2, 5),
        (DEMO, "two_tier", 1, 1),  # with faults
        (DEMO, "static", 2, 2),
        (ABILENE, "two_tier", 1, 1),  # bandwidth that fluctuates
        (ABILENE, "static_peak", 3, 2),
    ],
    ids=lambda v: v.stem if isinstance(v, Path) else str(v),
)
def test_no_policy_exceeds_it(tmp_path: Path, file: Path, policy: str, load: int, seed: int) -> None:
    faults = [] if file == DEMO else ["faults=[]"]
    timing = ["run.duration=20 s"] if file == DEMO else SHORT
    sets = [*timing, *faults, f"policy.name={policy}", f"load={load}", f"run.seed={seed}", "run.dilate=1"]
    summary = run(tmp_path / "run", file, sets, engine=None, calibration=LIVE if file == DEMO else IDEAL)
    assert summary["tasks"]["offered"] > 50
    assert summary["on_time_rate"] <= summary["fluid_bound"] + 1e-9
    assert summary["fluid_bound"] >= 0.3, "a bound of nothing would hold, too"
