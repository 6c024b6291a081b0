"""The reference of the scenario file, from its models: the tables of docs/scenario-file.md, and a JSON Schema.

`python -m testbed.scenario.reference docs/scenario-file.md` writes the tables anew, each between
`<!-- keys of MODEL -->` and `<!-- end -->`; a test says that the committed page is what this writes.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from testbed.scenario import model
from testbed.topology.explain import keys
from testbed.units import Unit, show

_TABLE = re.compile(r"(?<=<!-- keys of )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_LEAST = {"gt": "more than", "ge": "at least"}
_MOST = {"lt": "less than", "le": "at most"}


def page(text: str) -> str:
    """The page with every table between its marks as the models have it. KeyError for a model there is not."""
    return _TABLE.sub(lambda found: f"{found[1]}{found[2]}{table(getattr(model, found[1]))}", text)


def table(of: type[BaseModel]) -> str:
    """One row per key: how it is written, its default, what it means."""
    rows = [
        f"| `{key}` | {unit(info)} | {default(info)} | {info.description or ''} |\n" for key, info in keys(of).items()
    ]
    return "| key | unit | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def unit(info: FieldInfo) -> str:
    """How a value is written: its unit and bounds, or the words that are allowed."""
    kind, marks = _core(info)
    bounds = _bounds(marks)
    named = next((mark.name for mark in marks if isinstance(mark, Unit)), None)
    if named is not None:
        return f"{named}{bounds}"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if kind is model.Name or any(getattr(mark, "pattern", None) for mark in marks):
        return "name"
    options = list(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else [kind]
    return " or ".join(_word(option) for option in options) + bounds


def default(info: FieldInfo) -> str:
    """As one would write it in the file; "required" where there is none, "–" where it may be left out."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "–"
    if isinstance(value, BaseModel):
        return "`{}`"
    measured = next((m for m in _core(info)[1] if isinstance(m, Unit) and m.table), None)
    if measured is not None and measured.table is not None:
        base = next(u for u, factor in measured.table.items() if factor == 1)
        return f"`{show(value, measured.table)}`" if value else f"`0 {base}`"
    return f"`{_written(value)}`"


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file, for editors; `extends` makes every other key optional."""
    made = model.Scenario.model_json_schema(by_alias=True)
    made["properties"]["extends"] = {
        "type": "string", "description": "a shipped scenario, or a file in this folder, that this one is laid over",
    }  # fmt: skip
    made["anyOf"] = [{"required": ["extends"]}, {"required": made.pop("required")}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Shaketable scenario", **made}


def _core(info: FieldInfo) -> tuple[Any, list[Any]]:
    """The type without its `None` and its marks; the marks."""
    kind: Any = info.annotation
    marks = list(info.metadata)
    if get_origin(kind) in (Union, types.UnionType):
        left = [a for a in get_args(kind) if a is not type(None)]
        kind = left[0] if len(left) == 1 else Union[tuple(left)]  # noqa: UP007  # made from a list
    if get_origin(kind) is Annotated:
        marks, kind = [*marks, *get_args(kind)[1:]], get_args(kind)[0]
    return kind, list(_flat(marks))


def _flat(marks: list[Any]) -> Iterator[Any]:
    for mark in marks:
        yield from _flat(mark.metadata) if isinstance(mark, FieldInfo) else [mark]


def _bounds(marks: list[Any]) -> str:
    """`, 0 to 1`, `, at least 1`; nothing where a number has only to be positive, or not negative."""
    told = {
        name: getattr(mark, name)
        for mark in marks
        for name in (*_LEAST, *_MOST)
        if getattr(mark, name, None) is not None
    }
    least = [(word, told[name]) for name, word in _LEAST.items() if name in told]
    most = [(word, told[name]) for name, word in _MOST.items() if name in told]
    if least and most:
        return f", {least[-1][1]} to {most[-1][1]}"
    return "".join(f", {word} {value}" for word, value in [*least, *most] if value)


def _word(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Annotated:
        return _word(get_args(kind)[0])
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "mapping"
    return {bool: "`true` or `false`", int: "count", float: "number", str: "text", dict: "mapping", list: "list"}[
        origin
    ]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return str(value)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(page(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
