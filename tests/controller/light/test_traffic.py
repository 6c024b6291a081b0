"""What stays on a node crosses no link: flows of neighbours, a slot's traffic, room and senders, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.light import sites
from controller.light.actions import Wanted
from controller.light.control import begin
from controller.light.index import index
from controller.light.slot import Slot, open_slot, take
from controller.light.state import Parameters
from controller.light.traffic import Neighbour, neighbours
from controller.model import Light
from controller.observation import InstanceState, Observation
from tests.controller.light.slotsim import PLACED, metro


def slot(**workers: dict[str, int]) -> Slot:
    """The demonstration with its core services on n1 and n4, and light workers where they are said to be."""
    model = metro()
    state, _ = begin(model, PLACED, Parameters())
    there = {m: dict.fromkeys(nodes, 1) for m, nodes in PLACED.instances.items()} | workers
    instances = tuple(InstanceState(f"{m}-{v}", m, v, n) for m, rows in there.items() for v, n in rows.items())
    return open_slot(model, replace(state, asked={}), Observation(1, 1.0, instances))


def light(of: Slot, name: str) -> Light:
    return next(m for m in of.index.model.light if m.name == name)


def test_neighbours_of_a_chain_are_what_it_says() -> None:
    model = metro()
    found = neighbours(model, index(model).edges)
    assert found["image"] == (Neighbour("vision", False, 1.0, 1.0, 0.8e6),)
    assert [(n.service, n.before) for n in found["llm"]] == [("vision", True), ("format", False)]
    assert found["llm"][0] == found["vision"][1]._replace(service="vision", before=True)


def test_what_stays_is_on_no_link_whoever_comes_second() -> None:
    """image beside vision on n1: its megabytes come in, what it sends vision does not go out and not come in."""
    here, apart = slot(image={"n1": 2}), slot(image={"n2": 2})
    n1, n2 = here.index.position["n1"], here.index.position["n2"]
    for s, v in ((here, n1), (apart, n2)):
        core_in, core_out = s.into.copy(), s.out.copy()
        image = light(s, "image")
        rate = sum(s.state.local["image"].values())
        size, sent = s.index.edges["image"][0], s.index.sent["image"]
        where = {s.index.model.nodes[v].name: 2}
        take(s, image, Wanted("image", where, {}, s.state.local["image"], {}, {}, {}))
        home = min(rate, s.flows[s.index.row["vision"], v]) * sent
        assert s.into[v] - core_in[v] == pytest.approx(rate * size - home)
        assert s.out[v] - core_out[v] == pytest.approx(rate * sent - home)
        assert (home > 0.0) == (v == n1)
        assert (s.into > -1e-6).all() and (s.out > -1e-6).all()


def test_a_link_has_room_for_more_workers_beside_what_they_feed() -> None:
    """10 requests per s of 2 MB and worker on half a gigabit less 12.5 MB/s: two; beside a vision that takes up to 40
    per s of 0.8 MB from there, four."""
    s = slot(image={"n4": 2})
    image, n1, n2 = light(s, "image"), s.index.position["n1"], s.index.position["n2"]
    s.into[:] = s.out[:] = 12.5e6
    s.flows[s.index.row["vision"]] = np.where(np.arange(len(s.cpu)) == n1, 40.0, 0.0)
    field = sites.field_of(s, image)
    at = {int(v): k for k, v in enumerate(field.columns)}
    field = replace(field, room=np.full(len(at), 30), current=np.zeros(len(at), np.int64))
    whole = np.arange(3), np.array([0, 3]), np.array([0])
    got = sites.offers(s, image, field, *whole, np.array([4]), np.array([40.0]))
    assert got.columns.tolist() == list(at)
    assert (got.room[at[n1]], got.room[at[n2]]) == (4, 2)


def test_senders_are_where_the_stage_before_stands() -> None:
    """format gets all from llm, on n1 in the west and n4 in the centre; in the east the gateway stands for it."""
    s = slot(image={"n1": 1}, format={"n1": 1})
    ends, rows, shares = sites.senders(s, light(s, "format"))
    sent = {(s.index.domains[g], int(e)): x for e, g, x in zip(ends, rows, shares, strict=True) if x > 0}
    n1, n4 = s.index.position["n1"], s.index.position["n4"]
    assert sent == {("west", n1): 1.0, ("centre", n4): 1.0, ("east", int(s.index.representatives[2])): 1.0}
    ends, rows, shares = sites.senders(s, light(s, "image"))
    assert ends.tolist() == s.index.representatives.tolist() and shares.tolist() == [1.0] * 3
