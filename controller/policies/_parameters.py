"""Parameters of a policy: fields of frozen dataclasses, overridden by name from the scenario.

A policy hands over instances, whose values are its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar, cast

T = TypeVar("T")


def defaults(*bases: Any) -> dict[str, float]:
    """{parameter: default} of all numeric fields."""
    return {name: value for base in bases for name, value in _own(base).items()}


def check(policy: str, given: Mapping[str, float], *bases: Any) -> None:
    """ValueError for a name that none of them has, with the nearest and all allowed names."""
    allowed = defaults(*bases)
    for name in given:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            has = ", ".join(f"{n} ({allowed[n]:g})" for n in sorted(allowed)) or "none"
            raise ValueError(f"policy {policy!r} has no parameter {name!r}.{hint} It has (default): {has}")


def build(base: T, given: Mapping[str, float]) -> T:
    """The same as `base` with those of the given parameters that are its own."""
    own = _own(base)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in own:
            continue
        whole = isinstance(own[name], int)
        if whole and value != int(value):
            raise ValueError(f"parameter {name!r} is a whole number; found {value}")
        values[name] = int(value) if whole else float(value)
    return cast(T, replace(cast(Any, base), **values))


def _own(base: Any) -> dict[str, Any]:
    return {f.name: value for f in fields(base) if _numeric(value := getattr(base, f.name))}


def _numeric(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
