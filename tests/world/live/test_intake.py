"""What the containers reported: each sample in one slot, each row once, an arrival by the domain of its sender."""

from __future__ import annotations

from testbed.record.tables import Names
from testbed.world.live.hub_books import HubBatch
from testbed.world.live.intake import Intake
from testbed.world.live.rows import TaskDraw, TaskRow
from tests.load.builders import model


def test_what_is_absorbed_is_in_one_slot_and_in_one_table() -> None:
    said: list[str] = []
    intake = Intake(Names.of(model()), {"gw1": "a", "n1": "a", "n2": "b"}, said.append)
    intake.offer([TaskDraw(i, "gw1", "b", at, 0.5, 0.0, {}) for i, at in enumerate((0.2, 0.9, 1.0, 1.7))])
    row = TaskRow(0, "gw1", "b", 0.2, 0.5, "on_time", 0.1, 1, 0.0)
    first = HubBatch(
        task_rows=[row], arrivals={("image", "gw1"): 2, ("image", "n1"): 3, ("image", "n2"): 4},
        service_samples={"image": [0.1]}, waits={"image": [0.0, 0.2]}, backlogs={"i1": (3, 1)}, notes=("a word",),
    )  # fmt: skip
    intake.absorb(first)
    intake.absorb(HubBatch(arrivals={("image", "n1"): 1}, service_samples={"image": [0.3]}, backlogs={"i1": (2, 1)}))
    assert said == ["a word"] and intake.backlogs == {"i1": (2, 1)}
    assert intake.slot(1.0) == {
        "arrivals": {("image", "a"): 6, ("image", "b"): 4},
        "services": {"image": (0.1, 0.3)},
        "waits": {"image": (0.0, 0.2)},
        "offered": {("gw1", "b"): 2},
    }
    assert intake.slot(2.0) == {"arrivals": {}, "services": {}, "waits": {}, "offered": {("gw1", "b"): 2}}
    assert len(intake.rows().tasks) == 1 and len(intake.rows().tasks) == 0
