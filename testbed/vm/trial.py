"""`./shaketable vm-test`: does what this machine may lack (netem, the kernel's datapath, cgroup v2 with systemd) work?

A machine is made, booted and asked, part by part; one line each. A part that fails does not keep the next ones from
being tried, but for those that stand on it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun, ShaketableError
from testbed.vm import image, qemu, remote
from testbed.vm.remote import Machine

SCENARIO = "scenarios/machine/parts.yaml"
#: What each step takes on two emulated cores that nobody else uses, s: for the time left, nothing else.
TAKES = {"boot": 90.0, "set-up": 60.0, "doctor": 30.0, "links": 480.0, "run": 330.0, "kill": 240.0, "records": 10.0}
INTERRUPTED = 130  # exit code of our own programs
KILLED_S = 900.0  # for a run to be up, and again for its removal
#: Nothing of ours: containers, bridges, run folders, slices.
LEFT = """docker ps -aq --filter label=shaketable.run; ovs-vsctl --timeout=30 list-br; ls /run/shaketable 2>/dev/null;
systemctl list-units --all --plain --no-legend 'shaketable_run*' | cut -d' ' -f1"""


@dataclass
class Report:
    """One line per part, as it is known. left: s of the steps to come."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, part: str, passed: bool | None, why: str = "") -> None:
        word = {True: "passed", False: "FAILED", None: "unknown"}[passed]
        self.rows.append((part, word, why))
        print(f"{part}: {word}" + (f" ({why})" if why else ""), flush=True)

    @property
    def code(self) -> int:
        words = {word for _, word, _ in self.rows}
        return 1 if "FAILED" in words else 3 if "unknown" in words else 0


@dataclass
class Clock:
    """Says what is done and how much is left."""

    left: float
    factor: float = 1.0

    def step(self, what: str, takes: float) -> None:
        print(
            f"testbed: {what}; about {max(self.left, takes) * self.factor / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
        self.left -= takes


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="shaketable vm-test", description=__doc__.split("\n", 1)[0])
    p.add_argument("--out", type=Path, metavar="DIR", help="records go here (default results/vm-test-TIME)")
    try:
        return trial(p.parse_args(argv).out or Path("results") / f"vm-test-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    except ShaketableError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("testbed: interrupted; the guest is gone", file=sys.stderr)
        return 130


def trial(out: Path) -> int:
    """Exit code: 0 all parts passed, 1 one failed, 3 one is unknown. CannotRun where there is no guest."""
    if os.geteuid() != 0:
        raise CannotRun("an image is made as root. Run: sudo ./shaketable vm-test")
    if why := qemu.lacking():
        raise CannotRun(f"no virtual machine here: {why}")
    report, began = Report(), time.monotonic()
    clock = Clock(sum(TAKES.values()) + (0.0 if image.Image(image.cache() / image.key()).complete else 300.0))
    made = image.ensure(clock.step)
    words, found = qemu.accelerator(made.folder / "kernel")
    _say(found)
    emulated = words == qemu.EMULATED
    clock.factor = 1.0 if emulated else 0.3
    clock.step("booting", TAKES["boot"])
    with qemu.guest(made, words, image.FOLDER, _say) as m:
        _say(f"up after {time.monotonic() - began:.0f} s")
        _parts(m, report, clock, emulated)
        clock.step("fetching the records", TAKES["records"])
        remote.bring(m, "vm-test", out)
    (out / "parts.json").write_text(
        json.dumps([{"part": a, "found": b, "why": c} for a, b, c in report.rows], indent=1) + "\n"
    )
    _say(f"{len(report.rows)} parts in {(time.monotonic() - began) / 60:.0f} min")
    return report.code


def _parts(m: Machine, report: Report, clock: Clock, emulated: bool) -> None:
    clock.step("our own set-up in there", TAKES["set-up"])
    remote.copy(m)
    code = _followed(m, "rm -rf results && mkdir -p results/vm-test && ./shaketable setup")
    report("set-up", code == 0, "" if code == 0 else f"exit code {code}")
    if code == 0:
        for what, do in (("doctor", _doctor), ("links", _links), ("run", _run), ("kill", _kill)):
            clock.step({"kill": "a run that is killed"}.get(what, what), TAKES[what])
            try:
                do(m, report, emulated)
            except ShaketableError as error:
                report(what, False, str(error).splitlines()[0])


def _doctor(m: Machine, report: Report, emulated: bool) -> None:
    """What the guest's kernel and daemons offer, as a run would find it."""
    done = m.ssh.ask(m.shell("./shaketable doctor --json | tee results/vm-test/doctor.json"))
    facts = _json(done.out)
    caps = facts.get("capabilities", {})
    features, docker = caps.get("features", {}), caps.get("docker", {})
    report("doctor", bool(facts.get("live")), "; ".join(p["what"] for p in facts.get("problems", [])))
    for part, good, seen in (
        ("netem", features.get("netem") and features.get("ifb_mirred"), features),
        ("kernel datapath", caps.get("ovs", {}).get("datapath") == "system", caps.get("ovs")),
        ("cgroup v2", caps.get("cgroup_version") == 2, caps.get("cgroup_version")),
        ("systemd driver", docker.get("cgroup_driver") == "systemd", docker.get("cgroup_driver")),
    ):
        report(f"{part} found", bool(good), "" if good else str(seen))


def _links(m: Machine, report: Report, emulated: bool) -> None:
    """Both back ends against their configuration; an emulated processor gets the links of a dilated run."""
    done = m.ssh.ask(
        m.shell(
            f"./shaketable doctor --links --dilate {10 if emulated else 1} --json 2>results/vm-test/links.err"
            " | tee results/vm-test/links.json"
        )
    )
    rows = _json(done.out).get("rows", [])
    for backend in ("netem", "relay"):
        own = [row for row in rows if row["backend"] == backend]
        outside = [row["quantity"] for row in own if row["within"] is False]
        passed = bool(own) and not outside
        why = f"{len(own) - len(outside)} of {len(own)} quantities within their bounds"
        if outside and emulated:
            why += ", on an emulated processor: outside are " + ", ".join(sorted(set(outside)))
        report(f"{backend} calibrated", passed or (None if own and emulated else False), why)


def _run(m: Machine, report: Report, emulated: bool) -> None:
    """A small run, slowed down, in which a trunk is cut and a node crashes."""
    code = _followed(m, f"./shaketable run {SCENARIO} --dilate {_dilation(emulated)} --out results/vm-test/run")
    summary = _json(m.ssh.ask(m.shell("cat results/vm-test/run/summary.json")).out)
    if not summary:
        report("run", False, f"exit code {code}, no records")
        return
    because = "; ".join(summary["invalid_because"])
    report("netem", summary["link_backend"] == "netem", f"links by {summary['link_backend']}")
    report("kernel datapath", summary["datapath"] in ("system", "kernel"), summary["datapath"])
    for fault in summary["faults"]:
        report(
            fault["kind"], bool(fault["verified"]), "" if fault["verified"] else f"on {fault['target']}: not verified"
        )
    tasks = summary["tasks"]
    report("tasks", tasks["completed"] > 0, f"{tasks['on_time']} of {tasks['offered']} on time")
    report("run", True if code == 0 else None if code == 3 else False, because or f"exit code {code}")
    report("nothing left", not _left(m), " ".join(_left(m)))


def _kill(m: Machine, report: Report, emulated: bool) -> None:
    """A run killed in its tracks: its reaper removes what it had made, and `clean` finds nothing more."""
    begin = (
        f"setsid ./shaketable run {SCENARIO} --dilate {_dilation(emulated)} --set run.duration='100 s'"
        " --out results/killed </dev/null >results/vm-test/killed.log 2>&1 & echo $!"
    )
    pid = int(m.ssh.ask(m.shell(f"{{ {begin}; }}")).out)
    _until(m, "grep -q origin results/killed/events.jsonl", "the run to be up")
    had = _left(m)
    m.ssh.ask(f"kill -9 {pid}")
    _until(m, f'test -z "$({LEFT})"', "the reaper to remove what a killed run had made")
    report("kill", bool(had), f"{len(had)} things were there, none is left")
    code = _followed(m, "./shaketable clean")
    report("clean", code == 0 and not _left(m), " ".join(_left(m)))


def _followed(m: Machine, command: str) -> int:
    """Its exit code. Ctrl-C is typed there, so what was interrupted there was to be interrupted here."""
    code = m.follow(command)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _dilation(emulated: bool) -> int:
    return 30 if emulated else 4


def _left(m: Machine) -> list[str]:
    return m.ssh.ask(LEFT).out.split()


def _until(m: Machine, condition: str, what: str) -> None:
    end = time.monotonic() + KILLED_S
    while m.ssh.ask(m.shell(condition)).code != 0:
        if time.monotonic() > end:
            raise CannotRun(f"waited {KILLED_S:.0f} s for {what}")
        time.sleep(2)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _say(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
