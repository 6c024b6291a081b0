"""What a sender remembers of instances that left its view: enough for frames bound to them, and no more."""

import sys

from tests.containers.bed import ROOT

sys.path.insert(0, str(ROOT / "containers"))
sys.path.insert(0, str(ROOT / "controller" / "light"))

from common import sender

PATHS = {"endpoints": ["n1"], "delay": [[0.0]], "per_byte": [[0.0]]}


def view(*names):
    return {"targets": {"a": [[i, "n1", "127.0.0.1", 7000, 1, 0, 0.01, 0] for i in names]}, **PATHS}


def test_those_that_left_last_are_remembered_and_one_that_returns_is_not_gone():
    s = sender.Sender("n1", 0.05, lambda failed: None)
    for k in range(3 * sender.MOST_GONE):
        s.set_view(k, view(f"a-{k}", f"a-{k + 1}"))
    assert len(s.gone) == sender.MOST_GONE
    newest = 3 * sender.MOST_GONE - 2
    assert list(s.gone) == [f"a-{k}" for k in range(newest - sender.MOST_GONE + 1, newest + 1)]
    s.set_view(-1, view(f"a-{newest}"))
    assert f"a-{newest}" not in s.gone and f"a-{newest + 1}" in s.gone
