"""A tolerant reader of GML (Himsolt 1997): key, then a number, a string or a bracketed list, nothing more.

networkx refuses files whose labels repeat or whose edges are parallel; real ones have both. Here a vertex is its
position in the file, `id` only ties edges to vertices, and what we don't know is passed over.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from testbed.errors import InputError, Problem

DEEPEST = 20


@dataclass(slots=True)
class Graph:
    """vertices: attributes, `label` among them, in file order. edges: (position, position, attributes)."""

    vertices: list[dict[str, Any]] = field(default_factory=list)
    edges: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"[^"]*")
      | (?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?=[\s\[\]]|$))
      | (?P<word>[A-Za-z_][A-Za-z0-9_.\-]*)
      | (?P<open>\[) | (?P<close>\])""",
    re.VERBOSE,
)

Entries = list[tuple[str, Any, int]]  # key, value (Entries for a list), offset


class _Refused(Exception):
    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset, self.message = offset, message


def read_gml(text: str, file: str) -> Graph:
    """The first graph in `text`. Raises InputError at line and column."""
    try:
        return _graph(_entries(text))
    except _Refused as error:
        line = text.count("\n", 0, error.offset) + 1
        column = error.offset - (text.rfind("\n", 0, error.offset) + 1) + 1
        raise InputError([Problem(file, line, column, "gml", error.message)]) from None


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            found = text[offset : offset + 12].split("\n")[0]
            raise _Refused(offset, f'is not GML: found {found!r}, expected a key, a number, a "string" or a bracket')
        if match.lastgroup != "space":
            yield str(match.lastgroup), match.group(), offset
        offset = match.end()


def _entries(text: str) -> Entries:
    """The whole text as nested (key, value) lists."""
    stack: list[Entries] = [[]]
    key: tuple[str, int] | None = None
    last = 0
    for kind, token, offset in _tokens(text):
        last = offset
        if kind == "close":
            if len(stack) == 1 or key is not None:
                raise _Refused(offset, "found ']' where a " + ("value" if key else "key") + " was expected")
            stack.pop()
        elif key is None:
            if kind != "word":
                raise _Refused(offset, f"is not GML: found {token[:20]!r} where a key was expected")
            key = (token, offset)
        else:
            value: Any = _value(kind, token)
            stack[-1].append((key[0], value, key[1]))
            key = None
            if kind == "open":
                stack.append(value)
                if len(stack) > DEEPEST:
                    raise _Refused(offset, f"is nested deeper than {DEEPEST} levels")
    if key is not None or len(stack) > 1:
        raise _Refused(last, f"ends too early: {len(stack) - 1} brackets are still open")
    return stack[0]


def _value(kind: str, token: str) -> Any:
    if kind == "open":
        return []
    if kind == "string":
        return html.unescape(token[1:-1])
    return token  # numbers stay text: an id is compared, not counted


def _graph(entries: Entries) -> Graph:
    found = next((v for k, v, _ in entries if k.lower() == "graph" and isinstance(v, list)), None)
    if found is None:
        raise _Refused(0, "is not GML: there is no 'graph [ … ]' in it")
    graph = Graph()
    position: dict[str, int] = {}
    for key, value, offset in found:
        if key.lower() == "node" and isinstance(value, list):
            attributes = _attributes(value)
            identity = str(attributes.get("id", f"#{len(graph.vertices)}"))
            if identity in position:
                raise _Refused(offset, f"node id {identity} is here twice: edges could mean either")
            position[identity] = len(graph.vertices)
            graph.vertices.append(attributes)
    for key, value, offset in found:
        if key.lower() == "edge" and isinstance(value, list):
            attributes = _attributes(value)
            for end in ("source", "target"):
                if str(attributes.get(end)) not in position:
                    raise _Refused(offset, f"the edge's {end} is {attributes.get(end, 'missing')}: no node has that id")
            ends = position[str(attributes["source"])], position[str(attributes["target"])]
            graph.edges.append((*ends, attributes))
    return graph


def _attributes(entries: Entries) -> dict[str, Any]:
    """The scalars of a node or an edge; the first of a repeated key counts."""
    out: dict[str, Any] = {}
    for key, value, _ in entries:
        if not isinstance(value, list):
            out.setdefault(key, value)
        elif key == "graphics":  # yEd and others put coordinates of the drawing here: not of the earth
            continue
    return out
