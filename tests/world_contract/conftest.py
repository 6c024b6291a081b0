"""Every world, by name, and the story each was told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from testbed.world.base import World
from tests.conftest import missing_for_live
from tests.world.live.hosts_kit import new_run_id, traces
from tests.world_contract.story import Story, Teller, bed


def twin() -> World:
    from testbed.world.twin.world import TwinWorld

    return TwinWorld(new_run_id(), lambda text: None)


def live() -> World:
    from testbed.world.live.world import LiveWorld

    return LiveWorld(new_run_id(), lambda text: None)


WORLDS = [pytest.param(twin, id="twin"), pytest.param(live, id="live", marks=pytest.mark.live)]


def make(build: Callable[[], World]) -> World:
    if build is live and (missing := missing_for_live()):
        pytest.skip(f"live tests cannot run here: {missing}")
    return build()


def nothing_left(world: World) -> bool:
    return world.name != "live" or traces(world.run_id) == []  # type: ignore[attr-defined]


@pytest.fixture(scope="session", params=WORLDS)
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    world = make(request.param)
    plan = bed(world.run_id)  # type: ignore[attr-defined]
    try:
        world.up(plan)
        yield Teller(world, plan.names).tell()
    finally:
        world.down()
    world.down()
    assert nothing_left(world)


@pytest.fixture(params=WORLDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[World]:
    """One that has not been up; it is down afterwards, whatever happened."""
    world = make(request.param)
    try:
        yield world
    finally:
        world.down()
    assert nothing_left(world)
