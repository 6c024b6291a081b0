"""Safe, short, unique names for sites and hosts made from labels found in files.

Letters, digits, '-' and '_', a letter first, at most 12 characters, never "--" (which joins the two ends in a
link's name). The node at site X is "n-X", so every name stays within the 15 characters of an interface name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 12
#: Names that mean something else: gateways, nodes, selectors.
_RESERVED = re.compile(r"(gw[0-9]+|n-.*|ingress|trunks|all|any)", re.IGNORECASE)


def unique(labels: Iterable[str | None]) -> list[str]:
    """One name per label, in order; a label seen before gets -2, -3, …; none at all: "s" and its position."""
    taken: set[str] = set()
    out = []
    for position, label in enumerate(labels, start=1):
        stem = slug(label) or f"s{position}"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            suffix = f"-{number}"
            name = stem[: LONGEST - len(suffix)].rstrip("-_") + suffix
        taken.add(name.casefold())
        out.append(name)
    return out


def slug(label: str | None) -> str:
    """ "New York, NY" → "New-York-NY"; "" where no letter or digit is left, and for "None"."""
    if label is None or label.strip() in ("", "None", "?"):
        return ""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")
    if not words:
        return ""
    if not words[0].isalpha() or _RESERVED.fullmatch(words):
        words = f"s-{words}"
    return words[:LONGEST].rstrip("-_")
