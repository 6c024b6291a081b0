"""What pydantic refuses, in our words: where, what was found, what is allowed, the nearest name."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from testbed.catalogue import nearest
from testbed.topology.located import Place, Step

_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_SHAPES = {"dict_type": "a mapping of names to values", "list_type": "a list",
           "model_type": "a mapping of keys to values",
           "model_attributes_type": "a mapping of keys to values", "string_type": "a text", "tuple_type": "a list",
           "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
           "int_parsing_size": "a whole number of fewer digits",
           "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
           "bool_type": "true or false", "bool_parsing": "true or false"}  # fmt: skip


def explain(error: ValidationError, model: type[BaseModel], prefix: Sequence[Step] = ()) -> list[tuple[Place, str]]:
    """(place, message) of every mistake; `prefix` is where the model's data sits in its document."""
    out: dict[tuple[Place, str], None] = {}
    for item in error.errors():
        place = tuple(step for step in item["loc"] if step != "[key]")
        if item["type"] == "missing":
            message = f"the key {place[-1]!r} is missing"
            place = place[:-1]
        elif item["type"] == "extra_forbidden":
            message = f"there is no key {str(place[-1])!r}. {nearest(str(place[-1]), keys_at(model, place[:-1]))}"
        else:
            message = _sentence(item, key="[key]" in item["loc"])
        out[(*prefix, *place), message] = None
    return list(out)


def _sentence(item: Any, *, key: bool) -> str:
    kind, found, context = item["type"], item["input"], item.get("ctx", {})
    if kind in _BOUNDS:
        bound = next(iter(v for k, v in context.items() if k in ("gt", "ge", "lt", "le")))
        written = str(bound) if isinstance(bound, int) else f"{bound:g}"
        return f"{_shown(found)} is out of bounds: it must be {_BOUNDS[kind]} {written}"
    if kind == "literal_error":
        allowed = [a.strip("' ") for a in str(context["expected"]).replace(" or ", ", ").split(",")]
        return f"{_shown(found)} is not allowed here. {nearest(str(found), allowed)}"
    if kind == "string_pattern_mismatch":
        what = "name" if key else "value"
        return (
            f"{_shown(found)} is no {what} we take: a letter first, then letters, digits, '-' or '_', at most 31 in all"
        )
    if kind == "too_short":
        return f"needs at least {context['min_length']} {'entry' if context['min_length'] == 1 else 'entries'}"
    if kind == "too_long":
        return f"has more than {context['max_length']} entries"
    if kind == "string_too_long":
        return f"{_shown(found)} is longer than {context['max_length']} characters"
    if kind in _SHAPES:
        return f"found {_shown(found)}, expected {_SHAPES[kind]}"
    return str(context["error"]) if kind == "value_error" else f"found {_shown(found)}: {item['msg']}"


def _shown(found: Any) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, dict | list):
        return "a mapping" if isinstance(found, dict) else "a list"
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "…"


def keys_at(model: type[BaseModel], place: Sequence[Step]) -> list[str]:
    """The keys a file may write at `place` below `model`."""
    found = model_at(model, place)
    return list(keys(found)) if found else []


def model_at(model: type[BaseModel], place: Sequence[Step]) -> type[BaseModel] | None:
    """The model whose keys stand at `place`; None where names are free or nothing is known."""
    options = unwrapped(annotation_at(model, place))
    return next((a for a in options if isinstance(a, type) and issubclass(a, BaseModel)), None)


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Field by the key a file writes (its alias where it has one)."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def annotation_at(model: type[BaseModel], place: Sequence[Step]) -> Any:
    """The type written at `place` below `model`; Any where anything goes, None where nothing is allowed."""
    annotation: Any = model
    for step in place:
        annotation = _below(annotation, step)
    return annotation


def _below(annotation: Any, step: Step) -> Any:
    for option in unwrapped(annotation):
        if option is Any:
            return Any
        if isinstance(option, type) and issubclass(option, BaseModel):
            info = keys(option).get(str(step))
            return None if info is None else info.annotation
        arguments = typing.get_args(option)
        if typing.get_origin(option) in (dict, list, tuple) and arguments:
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return None


def unwrapped(annotation: Any) -> Iterator[Any]:
    """The alternatives of a union, Annotated taken off."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from unwrapped(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for option in typing.get_args(annotation):
            yield from unwrapped(option)
    else:
        yield annotation
