"""`testbed up`, `inject`, `heal`, `status` and `down`: the testbed held open for hands-on work."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from testbed.cli.page import live_page, told
from testbed.cli.progress import Progress, stderr, tell
from testbed.dashboard.page.feed import NONE, Wanted
from testbed.dashboard.table import Dashboard
from testbed.errors import CannotRun, InputError
from testbed.hands import client
from testbed.hands.hold import hold
from testbed.record.folder import read
from testbed.report.closing import closing
from testbed.run.execute import default_folder
from testbed.run.prepare import Prepared, load, telling
from testbed.run.summary import INTERRUPTED
from testbed.units import counted
from testbed.verdict.claims import EXIT
from testbed.world.live import ledger
from testbed.world.live.names import Names

UP_S = 600.0  # for a detached testbed to be up
EXAMPLE = "sudo ./shaketable inject link_down {trunk} --for '10 s'"


def up(
    file: Path, sets: Sequence[str], out: Path | None, length: str | None, announce: int | None,
    page_wanted: Wanted = NONE, as_json: bool = False,
) -> int:  # fmt: skip
    """In the foreground, with the table. announce: a descriptor that hears the run id once the testbed is up.

    The page's address, which lets whoever knows it shake the testbed, goes to the terminal or down that descriptor,
    never into a log.
    """
    board = Dashboard(stderr())
    with Progress() as progress:
        held = hold(file, sets, out, length, board.say, telling(progress.now))
    prepared, trunk = held.prepared, _free_trunk(held.prepared)
    places: list[str] = []

    def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return client.ask(held.run_id, _from_page(request))

    def opened() -> None:
        board.say(f"held open for {prepared.horizon:.0f} s; from another terminal: {EXAMPLE.format(trunk=trunk)}")
        if announce is not None:
            with suppress(OSError):  # whoever started us may have gone
                os.write(announce, "\n".join([held.run_id, *places]).encode())
                os.close(announce)

    with board, live_page(page_wanted, prepared, held.run_id, held.out, ask) as (page, beside):
        board.say(f"{prepared.scenario.name}: {prepared.scenario.question}")
        board.say(
            f"run {held.run_id}, seed {prepared.seed}, policy {prepared.scenario.policy.name}; records: {held.out}"
        )
        places += told(page, ask) if page is not None else []
        for line in places if announce is None else ():
            board.say(line)
        summary = held.run(opened, beside(board.show), board.say)
        words = closing(summary, str(held.out))
        if page is not None:
            page.close(words)
    if as_json:
        board.say(words)
    tell(read(held.out)[0] if as_json else words)
    return 130 if INTERRUPTED in summary["invalid_because"] else EXIT[summary["verdict"]]


def _free_trunk(prepared: Prepared) -> str:
    """A link for the example, better one on which the scenario plans nothing: a second fault there is refused."""
    taken = {p.fault.target for p in prepared.planned}
    trunks = [k.name for k in prepared.resolved.topology.links if k.role == "trunk"]
    return next((k for k in trunks if k not in taken), next(iter(trunks), "LINK"))


def up_detached(
    file: Path, sets: Sequence[str], out: Path | None, length: str | None, page: Wanted = NONE, as_json: bool = False
) -> int:
    """The same in a session of its own; returns once it is up, or with its exit code and its last words."""
    folder = (out or default_folder(load(file, sets), Path("results"))).absolute()
    log = folder.with_name(folder.name + ".log")
    words = [sys.executable, "-m", "testbed.cli", "up", str(file), "--out", str(folder)]
    words += [f"--set={s}" for s in sets] + (["--for", length] if length else [])
    words += [] if page.port is None else ["--page", f"--page-port={page.port}"]
    words += ["--page-read-only"] * page.read_only + ([] if page.metrics is None else [f"--metrics={page.metrics}"])
    hears, says = os.pipe()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file_of_log:
            process = subprocess.Popen(
                [*words, "--announce", str(says)], stdin=subprocess.DEVNULL, stdout=file_of_log, stderr=file_of_log,
                start_new_session=True, pass_fds=[says],
            )  # fmt: skip
    except OSError as error:
        raise CannotRun(f"{log}: can't be written ({error.strerror}); name another folder with --out") from None
    finally:
        os.close(says)
    with Progress() as progress:
        progress.now(lambda: f"bringing the testbed up: {last_told(log)}")
        run_id, *places = _await(process, hears)
    if not run_id:
        sys.stderr.write(log.read_text(errors="replace"))
        return process.wait() or 4
    if as_json:
        tell({"run": run_id, "process": process.pid, "folder": str(folder), "log": str(log), "places": places})
        return 0
    print(f"up: run {run_id}, process {process.pid}; records: {folder}, what it says: {log}")
    for line in places:
        print(line)
    print("next:  sudo ./shaketable status\n       sudo ./shaketable inject KIND TARGET --for '10 s'")
    print("       sudo ./shaketable heal\n       sudo ./shaketable down")
    return 0


def _await(process: subprocess.Popen[bytes], hears: int) -> list[str]:
    """The run id and where it can be looked at; "" when the process has ended. Interrupted: down."""
    try:
        ready = select.select([hears], [], [], UP_S)[0]
        if ready:
            return os.read(hears, 1000).decode().split("\n")
        _give_up(process)
        return [""]
    except KeyboardInterrupt:
        _give_up(process)
        raise
    finally:
        os.close(hears)


def last_told(log: Path) -> str:
    """What the testbed told last, without its own time."""
    lines = log.read_text(errors="replace").splitlines()
    return re.sub(r"^testbed: |, \d+ s$", "", lines[-1]) if lines else "reading the scenario"


def _give_up(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def inject(
    kind: str, target: str, parameters: Sequence[str], length: str, name: str | None, overlap: bool, run: str | None,
    as_json: bool = False,
) -> int:  # fmt: skip
    request = {
        "do": "inject", "kind": kind, "target": target, "for": length, "with": _parameters(parameters), "name": name,
        "overlap": overlap,
    }  # fmt: skip
    faults = client.ask(client.choose(run), request)["faults"]
    tell({"faults": faults} if as_json else "\n".join(map(_line, faults)))
    return 0


def heal(name: str | None, run: str | None, as_json: bool = False) -> int:
    healed = client.ask(client.choose(run), {"do": "heal", "name": name})["healed"]
    words = "\n".join(map(_line, healed)) if healed else "no fault is in force"
    tell({"healed": healed} if as_json else words)
    return 0


def status(run: str | None, as_json: bool) -> int:
    found = client.ask(client.choose(run), {"do": "status"})
    tell(found if as_json else _table(found))
    return 0


def down(run: str | None, as_json: bool = False) -> int:
    """Returns 0 when everything is gone and recorded, 3 where the run may not be believed."""
    chosen = client.choose(run)
    pid = client.holder(chosen)
    folder = Path(client.ask(chosen, {"do": "down"})["folder"])
    before = time.monotonic()
    with Progress() as progress:
        progress.now(lambda: going(Path(Names(chosen).folder)))
        client.await_down(pid, folder)
    try:
        summary = read(folder)[0]
    except InputError:
        raise CannotRun(
            f"run {chosen} is down, its records are not whole: see {folder}; `sudo ./shaketable clean` removes the rest"
        ) from None
    took = f"down in {time.monotonic() - before:.1f} s"
    tell(summary if as_json else f"{took}\n{closing(summary, str(folder))}")
    return EXIT[summary["verdict"]]


def going(folder: Path) -> str:
    """What a testbed that goes down does, by the ledger in its folder."""
    left = Counter(e.kind for e in ledger.read(folder).pending)
    if not left:
        return "writing the records"
    kinds = [(left.pop(kind), kind) for kind in ("container", "bridge", "interface") if kind in left]
    kinds += [(left.total(), "other thing")] if left else []
    return f"reverting and removing, left: {', '.join(counted(n, kind) for n, kind in kinds)}"


def _from_page(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the page asked for as the door wants it: parameters are written there as on the command line."""
    written = request.get("with", [])
    if request.get("do") != "inject":
        return dict(request)
    if not isinstance(written, list) or not all(isinstance(item, str) for item in written):
        raise InputError("inject: with: a list of key=value is expected")
    return {**request, "with": _parameters(written)}


def _parameters(written: Sequence[str]) -> dict[str, Any]:
    """ "keep=0.5" as a scenario's `with` would have it."""
    out: dict[str, Any] = {}
    for item in written:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InputError(f"inject: {item!r} is no parameter: write key=value, e.g. keep=0.5")
        try:
            out[key] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(f"inject: {key}: {value!r} is no value ({str(error).splitlines()[0]})") from None
    return out


def _line(fault: Mapping[str, Any]) -> str:
    words = {
        "in_force": f"in force, {fault['left_s'] or 0.0:.1f} s left",
        "planned": f"begins at {fault['begins_s'] or 0.0:.1f} s" if fault["begins_s"] is not None else "waits",
        "reverted": "reverted",
        "withheld": "withheld",
    }[fault["state"]]
    checked = {True: ", verified", False: ", not verified yet" if fault["state"] == "in_force" else ", NOT verified"}
    seen = f": {fault['evidence']}" if fault["evidence"] else ""
    return f"{fault['name']}: {fault['kind']} on {fault['target']}, {words}{checked.get(fault['verified'], '')}{seen}"


def _table(s: Mapping[str, Any]) -> str:
    tasks = s["tasks"]
    lines = [
        f"run {s['run']} · {s['scenario']} · policy {s['policy']} · seed {s['seed']}"
        f" · t {s['t_s']:.1f} of {s['ends_s']:.0f} s",
        f"  on time {_percent(s['on_time_rate'])} of {tasks['resolved']} tasks, of the last 5 s"
        f" {_percent(s['on_time_rate_last_5_s'])}; {s['backlog']} requests wait",
    ]
    for node in s["nodes"]:
        mine = [i for i in s["instances"] if i["node"] == node]
        what = "  ".join(f"{i['service']}×{i['workers']}{_mark(i)}" for i in mine)
        lines.append(f"  {node:<12} queue {sum(i['backlog'] for i in mine):<4} {what}")
    for k in s["links"]:
        rate = f"{k['rate_bps'] / 1e6:.1f} Mbit/s" if k["up"] else "down"
        lines.append(f"  {k['name']:<24} {rate:<14} {' '.join(k['faults'])}".rstrip())
    return "\n".join([*lines, *(f"  fault {_line(f)}" for f in s["faults"])])


def _mark(instance: Mapping[str, Any]) -> str:
    return "" if instance["state"] == "ready" else f" ({instance['state']})"


def _percent(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f} %"
