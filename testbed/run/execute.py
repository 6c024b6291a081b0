"""One run from end to end: up, loop, records; whatever happens, reverted, removed and reported."""

from __future__ import annotations

import errno
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import platform, python_version
from typing import Any

from controller.light import loops
from controller.observation import Observation
from testbed.errors import CannotRun, InputError, ShaketableError
from testbed.faults.base import catalogue_of_faults, load_kind
from testbed.load.bandwidth import Bins
from testbed.record.folder import RunFolder, vacant
from testbed.record.tables import Names
from testbed.run import summary as summaries
from testbed.run.loop import Hands, Journey, Listener, Loop
from testbed.run.prepare import Prepared
from testbed.run.provenance import ground, inputs
from testbed.run.replay import Log
from testbed.run.shaker import Limits, Shaker
from testbed.run.signals import Interrupted, Signals
from testbed.scenario.model import Scenario
from testbed.world.base import SIMULATED, Bed, World

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
WORTH_A_LINE = 0.1  # s: what took less was nothing to remove


def run_id_of(prepared: Prepared) -> str:
    """Sortable by time, with six random hex digits at the end that tag everything of the run.

    A simulated run makes nothing that would have to be told apart: it is named by what determines it.
    """
    if prepared.world in SIMULATED:
        return f"{prepared.world}-{prepared.sha256[:12]}-s{prepared.seed}"
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"


def default_folder(scenario: Scenario, root: Path) -> Path:
    return root / f"{scenario.name}-{datetime.now():%Y%m%d-%H%M%S}-s{scenario.run.seed}"


def bed_of(prepared: Prepared, run_id: str, bins: Bins, names: Names, records: Path | None = None) -> Bed:
    """What a world is asked to build. records: the run's folder."""
    needs: dict[str, frozenset[str]] = {}
    if prepared.written is not None:  # held open: by hand, a trunk may get any shape
        kinds = [load_kind(kind) for kind in catalogue_of_faults()]
        every = frozenset().union(*(k.NEEDS for k in kinds if "link" in k.TARGETS))
        needs = {k.name: every for k in prepared.resolved.topology.links if k.role == "trunk"}
    for p in prepared.planned:
        fields = load_kind(p.fault.kind).NEEDS
        for name in p.links:
            needs[name] = needs.get(name, frozenset()) | fields
    return Bed(
        run_id, prepared.seed, prepared.scenario, prepared.resolved.topology, prepared.resolved.model,
        prepared.initial, names, tuple(prepared.tracks(bins)), needs, prepared.policy.routing,
        None if records is None else records.absolute(),
    )  # fmt: skip


def execute(
    prepared: Prepared,
    world: World,
    out: Path,
    bins: Bins,
    listener: Listener,
    say: Callable[[str], None],
    run_id: str,
    latest: bool = True,
    observations: bool | None = None,
    hands: Hands | None = None,
    bound: bool = True,
) -> dict[str, Any]:
    """Run it. Returns the summary, which also lies in `out`. Raises ShaketableError where it could not run.

    A world that breaks under a run that goes on ends it: what was measured until then is kept, its verdict unknown.
    latest: whether the link of that name beside `out` is to point there and the page is the whole one; not for one run
    among many.
    observations: whether what the policy was shown is written too (`testbed replay`); None: in a world whose runs can't
    be had again. hands: who may work on it meanwhile, and end it. bound: solve for the fluid bound, which takes as long
    as a short twin run.
    """
    vacant(out)  # said now, not after the half minute that a first run takes to get ready
    say("making the controller's loops ready …")
    loops.ready()  # now, so that no slot of the run waits for it
    keep = prepared.world not in SIMULATED if observations is None else observations
    signals = Signals(say)
    with RunFolder(out) as folder, signals.caught():
        folder.event("prepared", scenario=prepared.scenario.name, seed=prepared.seed, run_id=run_id)
        source = prepared.source()
        topology = prepared.resolved.topology
        limits = Limits.of(prepared.scenario.safety, len(topology.nodes), len(topology.links))
        shaker = Shaker(world, source, prepared.planned, folder.event, topology, limits)
        loop = Loop(
            world, prepared.policy, prepared.resolved.model, prepared.state, source, shaker, folder,
            prepared.horizon, prepared.scenario.run.slot, time.perf_counter, listener,
            Names.of(prepared.resolved.model), prepared.world in SIMULATED, Log(folder, prepared) if keep else _unseen,
            hands, 0.0 if prepared.world in SIMULATED else 2.0 * prepared.scenario.run.view_interval,
        )  # fmt: skip
        measured: Mapping[str, Any] = {}
        up = False
        try:
            before = time.monotonic()
            world.up(bed_of(prepared, run_id, bins, loop.names, out))
            up = True
            say(f"up in {time.monotonic() - before:.1f} s; shaking for {_length(prepared)}")
            if hands is not None:
                hands.begin(loop)
            loop.run()
        except Interrupted as reason:
            loop.journey.interrupted = True
            say(f"{reason}: reverting and removing (again to force)")
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            if not up:
                folder.discard()
            raise CannotRun(f"no space left for what a run makes ({error}): free some and start again") from error
        except ShaketableError as error:
            folder.event("failed", error=str(error))
            if not up:
                folder.discard()
            if not up or isinstance(error, InputError):
                raise
            loop.journey.invalid.append(f"it broke off: {error}")
            say(f"the run breaks off: {error}")
        finally:
            signals.finishing = True
            if hands is not None:
                hands.end()
                prepared = prepared.cut_to(world.now() if loop.journey.ended is None else loop.journey.ended)
            measured = _finish(loop, world, say)
        if folder.lost:
            raise CannotRun(folder.lost)
        say("bounding what any routing could reach …" if bound else "summing up …")
        summary = summaries.build(
            prepared, loop.journey, prepared.placement, prepared.placement_s, shaker.summary(), measured,
            prepared.tracks(bins), bound,
        )  # fmt: skip
        say("writing the records …")
        _write(folder, prepared, loop.journey, summary, {**measured, **inputs(prepared, bins)}, run_id, latest)
    return summary


def _unseen(observation: Observation, wrong: Mapping[str, float]) -> None:
    """Nobody looks."""


def _length(prepared: Prepared) -> str:
    if prepared.world in SIMULATED:
        return f"{prepared.horizon:.0f} s of its own time"
    return f"{prepared.horizon * prepared.scenario.run.dilate:.0f} s"


def _finish(loop: Loop, world: World, say: Callable[[str], None]) -> Mapping[str, Any]:
    """Revert, read the last measures, remove. Each step runs even when the one before failed."""
    measured: dict[str, Any] = {}
    say("reverting what is in force …")
    try:
        for step in (loop.shaker.revert_all, loop.gather, lambda: measured.update(world.measures())):
            try:
                step()
            except (ShaketableError, OSError) as error:
                loop.journey.invalid.append(f"the end of the run failed: {error}")
    finally:
        before = time.monotonic()
        world.down()
        if (took := time.monotonic() - before) > WORTH_A_LINE:
            say(f"removed in {took:.1f} s")
    return measured


def _write(
    folder: RunFolder,
    prepared: Prepared,
    journey: Journey,
    summary: dict[str, Any],
    measured: Mapping[str, Any],
    run_id: str,
    latest: bool,
) -> None:
    from testbed.report.page import page

    folder.write_rows(journey.tasks.rows(), journey.stages.chunks(), journey.names)
    metadata = {
        "run_id": run_id,
        "scenario_text": prepared.text,
        "sha256": prepared.sha256,
        "seed": prepared.seed,
        "argv": sys.argv[1:],
        "versions": {"shaketable": _version("shaketable"), "python": python_version(), "platform": platform()},
        "parameters": prepared.parameters,
        "true_weights": prepared.resolved.true_weights,
        "moves": journey.moves,
        "arrivals": measured["arrivals"],
        "bandwidth": measured["bandwidth"],
        **measured.get("metadata", {}),
        "ground": ground(prepared),
    }
    folder.write_json("metadata.json", metadata)
    folder.write_json("summary.json", summary)
    folder.write("report.html", page(folder.path, whole=latest))
    folder.complete(latest)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown (not installed)"
