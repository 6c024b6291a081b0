"""A picture of what each fault does: the demo's edge, 20 s, the fault from 8 to 14 s; in the twin, from one seed.

`.venv/bin/python docs/examples/fault_pictures.py docs/pictures/faults [KIND …]` writes one SVG per kind that the twin
does, the same bytes every time. Kinds that replay a file are passed over.
"""

import sys
import tempfile
from pathlib import Path

from testbed.api import Run, Scenario, run
from testbed.catalogue import kinds
from testbed.cli import main
from testbed.errors import CannotRun

TARGETS = {
    "cpu_squeeze": "n4", "node_crash": "n4", "node_pause": "n4",
    "partition": "s1", "switch_crash": "s2",
    "service_errors": "llm", "service_hang": "llm", "service_kill": "llm", "slow_service": "llm",
    "memory_squeeze": "n4",
    "node_restart": "n4",
    "wrong_profile": "llm",
    "controller_slow": "control",
    "docker_failing": "control",
    "stale_view": "control", "docker_slow": "control", "controller_lost": "control",
    "load_spike": "gw1", "load_ramp": "gw1", "burst_train": "gw1", "flash_crowd": "gw1",
}  # fmt: skip
#: Parameters where the default is too mild to be seen.
WITH = {
    "bandwidth_drop": "{keep: 0.1}",
    "delay_spike": "{add: 150 ms}",
    "loss": "{share: 0.1}",
    "corrupt": "{share: 0.1}",
    "flash_crowd": "{on: [gw2, gw3]}",
}


def shaken(kind: str, out: Path) -> Run:
    """One run under a fault of this kind. Raises CannotRun where the twin does not do it."""
    fault = f"{{name: {kind}, kind: {kind}, target: {TARGETS.get(kind, 's1--s2')}, at: 8 s, for: 6 s"
    sets = (f"faults=[{fault}, with: {WITH.get(kind, '{}')}}}]", "claims=[]", "bandwidth=[]")
    return run(
        Scenario("scenarios/demo.yaml", sets).changed({"run.duration": "17 s", "run.warmup": "3 s"}),
        world="twin",
        out=out,
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in sys.argv[2:] or [k for k in kinds("testbed.faults") if not k.endswith("_trace")]:
        with tempfile.TemporaryDirectory() as place:
            try:
                shaken(kind, Path(place) / "run")
            except CannotRun as error:
                print(f"{kind}: {error}")
                continue
            main(["report", str(Path(place) / "run"), "--figures"])
            (folder / f"{kind}.svg").write_bytes((Path(place) / "run" / "figures" / "on_time.svg").read_bytes())
