"""Several targets at once, by number or share, drawn per seed; and what can't be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.scenario import targets
from testbed.scenario.model import Fault
from testbed.topology.build import build
from tests.scenario.small import only, problems, scenario

METRO = build({"generator": "metro", "clusters": 4, "nodes": ["big"]}, ["big"], 1)
RING = build({"generator": "ring", "sites": 5, "nodes": ["big"]}, ["big"], 1)


def aimed(target: str, seed: int = 1, index: int = 0) -> tuple[str, ...]:
    fault = Fault(kind="link_down", target=target, **{"for": "1 s"})
    return targets.concrete(fault, index, METRO, seed, ["see", "cut", "hear"]).targets


@pytest.mark.parametrize("plural", list(targets.PLURALS))
def test_all_of_them_in_their_order(plural: str) -> None:
    services = ["see", "cut", "hear"]
    assert list(aimed(f"all {plural}")) == targets.names(METRO, targets.PLURALS[plural], services)


def test_a_number_of_them_each_once_and_by_the_seed() -> None:
    nodes = targets.names(METRO, "node")
    drawn = {seed: aimed("2 of nodes", seed) for seed in range(40)}
    assert all(len(set(pair)) == 2 and set(pair) <= set(nodes) for pair in drawn.values())
    assert all(list(pair) == sorted(pair, key=nodes.index) for pair in drawn.values()), "in the topology's order"
    assert {n for pair in drawn.values() for n in pair} == set(nodes), "any may be drawn"
    assert drawn[3] == aimed("2 of nodes", 3) and len(set(drawn.values())) == len(nodes) * (len(nodes) - 1) / 2
    assert {aimed("2 of nodes", 3, index) for index in range(9)} != {drawn[3]}, "faults draw on their own"


@pytest.mark.parametrize(
    ("share", "of", "count"), [("25", 5, 1), ("30", 5, 2), ("50", 5, 3), ("1", 5, 1), ("100", 5, 5)]
)
def test_a_share_is_rounded_and_at_least_one(share: str, of: int, count: int) -> None:
    for words in (f"{share} % of trunks", f"{share}% of trunks"):
        known, number = targets.crowd(words, RING) or ([], 0)
        assert (len(known), number) == (of, count)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("0 of trunks", "write 1 to"),
        ("99 of trunks", "write 1 to"),
        ("101 % of trunks", "up to 100 %"),
        ("0% of links", "above 0"),
        ("2 of nodes", "no target of this kind of fault. Allowed after `of`: links, trunks"),
        ("2 of trunk", "or, chosen per seed: any link, any trunk, 2 of links"),
        ("s1--s2, s1--s3", "there is no link"),
    ],
)
def test_what_is_not_meant_is_said(tmp_path: Path, target: str, says: str) -> None:
    found = [p for p in problems(tmp_path, ("target: s1--s2", f"target: '{target}'")) if p.path == "faults.0.target"]
    assert says in only(found).message


def test_drawn_targets_that_meet_are_found_before_the_run(tmp_path: Path) -> None:
    """Of a named trunk and a drawn one: exactly the seeds that draw that very trunk are refused."""
    second = "- {name: other, kind: link_down, target: any trunk, at: 12 s, for: 5 s}"
    said: dict[int, str] = {}
    for seed in range(1, 41):
        try:
            scenario(tmp_path, ("claims:", f"  {second}\nrun: {{seed: {seed}}}\nclaims:"))
        except InputError as error:
            said[seed] = only(error.problems).message
    assert 0 < len(said) < 40, "some seeds draw it, and not all"
    assert all(f"on the same target 's1--s2' (drawn by seed {seed})" in words for seed, words in said.items())
