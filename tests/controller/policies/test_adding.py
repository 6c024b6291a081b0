"""docs/adding/policy.md, followed: one file makes a policy, found by its name, run through a scenario by it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from controller import policies
from controller.light.routing import RULES
from controller.observation import Observation
from testbed.run.prepare import prepare

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "adding" / "policy.md").read_text(encoding="utf-8")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """`nothing.py` copied to `mine.py`, as the guide says to begin."""
    assert "Start from `nothing.py`" in GUIDE
    folder = Path(next(iter(policies.__path__)))
    text = (folder / "nothing.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.replace('"nothing"', '"mine"').replace("policy nothing", "policy mine"))
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path)])
    yield "mine"
    sys.modules.pop("controller.policies.mine", None)


def test_a_file_in_the_folder_is_a_policy(mine: str) -> None:
    assert mine in policies.names()
    policy = policies.get(mine)
    assert policy.name == mine and policy.routing in RULES
    p = prepare(ROOT / "scenarios" / "demo.yaml", ["policy.name=mine"], "twin")
    assert p.policy is policy and len(p.initial.actions) == len(p.initial.reasons) > 0
    state, decision = policy.step(p.resolved.model, p.state, Observation(1, 1.0, ()))
    assert decision.actions == () and state is not None


def test_its_parameters_come_from_the_scenario_and_unknown_ones_are_named(mine: str) -> None:
    policy = policies.get(mine)
    with pytest.raises(ValueError, match=r"policy 'mine' has no parameter 'plan_lod'. Did you mean 'plan_load'\?"):
        policy.place(prepare(ROOT / "scenarios" / "demo.yaml", [], "twin").resolved.model, {"plan_lod": 1.0})


def test_what_the_guide_names_exists() -> None:
    folder = Path(next(iter(policies.__path__)))
    for name in re.findall(r"`(_?\w+\.py)`", GUIDE):
        assert (folder / name).is_file(), name
    for path in re.findall(r"\]\((\.\./[^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / "adding" / path).resolve().exists(), path
