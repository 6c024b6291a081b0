"""One small valid scenario, and a way to break it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from testbed.errors import InputError, Problem
from testbed.scenario.loader import load
from testbed.scenario.model import Scenario

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

GOOD = textwrap.dedent("""\
    name: small
    question: Does it work?
    topology: metro9
    nodes:
      big: {cpu: 8, memory: 8 GB, speed: 2}
      medium: {cpu: 8, memory: 8 GB}
      small: {cpu: 4, memory: 4 GB}
    services:
      see: {tier: core, work: 40 ms, cpu: 4, memory: 4 GB, streams: 2}
      cut: {tier: light, work: 10 ms, memory: 1 GB}
    tasks:
      photo:
        share: 1
        deadline: 500 ms
        output: 1 kB
        stages:
          cut: {inputs: {ingress: 1 MB}}
          see: {inputs: {cut: 1 MB}}
    access: {rate: 100 Mbit/s}
    arrivals: {rate: 5 /s}
    faults:
      - {name: cut, kind: link_down, target: s1--s2, at: 10 s, for: 5 s}
    claims:
      - {id: ok, metric: on_time_rate, at_least: 0.5}
    """)


class NoParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Spike(BaseModel):
    model_config = ConfigDict(extra="forbid")
    factor: Annotated[float, Field(gt=0, le=20)] = 3.0


#: Stands in for testbed/faults, which is a floor above.
FAULTS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "link_down": (NoParameters, ("link",)),
    "load_spike": (Spike, ("ingress",)),
}


def written(folder: Path, text: str = GOOD, *changes: tuple[str, str]) -> Path:
    """The text with each (old, new) replaced, in a file; every `old` must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def scenario(folder: Path, *changes: tuple[str, str], sets: Sequence[str] = ()) -> Scenario:
    return load(written(folder, GOOD, *changes), sets, FAULTS)


def problems(folder: Path, *changes: tuple[str, str], sets: Sequence[str] = ()) -> list[Problem]:
    """All problems of the changed scenario; none is an error of the test."""
    try:
        scenario(folder, *changes, sets=sets)
    except InputError as error:
        return error.problems
    raise AssertionError("the scenario was accepted")


def only(found: list[Any]) -> Any:
    assert len(found) == 1, [str(p) for p in found]
    return found[0]
