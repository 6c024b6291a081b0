"""The scenario file as JSON Schema, with the parameters of every fault kind: for editors."""

from __future__ import annotations

from typing import Any

from testbed.catalogue import kinds, load
from testbed.scenario.reference import schema


def scenario_schema() -> dict[str, Any]:
    """The models' schema; a fault's `kind` is one of the catalogue's, and says what its `with` takes."""
    made = schema()
    fault = made["$defs"]["Fault"]
    known = kinds("testbed.faults")
    fault["properties"]["kind"]["enum"] = known
    fault["properties"]["with"] = {"type": "object", "description": fault["properties"]["with"]["description"]}
    fault["allOf"] = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
         "then": {"properties": {"with": _parameters(made, kind)}}}
        for kind in known
    ]  # fmt: skip
    made["properties"]["policy"]["description"] += f": {', '.join(kinds('controller.policies'))}"
    return made


def _parameters(made: dict[str, Any], kind: str) -> dict[str, Any]:
    own: dict[str, Any] = load("testbed.faults", kind).Parameters.model_json_schema()
    made["$defs"].update(own.pop("$defs", {}))
    return own
