"""A folder in place of files: the scenarios in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from testbed.cli.progress import stderr
from testbed.errors import InputError
from testbed.run.prepare import load
from testbed.topology import located

SUFFIXES = (".yaml", ".yml")
#: A scenario names its network or what it extends; files of networks and of campaigns do neither.
MARKS = ("topology", "extends")


def scenarios(given: Iterable[Path]) -> list[Path]:
    """Files as they stand; of a folder its scenarios by name, not those of folders in it. InputError where it has none.

    What is passed over is told on stderr: nobody may take it for checked. A file that can't be read as YAML is not
    passed over; whoever reads it next says what is wrong.
    """
    out: list[Path] = []
    for path in given:
        if not os.path.isdir(path):  # also of a name that no file can have
            out.append(path)
            continue
        there = list(_yaml_files(path))
        found = [f for f in there if _is_scenario(f)]
        if not found:
            raise InputError(f"{path}: no scenario in this folder{_instead(path, there)}")
        if passed_over := [f.name for f in there if f not in found]:
            stderr().print(
                f"{path}: passed over, no scenario (neither `topology` nor `extends`): {', '.join(passed_over)}"
            )
        out += found
    return out


def claiming(given: Iterable[Path], sets: Sequence[str]) -> list[Path]:
    """`scenarios`, but of a folder only those that make a claim: what others extend lies there, too."""
    out: list[Path] = []
    for path in given:
        found = scenarios([path])
        silent = [f for f in found if f != path and not load(f, sets).claims]
        if silent and len(silent) == len(found):
            raise InputError(f"{path}: no scenario in this folder makes a claim; add a `claims:` section to one")
        if silent:
            stderr().print(f"{path}: passed over, no claim: {', '.join(f.name for f in silent)}")
        out += [f for f in found if f not in silent]
    return out


def _yaml_files(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: can't be read ({error.strerror})") from None
    return (folder / n for n in names if n.endswith(SUFFIXES) and not n.startswith(".") and not (folder / n).is_dir())


def _is_scenario(file: Path) -> bool:
    try:
        data = located.read(file).data
    except InputError:
        return True
    return not isinstance(data, dict) or any(mark in data for mark in MARKS)


def _instead(folder: Path, there: list[Path]) -> str:
    """What there is, in place of scenarios."""
    if there:
        return f": {', '.join(f.name for f in there)}: neither `topology` nor `extends` in any"
    below = sorted({f.parent.name for s in SUFFIXES for f in folder.glob(f"*/*{s}")})
    looked = f" (no {' or '.join('*' + s for s in SUFFIXES)})"
    return looked + (f"; perhaps in one of its folders: {', '.join(below[:5])}" if below else "")
