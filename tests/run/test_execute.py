"""A whole run against the ideal world: what is left of it when it ends early, can't begin, or is told twice to stop."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.observation import InstanceState, Observation
from testbed.dashboard.step import GOES_ON
from testbed.errors import CannotRun
from testbed.record.folder import read
from testbed.run.execute import execute
from testbed.run.prepare import Prepared, prepare
from testbed.world.base import Bed, Disturbance
from tests.run.ideal import IdealWorld
from tests.scenario.small import written

FILES = {
    "summary.json", "metadata.json", "events.jsonl", "observations.jsonl", "tasks.sqlite", "report.html", "complete",
}  # fmt: skip
HERE = signal.getsignal(signal.SIGINT)


class Disturbed(IdealWorld):
    """Signals this process when the run reaches a point of its life."""

    def __init__(self, signals: Sequence[int] = (), at: float | None = None, in_down: Sequence[int] = ()) -> None:
        super().__init__()
        self.signals, self.at, self.in_down = list(signals), at, list(in_down)

    def advance(self, until: float) -> None:
        super().advance(until)
        while self.signals and self.at is not None and self.time >= self.at:
            os.kill(os.getpid(), self.signals.pop())

    def down(self) -> None:
        while self.in_down:
            os.kill(os.getpid(), self.in_down.pop())
        super().down()


class Breaking(IdealWorld):
    """Its links are gone from t = 12 s on: time does not pass, faults can't be undone, nothing can be read."""

    def advance(self, until: float) -> None:
        super().advance(until)
        self._gone()

    def undo(self, disturbance: Disturbance) -> Disturbance:
        self._gone()
        return super().undo(disturbance)

    def measures(self) -> dict[str, object]:
        self._gone()
        return {}

    def _gone(self) -> None:
        if self.time >= 12.0:
            raise CannotRun("the link relay has ended")


class Refusing(IdealWorld):
    def up(self, bed: Bed) -> None:
        raise CannotRun("a name is held by somebody else")


def run(world: IdealWorld, tmp_path: Path, said: list[str], **options: bool) -> dict[str, object]:
    prepared: Prepared = prepare(written(tmp_path), ["policy.name=nothing"], "live")
    return execute(prepared, world, tmp_path / "run", lambda f: ([], []), lambda s: None, said.append, "r1", **options)


def lines(said: list[str]) -> list[str]:
    """Without what begins a step."""
    return [text for text in said if not text.endswith(GOES_ON)]


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> object:
    yield
    assert signal.getsignal(signal.SIGINT) == HERE


def test_a_whole_run_leaves_every_file_and_a_summary_like_the_one_returned(tmp_path: Path) -> None:
    world = IdealWorld()
    summary = run(world, tmp_path, [])
    assert {f.name for f in (tmp_path / "run").iterdir()} == FILES
    assert read(tmp_path / "run")[0] == json.loads(json.dumps(summary))
    assert summary["valid"] and summary["verdict"] == "pass"
    assert [what for what, _, _ in world.log][-1] == "down"


def test_a_run_that_can_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    world = Refusing()
    with pytest.raises(CannotRun, match="held by somebody else"):
        run(world, tmp_path, [])
    assert not (tmp_path / "run").exists()
    assert [what for what, _, _ in world.log] == ["down"]


def test_a_run_that_can_not_begin_leaves_an_empty_folder_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(CannotRun):
        run(Refusing(), tmp_path, [])
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_under_load_reverts_removes_and_reports(tmp_path: Path, number: int) -> None:
    world, said = Disturbed([number], at=12.0), list[str]()
    summary = run(world, tmp_path, said)
    assert [(w, t) for w, t, _ in world.log if w in ("disturb", "undo", "down")] == [
        ("disturb", 10.0), ("undo", 12.0), ("down", 12.0),
    ]  # fmt: skip
    assert {f.name for f in (tmp_path / "run").iterdir()} == FILES
    assert summary["invalid_because"] == ["interrupted before its end"] and summary["verdict"] == "unknown"
    assert lines(said)[1:] == [f"{signal.Signals(number).name}: reverting and removing (again to force)"]


def test_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(Disturbed([signal.SIGHUP], at=12.0), tmp_path, [])["valid"]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_world_that_breaks_ends_the_run_as_unknown_with_its_records(tmp_path: Path) -> None:
    world, said = Breaking(), list[str]()
    summary = run(world, tmp_path, said)
    assert world.log[-1] == ("down", 12.0, None)
    assert {f.name for f in (tmp_path / "run").iterdir()} == FILES
    why = summary["invalid_because"]
    assert isinstance(why, list) and why[0] == "it broke off: the link relay has ended"
    assert summary["verdict"] == "unknown" and summary["tasks"]["offered"] > 0  # type: ignore[index]
    assert "the run breaks off: the link relay has ended" in said


def test_a_full_disk_under_load_reverts_removes_and_says_so(tmp_path: Path) -> None:
    """Files of this process may grow to 6 kB: some slots fit into events.jsonl, not all."""
    world = IdealWorld()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        with pytest.raises(CannotRun, match=r"records can't be written .File too large.*free some space"):
            run(world, tmp_path, [], observations=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [w for w, _, _ in world.log if w in ("disturb", "undo", "down")] in (["down"], ["disturb", "undo", "down"])
    assert (tmp_path / "run" / "events.jsonl").stat().st_size > 1000
    assert not (tmp_path / "run" / "complete").exists()


def test_one_signal_while_it_is_removed_changes_nothing(tmp_path: Path) -> None:
    """Everything was measured: the records are those of a whole run."""
    world, said = Disturbed(in_down=[signal.SIGINT]), list[str]()
    summary = run(world, tmp_path, said)
    assert summary["valid"] and world.log[-1][0] == "down"
    assert lines(said)[1:] == ["SIGINT: the run is over, removing and writing (again to force)"]


@pytest.mark.parametrize(
    "world",
    [Disturbed([signal.SIGINT], at=12.0, in_down=[signal.SIGINT]), Disturbed(in_down=[signal.SIGINT, signal.SIGTERM])],
)
def test_the_second_signal_forces(tmp_path: Path, world: Disturbed) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path, [])
    assert not (tmp_path / "run" / "complete").exists()


def test_cost_counts_a_slot_once_though_a_detection_called_for_a_decision_in_between(tmp_path: Path) -> None:
    class Priced(IdealWorld):
        """One instance until t = 20 s, then two."""

        def observe(self, slot: int) -> Observation:
            many = 1 if self.time <= 20 else 2
            return replace(
                super().observe(slot),
                instances=tuple(InstanceState(f"see-{k}", "see", "n1", 2) for k in range(many)),
            )

    prices = ["services.see.costs={deploy: 0, keep: 3}", "policy.name=nothing"]
    prepared = prepare(written(tmp_path), prices, "live")
    costs = []
    for name, early in (("plain", None), ("early", 40.5)):
        summary = execute(
            prepared, Priced(early), tmp_path / name, lambda f: ([], []), lambda s: None, lambda s: None, "r1"
        )
        costs.append(summary["cost"]["operation_per_slot"])
        assert summary["controller"]["slots"] == 50
    slots = range(10, 50)  # of the measured window
    assert costs[0] == costs[1] == pytest.approx(sum(3 if k <= 20 else 6 for k in slots) / len(slots))
