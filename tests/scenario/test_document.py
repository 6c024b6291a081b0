"""docs/scenario-file.md is what the models say, and every model is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter

from testbed.catalogue import kinds
from testbed.cli import main
from testbed.scenario import model, reference
from testbed.topology.explain import keys
from testbed.topology.located import parse

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenario-file.md"
MODELS = [m for m in vars(model).values() if isinstance(m, type) and issubclass(m, model.Strict) and m != model.Strict]


def test_the_page_is_what_the_models_say() -> None:
    written = DOCUMENT.read_text()
    remedy = "run: .venv/bin/python -m testbed.scenario.reference docs/scenario-file.md"
    assert written == reference.page(written), remedy


def test_every_model_has_a_table() -> None:
    assert sorted(re.findall(r"<!-- keys of (\w+) -->", DOCUMENT.read_text())) == sorted(m.__name__ for m in MODELS)


@pytest.mark.parametrize("described", MODELS, ids=lambda m: m.__name__)
def test_every_key_has_a_meaning_and_its_default_reads_back(described: type[BaseModel]) -> None:
    for key, info in keys(described).items():
        assert info.description, f"{described.__name__}.{key} says nothing of what it means"
        written = reference.default(info).strip("`")
        if info.is_required():
            assert written == "required"
        elif written != "–":
            read = TypeAdapter(Annotated[info.annotation, "", *info.metadata]).validate_python(
                parse(written, "cell").data
            )
            assert read == info.get_default(call_default_factory=True), key
        else:
            assert info.get_default(call_default_factory=True) is None


def test_units_and_bounds_come_from_the_types() -> None:
    def unit(of: type[BaseModel], key: str) -> str:
        return reference.unit(keys(of)[key])

    assert unit(model.Run, "slot") == "duration"
    assert unit(model.Run, "dilate") == "factor, 1 to 1000"
    assert unit(model.Arrivals, "planner_error") == "number, 0 to 1"
    assert unit(model.ArrivalTrace, "rate") == "frequency"
    assert unit(model.Claim, "statistic") == "`mean`, `worst`"
    assert unit(model.Scenario, "topology") == "text or mapping"
    assert unit(model.TaskStage, "service") == "name"


def test_the_schema_for_editors_knows_units_kinds_and_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == {*keys(model.Scenario), "extends"}
    assert all("description" in p for d in MODELS[:-1] for p in schema["$defs"][d.__name__]["properties"].values())
    deadline = schema["$defs"]["Task"]["properties"]["deadline"]
    assert re.match(deadline["pattern"], "20 ms") and not re.match(deadline["pattern"], "20")
    fault = schema["$defs"]["Fault"]
    assert fault["properties"]["kind"]["enum"] == kinds("testbed.faults")
    assert "for" in fault["required"] and "duration" not in fault["properties"]
    drop = next(c for c in fault["allOf"] if c["if"]["properties"]["kind"]["const"] == "bandwidth_drop")
    assert "keep" in drop["then"]["properties"]["with"]["properties"]
