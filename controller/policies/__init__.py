"""Policies, one module each: the folder is the registry. `controller/policies/nothing.py` is the smallest one.

A module whose name has no leading underscore exports `POLICY`, an object that meets `controller.policy.Policy`.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from controller.policy import Policy


def names() -> tuple[str, ...]:
    """Names of all policies, sorted."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if not m.name.startswith("_")))


def get(name: str) -> Policy:
    """The policy of that name; ValueError with the nearest and all allowed names."""
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no policy {name!r}.{hint} There are: {', '.join(names())}")
    return cast(Policy, import_module(f"{__name__}.{name}").POLICY)
