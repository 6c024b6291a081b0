"""A scenario file with its `--set` overrides: the data, and where each value came from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.catalogue import nearest
from testbed.errors import InputError, Problem
from testbed.scenario.model import Scenario
from testbed.topology import located
from testbed.topology.explain import annotation_at, keys_at, model_at
from testbed.topology.located import Document, Place, Step, dotted

#: The scenarios we ship, which a file may extend by their name.
SHIPPED = Path(__file__).parents[2] / "scenarios"
#: A file may extend one that extends another, and so on, this often.
DEEPEST = 4
EXTENDS = "extends"


class _Refused(Exception):
    pass


@dataclass(slots=True)
class Source:
    """document: the file's data, laid over what it extends, overrides applied. sets: the places overridden.

    text: the file's own, then the files it extends, as comments.
    """

    path: Path
    text: str
    document: Document
    sets: list[Place] = field(default_factory=list)

    @property
    def data(self) -> Any:
        return self.document.data

    def problem(self, place: Sequence[Step], message: str) -> Problem:
        """A problem in the file, or in the `--set` that wrote the value."""
        at = tuple(place)
        for written in self.sets:
            above = at not in self.document.marks and written[: len(at)] == at and at
            if at[: len(written)] == written or above:
                return Problem(f"--set {dotted(written)}", 0, 0, dotted(at), message)
        return self.document.problem(at, message)

    def is_set(self, place: Sequence[Step]) -> bool:
        """Was the value at `place` given on the command line?"""
        return any(tuple(place)[: len(s)] == s for s in self.sets)

    def shortens_the_run(self) -> bool:
        """Was the length of the run given on the command line?"""
        return self.is_set(("run", "duration")) or self.is_set(("run", "warmup"))


def read(path: Path, sets: Sequence[str]) -> Source:
    """The file with the overrides applied, not validated. Raises InputError with every problem of form."""
    text, document = _layers(path, ())
    source = Source(path, text, document)
    problems: list[Problem] = []
    for assignment in sets:
        try:
            _apply(source, assignment)
        except _Refused as error:
            given = assignment.partition("=")[0]
            problems.append(Problem(f"--set {given}", 0, 0, given, str(error)))
    if problems:
        raise InputError(problems)
    return source


def _layers(path: Path, above: tuple[Path, ...]) -> tuple[str, Document]:
    """The file's text and data over those of the file it extends."""
    text = located.text_of(path)
    document = located.parse(text, str(path))
    if not isinstance(document.data, dict):
        raise InputError([document.problem((), "a scenario is a mapping of keys: name, question, topology, …")])
    if EXTENDS not in document.data:
        return text, document
    base = _base(path, document, (*above, path.resolve()))
    below, lower = _layers(base, (*above, path.resolve()))
    del document.data[EXTENDS]
    comments = "".join(f"# {line}\n" for line in below.splitlines())
    return f"{text.rstrip()}\n\n# extends {base.name}:\n{comments}", document.over(lower)


def _base(path: Path, document: Document, chain: tuple[Path, ...]) -> Path:
    """The file that `extends` names: a shipped scenario, or a file in the scenario's own folder."""
    written = document.data[EXTENDS]

    def refuse(message: str) -> InputError:
        return InputError([document.problem((EXTENDS,), message)])

    shipped = sorted(f.stem for f in SHIPPED.glob("*.yaml"))
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        raise refuse(f"found {written!r}, expected a shipped scenario ({', '.join(shipped)}) or a file")
    folder = path.resolve().parent
    bare = len(Path(written).parts) == 1 and Path(written).suffix == ""
    found = SHIPPED / f"{written}.yaml" if bare else (folder / written).resolve()
    if bare and written not in shipped:
        raise refuse(f"there is no shipped scenario {written!r}. {nearest(written, shipped)}; or name a file")
    if not bare and (Path(written).is_absolute() or not found.is_relative_to(folder)):
        raise refuse(f"a file that is extended lies in the scenario's own folder, {written!r} does not: copy it there")
    if not os.path.isfile(found):
        raise refuse(f"there is no file {written!r} in {folder}")
    if found.resolve() in chain:
        raise refuse(f"{found.name} extends itself, by way of {' → '.join(p.name for p in chain)}")
    if len(chain) > DEEPEST:
        raise refuse(f"extends over more than {DEEPEST} files")
    return found


def _apply(source: Source, assignment: str) -> None:
    given, equals, text = assignment.partition("=")
    steps = given.strip().split(".")
    if not equals or not all(steps):
        raise _Refused("is written path=value, for example --set load=2 or --set run.duration='20 s'")
    try:
        value = located.parse(text, "value").data if text.strip() else None
    except InputError as error:
        raise _Refused(f"the value {text!r} {error.problems[0].message}") from None
    box: Any = source.data
    place: Place = ()
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        key = _key(box, step, place)
        here: Place = (*place, key)
        present = key in box if isinstance(box, dict) else int(key) < len(box)
        if following is None:
            _allowed(box, key, place, present)
            _put(box, key, value)
        elif not present:
            _creatable(box, key, place)
            _put(box, key, [] if following.isdecimal() and _is_list(here) else {})
        box, place = box[key], here
    source.sets.append(place)


def _key(box: Any, step: str, place: Place) -> Step:
    if isinstance(box, dict):
        return step
    if not isinstance(box, list):
        raise _Refused(f"there is nothing below {dotted(place)!r}: it is {box!r}")
    if not step.isdecimal() or int(step) > len(box):
        raise _Refused(f"{step!r} is no place in the list {dotted(place)!r}: 0 to {len(box)}, the last to append")
    return int(step)


def _put(box: Any, key: Step, value: Any) -> None:
    if isinstance(box, list) and key == len(box):
        box.append(value)
    else:
        box[key] = value


def _allowed(box: Any, key: Step, place: Place, present: bool) -> None:
    """The last step: any name where names are free, a key of the model elsewhere."""
    if not present and isinstance(box, dict) and annotation_at(Scenario, (*place, key)) is None:
        raise _Refused(f"there is no key {str(key)!r}. {nearest(str(key), keys_at(Scenario, place) or box)}")


def _creatable(box: Any, key: Step, place: Place) -> None:
    """A step on the way: optional keys and new list items are made, misspelt names are not."""
    if isinstance(box, list) or annotation_at(Scenario, place) is Any or (place and _is_free(place)):
        return
    if model_at(Scenario, place) is None:
        raise _Refused(f"there is no {str(key)!r} in {dotted(place)}. {nearest(str(key), box)}")
    _allowed(box, key, place, present=False)


def _is_free(place: Place) -> bool:
    """Below a mapping whose values may be anything (a generator's keys, a fault's parameters)."""
    return annotation_at(Scenario, (*place, "any")) is Any


def _is_list(place: Place) -> bool:
    return "list[" in str(annotation_at(Scenario, place))
