"""Single tasks and rows on the live side of the door, and the tables in front of it."""

import numpy as np

from testbed.record.tables import DONE, EXPIRED, LOST, ON_TIME, Names
from testbed.world.live.rows import StageRow, TaskRow, draws_of, tables_of
from tests.load.builders import model
from tests.load.test_tasks import source


def test_a_batch_becomes_its_tasks_one_by_one():
    batch, names = source().until(10.0), Names.of(model())
    draws = draws_of(batch, names)
    assert [d.id for d in draws] == batch.id.tolist() and [d.at for d in draws] == batch.at.tolist()
    assert {(d.type, tuple(d.work)) for d in draws} == {("a", ("image", "llm")), ("b", ("image",))}
    assert [sum(d.work.values()) for d in draws] == [sum(w) for w in batch.work.tolist()]
    assert {type(v) for d in draws for v in (d.at, d.access, d.size, *d.work.values())} == {float}, "JSON takes these"


def test_rows_become_codes_and_none_becomes_nan():
    names = Names.of(model())
    rows = tables_of(
        [
            TaskRow(7, "gw2", "b", 1.0, 0.5, "expired", None, 2, 0.01),
            TaskRow(8, "gw1", "a", 1, 0.5, "on_time", 0.1, 1, 0),
        ],
        [
            StageRow(7, "image", "image", "image-1", "n2", 2, 1.1, None, None, "lost"),
            StageRow(8, "llm", "llm", "llm-1", "n1", 1, 1.1, 1.2, 1.3, "done"),
        ],
        names,
    )
    assert rows.tasks[["id", "ingress", "type", "attempts", "outcome"]].tolist() == [
        (7, 1, 1, 2, EXPIRED),
        (8, 0, 0, 1, ON_TIME),
    ]
    assert np.array_equal(rows.tasks["latency"], [np.nan, 0.1], equal_nan=True)
    codes = ["task", "stage", "service", "instance", "node", "attempt", "outcome"]
    assert rows.stages[codes].tolist() == [(7, 0, 1, 0, 1, 2, LOST), (8, 1, 0, 1, 0, 1, DONE)]
    assert np.array_equal(rows.stages["finished"], [np.nan, 1.3], equal_nan=True)
    assert names.instances == ["image-1", "llm-1"]
    empty = tables_of([], [], names)
    assert len(empty.tasks) == len(empty.stages) == 0
