"""What two machines must have in common so that their runs may stand in one table."""

from __future__ import annotations

import hashlib
import importlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from testbed.record.folder import SCHEMA_VERSION

#: What decides about results beside our own code: the draws, the solvers, and what carries runs to and fro.
LIBRARIES = ("dask", "distributed", "highspy", "networkx", "numpy", "pulp")
#: Beside the repository's root: what we ship and what runs. Not the documents, not the tests.
PARTS = (("testbed", "*.py"), ("controller", "*.py"), ("scenarios", "*.yaml"), ("topologies", "*"))


def identity() -> dict[str, str]:
    """Version, schema of the records, digest of our code and shipped files, Python and the libraries that decide."""
    found = {
        "shaketable": _version("shaketable"),
        "schema": str(SCHEMA_VERSION),
        "build": build(),
        "python": ".".join(map(str, sys.version_info[:2])),
    }
    return found | {name: _version(name) for name in LIBRARIES}


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """ "numpy 2.1 here, 2.0 there", one for each that differs."""
    return [
        f"{key} {_short(ours.get(key))} here, {_short(theirs.get(key))} there"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


@cache
def build() -> str:
    """sha256 over our code and what we ship: a checkout that was changed by a line is another build."""
    root = Path(str(importlib.import_module("testbed").__file__)).resolve().parents[1]
    total = hashlib.sha256()
    for folder, pattern in PARTS:
        for file in sorted((root / folder).rglob(pattern)):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(f"{file.relative_to(root)}\0".encode())
                total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _short(value: str | None) -> str:
    return "nothing" if value is None else value[:12]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
