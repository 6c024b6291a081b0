"""What shakes the soak: a fault a minute, every kind of the catalogue that acts on a part, one after the other."""

from __future__ import annotations

import json
from typing import Any

#: (kind, target, parameters). Load faults are among them too, but excuse nothing (LOAD).
FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("link_down", "any trunk", {}),
    ("service_kill", "hear", {}),
    ("loss", "any trunk", {"share": 0.03}),
    ("node_crash", "any node", {}),
    ("delay_spike", "any trunk", {"add": "40 ms"}),
    ("controller_lost", "control", {}),
    ("load_spike", "any ingress", {"factor": 3}),
    ("service_hang", "cut", {}),
    ("link_flap", "any trunk", {}),
    ("node_pause", "any node", {}),
    ("jitter", "any trunk", {}),
    ("stale_view", "control", {}),
    ("duplicate", "any trunk", {}),
    ("docker_slow", "control", {"delay": "500 ms"}),
    ("switch_crash", "any site", {}),
    ("slow_service", "write", {"factor": 2}),
    ("reorder", "any trunk", {}),
    ("burst_train", "any ingress", {"factor": 3}),
    ("partition", "any site", {"shape": "isolate"}),
    ("service_errors", "hear", {"share": 0.2}),
    ("corrupt", "any trunk", {}),
    ("cpu_squeeze", "any node", {}),
    ("bandwidth_drop", "any trunk", {}),
    ("load_ramp", "any ingress", {"to": 3}),
)
LOAD = frozenset({"flash_crowd", "load_spike", "load_ramp", "burst_train"})
FIRST_S = 30.0  # the first one, s since t = 0


def timeline(seconds: float, gap_s: float = 60.0, length_s: float = 10.0) -> list[dict[str, Any]]:
    """The scenario's `faults`: a crowd that walks all the time, and a disturbance every `gap_s` of so many seconds."""
    ingresses = ["gw2", "gw3"]
    walk = {"name": "crowd", "kind": "flash_crowd", "target": "gw1", "at": "5 s", "for": "60 s", "every": "60 s",
            "overlap": True, "with": {"factor": 2, "on": ingresses}}  # fmt: skip
    made, at, k = [walk], min(FIRST_S, gap_s), 0
    while at + length_s + gap_s / 4 < seconds:
        kind, target, parameters = FAULTS[k % len(FAULTS)]
        made.append(
            {"name": f"f{k + 1}-{kind}", "kind": kind, "target": target, "at": f"{at:g} s", "for": f"{length_s:g} s",
             "overlap": kind in LOAD, "with": parameters}
        )  # fmt: skip
        at, k = at + gap_s, k + 1
    return made


def settings(seconds: float, gap_s: float, length_s: float) -> list[str]:
    """As `--set`, for a run of so many s."""
    return [f"run.duration={seconds - 5.0:g} s", f"faults={json.dumps(timeline(seconds, gap_s, length_s))}"]
