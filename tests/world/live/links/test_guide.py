"""The do-nothing back end of docs/adding/link-backend.md as it stands there: made, used, taken away."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import choice
from testbed.world.live.links.base import End, LinkBackend, WireLink
from tests.documents.shown import ROOT, blocks
from tests.world.live.links.conftest import ip

PACKAGE = "testbed.world.live.links"
Wires = Any


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LinkBackend]:
    """Written where the guide says, and with the guide's own line among those that are asked."""
    module, line = (b.text for b in blocks(ROOT / "docs" / "adding" / "link-backend.md") if b.language == "python")
    assert module.startswith("# testbed/world/live/links/plain.py\n")
    (tmp_path / "plain.py").write_text(module)
    ours = importlib.import_module(PACKAGE)
    monkeypatch.setattr(ours, "__path__", [*ours.__path__, str(tmp_path)])
    monkeypatch.setattr(choice, "OFFERS", dict(choice.OFFERS))
    found = importlib.import_module(f"{PACKAGE}.plain")
    exec(line, {"OFFERS": choice.OFFERS, "Offer": choice.Offer, "Plain": found.Plain})
    yield choice.make("plain", 1, "shaketable.run=sktest")
    sys.modules.pop(f"{PACKAGE}.plain")


@pytest.mark.live
def test_the_guides_back_end_carries_frames_and_goes_away(plain: LinkBackend, wires: Wires) -> None:
    link = wires.link(Shape(10e6))
    wires.join(plain, link)
    assert plain.read_back(link.name)[2]
    one, two = wires.pair(link)
    two.setblocking(True)
    for _ in range(10):
        one.send(b"frame")
        assert two.recv(100) == b"frame"
    assert plain.counters(link.name).ab.packets >= 10
    with pytest.raises(CannotRun, match="shapes nothing"):
        plain.change(link.name, "both", Shape(5e6))
    plain.set_state(link.name, False)
    assert not plain.read_back(link.name)[2]
    plain.set_state(link.name, True)
    assert plain.read_back(link.name)[2]
    plain.close()
    assert link.a.interface not in ip("-n", wires.names[0], "link")
    plain.create([link])
    with pytest.raises(CannotRun, match="exists already"):
        plain.create([link])
    assert plain.read_back(link.name)[2], "what was there first is still there"


def test_it_refuses_and_so_the_next_one_is_asked(plain: LinkBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "OFFERS", {"plain": choice.OFFERS["plain"], **choice.OFFERS})
    features = {name: True for offer in choice.OFFERS.values() for name in offer.requires}
    link = WireLink("l", End("a", "/run/netns/a"), End("b", "/run/netns/b"), Shape(1e6), Shape(1e6))
    assert choice.choose(link, (), features) == "htb"
    assert choice.refusals(link, (), features) == {"plain": "plain shapes nothing"}
