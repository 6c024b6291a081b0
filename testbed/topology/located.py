"""YAML as plain data in which every value knows its line and column; safe, capped, all problems at once.

Built from the parser's events, without recursion and without constructing objects. Refused: aliases and
anchors, tags, duplicate keys, files over 1 MiB, nesting over 20. Scalars follow YAML 1.2's core schema
(`no` and `12:30` are text); keys are always text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from testbed.catalogue import nearest
from testbed.errors import InputError, Problem

MOST_BYTES = 2**20
DEEPEST = 20
Step = str | int
Place = tuple[Step, ...]

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None,
          "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}  # fmt: skip


@dataclass(slots=True)
class Document:
    """data: dicts, lists, scalars. marks: (line, column) from 1 of each value's key or item.

    origins: the file of each value that another file gave (see `over`).
    """

    file: str
    data: Any
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)

    def problem(self, place: Sequence[Step], message: str) -> Problem:
        """A problem at `place`, or at its nearest ancestor that is in the file."""
        at = tuple(place)
        while at and at not in self.marks:
            at = at[:-1]
        line, column = self.marks.get(at, (1, 1))
        return Problem(self.origin(at), line, column, dotted(place) or "(document)", message)

    def origin(self, place: Sequence[Step]) -> str:
        """The file that the value at `place` stands in."""
        return self.origins.get(tuple(place), self.file)

    def over(self, base: Document) -> Document:
        """This document laid over another: mappings are merged key by key, everything else replaces what is below."""
        merged = Document(self.file, None, dict(self.marks), dict(self.origins))
        merged.data = _laid(self.data, base.data, (), base, merged)
        return merged


def dotted(place: Sequence[Step]) -> str:
    return ".".join(str(p) for p in place)


def read(path: Path) -> Document:
    """The document in `path`. Raises InputError with every problem of form."""
    return parse(text_of(path), str(path))


def text_of(path: Path, most: int = MOST_BYTES) -> str:
    """The file's text, UTF-8. Raises InputError where it is missing, too long or not text."""

    def refuse(message: str, line: int = 1) -> InputError:
        return InputError([Problem(str(path), line, 1, "(document)", message)])

    try:
        if os.path.isdir(path):
            raise refuse("this is a folder; name a file in it")
        if not os.path.lexists(path):
            raise refuse(f"there is no such file. {_siblings(path)}")
        if not os.path.isfile(path):
            raise refuse(_no_file(path))
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(raw) > most:
        raise refuse(f"is larger than {most // 2**20} MiB, the most that is read")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise refuse(f"is not UTF-8 text (byte {error.start}: 0x{raw[error.start]:02x})", line) from error


def _no_file(path: Path) -> str:
    """Of something that is there. A pipe can be read once, and every run of a scenario reads it again."""
    if not os.path.exists(path):
        return "is a link that leads to no file"
    return "is no file but a device, a pipe or a socket: write what it gives into a file and name that"


def _siblings(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):
        return f"There is no folder {str(folder)!r} either"
    there = sorted(p.name for p in folder.iterdir() if p.suffix == path.suffix)
    if not there:
        where = "this folder" if folder == Path() else repr(str(folder))
        return f"In {where} no file ends in {path.suffix!r}" if path.suffix else f"In {where} every file has an ending"
    return "In that folder: " + nearest(path.name, there)


def parse(text: str, file: str) -> Document:
    """The document in `text`; `file` is only a name for messages."""
    builder = _Builder(file)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
            if builder.fatal:
                break
    except yaml.YAMLError as error:
        builder.problems.append(_syntax(error, file))
    if builder.documents == 0 and not builder.problems:
        builder.problems.append(Problem(file, 1, 1, "(document)", "is empty"))
    if builder.problems:
        raise InputError(builder.problems)
    return builder.document


def _syntax(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = getattr(error, "problem", None) or " ".join(str(error).split())
    return Problem(file, line, column, "(document)", f"is not YAML: {said}")


class _Builder:
    """Events in, one Document out; `problems` collects what is refused on the way."""

    def __init__(self, file: str) -> None:
        self.document = Document(file, None)
        self.problems: list[Problem] = []
        self.documents = 0
        self.fatal = False
        self._stack: list[tuple[dict[str, Any] | list[Any], Place]] = []
        self._key: list[str | None] = []  # per open mapping: the key that waits for its value

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._refuse(event, "holds more than one document ('---'); keep one", fatal=True)
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"aliases are not read (*{event.anchor}): write the value out")
            self._value(event, None)
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._stack.pop()
            self._key.pop()

    def _node(self, event: Any) -> None:
        if event.anchor is not None:
            self._refuse(event, f"anchors are not read (&{event.anchor}): write the value out")
        if event.tag is not None:
            self._refuse(event, f"tags are not read ({event.tag}): remove it")
        if isinstance(event, yaml.ScalarEvent):
            self._value(event, event)
            return
        box: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        place = self._value(event, box)
        self._stack.append((box, place))
        self._key.append(None)
        if len(self._stack) > DEEPEST:
            self._refuse(event, f"is nested deeper than {DEEPEST} levels", fatal=True)

    def _value(self, event: yaml.Event, value: Any) -> Place:
        """Put a finished or opened value where it belongs; a scalar comes as its event."""
        position = _position(event)
        if not self._stack:
            self.document.data = _scalar(value)
            self.document.marks[()] = position
            return ()
        box, place = self._stack[-1]
        if isinstance(box, list):
            here = (*place, len(box))
            box.append(_scalar(value))
            self.document.marks[here] = position
            return here
        waiting = self._key[-1]
        if waiting is None:
            return self._open_key(event, value, box, place)
        self._key[-1] = None
        box[waiting] = _scalar(value)
        return (*place, waiting)

    def _open_key(self, event: yaml.Event, value: Any, box: dict[str, Any], place: Place) -> Place:
        if not isinstance(value, yaml.ScalarEvent):
            self._refuse(event, "a key is a word, not a list, a mapping or an alias", fatal=True)
            return place
        key = value.value
        here = (*place, key)
        if key in box:
            line = self.document.marks[here][0]
            self._refuse(event, f"the key {key!r} is here twice (first in line {line}): keep one", at=here)
        self.document.marks[here] = _position(event)
        self._key[-1] = key
        return here

    def _refuse(self, event: yaml.Event, message: str, *, fatal: bool = False, at: Place | None = None) -> None:
        place = at
        if place is None:
            place = self._stack[-1][1] if self._stack else ()
            key = self._key[-1] if self._key else None
            place = place if key is None else (*place, key)
        path = dotted(place) or "(document)"
        self.problems.append(Problem(self.document.file, *_position(event), path, message))
        self.fatal = self.fatal or fatal


def _laid(upper: Any, lower: Any, place: Place, base: Document, merged: Document) -> Any:
    """`upper` over `lower`; places that come from below get the base's marks."""
    if not (isinstance(upper, dict) and isinstance(lower, dict)):
        return upper
    out: dict[str, Any] = {}
    for key in [*lower, *(k for k in upper if k not in lower)]:
        here = (*place, key)
        if key not in upper:
            out[key] = lower[key]
            for at, mark in base.marks.items():
                if at[: len(here)] == here:
                    merged.marks[at], merged.origins[at] = mark, base.origin(at)
        else:
            out[key] = _laid(upper[key], lower[key], here, base, merged) if key in lower else upper[key]
    return out


def _position(event: yaml.Event) -> tuple[int, int]:
    """Line and column, from 1."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(value: Any) -> Any:
    """The value of a scalar event; anything else unchanged."""
    if not isinstance(value, yaml.ScalarEvent):
        return value
    text = value.value
    if value.style is not None and value.style != "":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def get(data: Any, place: Sequence[Step]) -> Any:
    """The value at `place`, or None where there is none."""
    for step in place:
        if (isinstance(data, Mapping) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        ):
            data = data[step]  # type: ignore[index]
        else:
            return None
    return data
