"""Parameters of a policy: defaults are the fields of frozen dataclasses, overridden by name from the scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


def defaults(*classes: type) -> dict[str, float]:
    """{parameter: default} of all numeric fields of the classes."""
    return {f.name: float(f.default) for kind in classes for f in fields(kind) if _numeric(f)}  # type: ignore[arg-type]


def check(policy: str, given: Mapping[str, float], *classes: type) -> None:
    """ValueError for a name that none of the classes has, with the nearest and all allowed names."""
    allowed = defaults(*classes)
    for name in given:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            has = ", ".join(f"{n} ({allowed[n]:g})" for n in sorted(allowed)) or "none"
            raise ValueError(f"policy {policy!r} has no parameter {name!r}.{hint} It has (default): {has}")


def build(kind: type[T], given: Mapping[str, float]) -> T:
    """An instance of `kind` with those of the given parameters that are its own."""
    own = {f.name: f for f in fields(kind) if _numeric(f)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in own:
            continue
        whole = isinstance(own[name].default, int)
        if whole and value != int(value):
            raise ValueError(f"parameter {name!r} is a whole number; found {value}")
        values[name] = int(value) if whole else float(value)
    return kind(**values)


def _numeric(f: Field[Any]) -> bool:
    return f.default is not MISSING and isinstance(f.default, int | float) and not isinstance(f.default, bool)
