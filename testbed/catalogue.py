"""The folder is the registry: `kind: link_down` finds `testbed/faults/link_down.py`; and the nearest-name sentence."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from testbed.errors import InputError

#: A list longer than this is cut: 754 site names help nobody.
LONGEST_LIST = 24


def nearest(word: str, allowed: Iterable[str]) -> str:
    """ "Did you mean 'x'? There are: a, b, x", without the question where nothing is near."""
    names = list(dict.fromkeys(str(a) for a in allowed))
    if not names:
        return "There are none"
    folded = {n.casefold(): n for n in reversed(names)}
    close = difflib.get_close_matches(str(word).casefold(), list(folded), n=1, cutoff=0.6)
    question = f"Did you mean {folded[close[0]]!r}? " if close else ""
    more = f", … and {len(names) - LONGEST_LIST} more" if len(names) > LONGEST_LIST else ""
    return f"{question}There are: {', '.join(names[:LONGEST_LIST])}{more}"


def kinds(package: str) -> list[str]:
    """Names of the modules in a registry folder, sorted; not `base`, nothing private, nothing imported."""
    folder = importlib.import_module(package)
    found = (m.name for m in pkgutil.iter_modules(folder.__path__))
    return sorted(n for n in found if n != "base" and not n.startswith("_"))


def load(package: str, kind: str) -> ModuleType:
    """The module of `kind`. Raises InputError with the nearest name where there is none."""
    known = kinds(package)
    if kind not in known:
        raise InputError(f"there is no {noun(package)} {kind!r}. {nearest(kind, known)}")
    return importlib.import_module(f"{package}.{kind}")


def noun(package: str) -> str:
    """ "testbed.faults" → "fault", "controller.policies" → "policy"."""
    plural = package.rpartition(".")[2]
    return plural[:-3] + "y" if plural.endswith("ies") else plural.removesuffix("s")
