"""The books of a run: names and codes, tasks offered and resolved, tables in pieces."""

import numpy as np
import pytest

from testbed.record.folder import RunFolder
from testbed.record.tables import LATE, LOOSE, ON_TIME, STAGES, TASKS, UNANSWERED, Names, Pile, TaskBook, task_rows
from tests.load.builders import model


def tasks(*ids, outcome=UNANSWERED):
    return task_rows([(k, k / 10, 0.5, np.nan, 0.0, 0, 0, 1, outcome) for k in ids])


def test_names_follow_from_the_model_and_instances_grow():
    names = Names.of(model())
    assert (names.ingresses, names.types, names.nodes) == (("gw1", "gw2"), ("a", "b"), ("n1", "n2"))
    assert (names.stages, names.services) == (("image", "llm"), ("llm", "image"))
    assert names.stage_of.tolist() == [[0, 1], [0, -1]]
    assert names.service_of.tolist() == [[1, 0], [1, -1]]
    assert [names.instance(i) for i in ("x", "y", "x")] == [0, 1, 0] and names.instances == ["x", "y"]


def test_rows_are_small():
    """A run of a million tasks and seven million visits keeps all of them in memory."""
    assert (TASKS.itemsize, STAGES.itemsize) == (48, 48)


def test_every_task_has_one_row_in_order_of_its_id():
    book = TaskBook()
    book.offer(tasks(1, 2, 3))
    book.offer(tasks(*range(4, 3001)))
    book.resolve(tasks(3, 1, outcome=ON_TIME))
    book.resolve(tasks(2, outcome=LATE))
    book.resolve(tasks())
    assert (book.offered, book.resolved, book.on_time) == (3000, 3, 2)
    assert book.rows()["id"].tolist() == list(range(1, 3001))
    assert book.rows()["outcome"][:4].tolist() == [ON_TIME, LATE, ON_TIME, UNANSWERED]
    assert book.intended(0.25) == 2 and book.intended(0.3) == 3


@pytest.mark.parametrize("strange", [(3,), (0,), (-1,)])
def test_a_row_of_a_task_nobody_offered_is_refused(strange):
    book = TaskBook()
    book.offer(tasks(1, 2))
    with pytest.raises(ValueError, match="2 were offered"):
        book.resolve(tasks(*strange))


def test_a_second_row_of_a_task_is_refused():
    for batches in ([(1, 1)], [(1,), (1,)]):
        book = TaskBook()
        book.offer(tasks(1, 2))
        with pytest.raises(ValueError, match="second row"):
            for ids in batches:
                book.resolve(tasks(*ids))


def test_ids_carry_on():
    book = TaskBook()
    book.offer(tasks(1, 2))
    with pytest.raises(ValueError, match="carry on"):
        book.offer(tasks(4))


def test_a_pile_keeps_its_order_and_joins_what_is_small():
    pile = Pile(TASKS, chunk=4)
    assert [len(c) for c in pile.chunks()] == [0]
    for ids in ((1, 2), (), (3,), (4, 5), (6, 7, 8, 9, 10, 11), (12,)):
        pile.add(tasks(*ids))
    assert [c["id"].tolist() for c in pile.chunks()] == [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10, 11], [12]]
    assert len(pile) == 12


def test_a_pile_of_many_small_pieces_is_a_few_large_ones():
    """An hour's run adds a handful of rows every slot; each array of its own would cost more than the rows in it."""
    pile = Pile(TASKS)
    for k in range(1, 1 + 10 * LOOSE + 3):
        pile.add(tasks(k))
    assert len(pile._pieces) == 10 + 3
    (rows,) = pile.chunks()
    assert rows["id"].tolist() == list(range(1, 1 + 10 * LOOSE + 3))


def test_a_pile_with_a_file_keeps_in_memory_what_is_loose_only(tmp_path):
    """Read twice, and between the two it grows: in the same order, and as if there were no file."""
    with RunFolder(tmp_path / "run").scratch() as file:
        pile, plain, k = Pile(TASKS, chunk=50, file=file), Pile(TASKS, chunk=50), 0
        for _ in range(2):
            for _ in range(5 * LOOSE // 2):
                pile.add(tasks(k + 1, k + 2))
                plain.add(tasks(k + 1, k + 2))
                k += 2
            assert len(pile._pieces) < LOOSE and len(pile) == len(plain) == k
            assert np.concatenate(list(pile.chunks()))["id"].tolist() == list(range(1, k + 1))
            both = [np.concatenate(list(p.chunks())) for p in (pile, plain)]
            assert repr(both[0].tolist()) == repr(both[1].tolist())
        assert max(len(c) for c in pile.chunks()) <= max(50, 2 * LOOSE)
        assert [f.name for f in (tmp_path / "run").iterdir()] == ["events.jsonl"]


def test_a_full_disk_is_said_when_it_happens():
    with open("/dev/full", "r+b", buffering=0) as file, pytest.raises(OSError, match="No space"):
        pile = Pile(TASKS, file=file)
        for k in range(LOOSE):
            pile.add(tasks(k + 1))
