"""docs/scenario-file.md names every key of every model, with the default the model has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, TypeAdapter

from testbed.scenario import model
from testbed.topology.explain import keys
from testbed.topology.located import parse

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenario-file.md"
SECTIONS = {
    "Scenario": model.Scenario,
    "nodes.<kind>": model.NodeKind,
    "services.<service>": model.Service,
    "services.<service>.rate": model.RateLaw,
    "services.<service>.costs": model.ServiceCosts,
    "tasks.<task>": model.Task,
    "tasks.<task>.stages.<stage>": model.TaskStage,
    "access": model.AccessChannel,
    "arrivals": model.Arrivals,
    "arrivals.mmpp": model.Mmpp,
    "arrivals.trace": model.ArrivalTrace,
    "policy": model.PolicyChoice,
    "placement": model.CorePlacement,
    "bandwidth (a list)": model.Bandwidth,
    "faults (a list)": model.Fault,
    "faults.when and safety.stop (conditions)": model.When,
    "safety": model.Safety,
    "variation": model.Variation,
    "run": model.Run,
    "claims (a list)": model.Claim,
    "claims.against": model.Against,
    "claims.sweep": model.Sweep,
}


def rows(section: str) -> dict[str, str]:
    """{key: default as written} of a section's table."""
    text = DOCUMENT.read_text().replace("&lt;", "<").replace("&gt;", ">")
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    body = parts[parts.index(section) + 1]
    return dict(re.findall(r"^\| `([^`]+)` \|[^|]*\| ([^|]*) \|", body, flags=re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_with_its_default(section: str) -> None:
    described, fields = rows(section), keys(SECTIONS[section])
    assert list(described) == list(fields)
    for key, info in fields.items():
        written = described[key].strip("`")
        if info.is_required():
            assert written == "required", key
        elif info.get_default(call_default_factory=True) is None:
            assert written == "–", key
        else:
            value = parse(written, "cell").data
            read = TypeAdapter(Annotated[info.annotation, "", *info.metadata]).validate_python(value)
            assert read == info.get_default(call_default_factory=True), key


def test_every_model_has_a_section() -> None:
    models = {m for m in vars(model).values() if isinstance(m, type) and issubclass(m, BaseModel)}
    assert models - {BaseModel, model.Strict} == set(SECTIONS.values())
