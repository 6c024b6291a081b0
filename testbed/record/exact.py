"""Values as JSON and back, without loss: dataclasses of numbers, texts, tuples and mappings with any keys.

`encode` and `decode` are each other's inverse for a value of the type given: floats to the last bit (NaN and infinity
included, as Python writes them), tuples as tuples, the order of mappings kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def encode(value: Any) -> Any:
    """JSON-ready. A mapping becomes a list of [key, value], a dataclass an object of its fields."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return [[encode(k), encode(v)] for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if hasattr(value, "item"):  # a number of NumPy's
        return value.item()
    raise TypeError(f"{type(value).__name__} can't be written exactly: {value!r}")


def decode(kind: Any, value: Any) -> Any:
    """A value of the annotated type `kind`. Raises ValueError where the JSON is of another shape."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (kind,) = (k for k in inner if k is not NoneType)
        return decode(kind, value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            raise ValueError(f"no {kind.__name__}: {str(value)[:80]}")
        return kind(**{name: decode(hint, value[name]) for name, hint in hints.items()})
    if origin is tuple:
        _must(list, value, kind)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise ValueError(f"{len(value)} values where {kind} has {len(kinds)}")
        return tuple(decode(k, v) for k, v in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _must(list, value, kind)
        return {decode(inner[0], k): decode(inner[1], v) for k, v in value}
    allowed = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r} where {kind.__name__} is expected")
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return {f.name: get_type_hints(kind)[f.name] for f in fields(kind)}


def _must(kind: type, value: Any, wanted: Any) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{str(value)[:80]!r} where {wanted} is expected")
